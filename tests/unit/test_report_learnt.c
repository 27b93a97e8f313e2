// SPDX-License-Identifier: GPL-2.0-or-later
/* What tuners have learnt, and the memories that they keep. */
#include "supervisor/changes/learnt.h"
#include "tests/unit/fake_changes.h"

/* --- what tuners have learnt -------------------------------------------------------------------- */

static const struct learnt *newest_learnt(const struct fixture *fixture)
{
	struct learnt *learnt = fixture->instance->state->learnt;

	return ELMT_FROM_HH(learnt->hh.tbl, learnt->hh.tbl->tail);
}

/* Bounded for each tuner; the least recently told goes; only another verdict that says so is news. */
static void test_learnt(void **state)
{
	struct fixture *fixture = *state;
	struct changes *changes = &fixture->changes;
	struct bpftune_report record = { .kind = BPFTUNE_VERDICT, .text = "is so\n" };
	struct bpftune_verdict verdict = { .value = { 1 } };
	struct learnt_key first = { .about = "about 0" };

	for (int i = 0; i < LEARNT_MAX; i++) {
		snprintf(record.from, sizeof(record.from), "about %d", i);
		report(fixture, &record);
	}
	assert_false(learnt_put(changes, fixture->instance, &first, "told again", NULL));
	assert_true(learnt_put(changes, fixture->instance, &first, "decided", &verdict));
	assert_false(learnt_put(changes, fixture->instance, &first, "as before", &verdict));
	verdict.value[1] = 1;
	assert_false(learnt_put(changes, fixture->instance, &first, "as before", &verdict));
	assert_int_equal(newest_learnt(fixture)->verdict.value[1], 1);
	verdict.value[1] = 2;
	assert_true(learnt_put(changes, fixture->instance, &first, "decided anew", &verdict));
	strcpy(record.from, "one more");
	report(fixture, &record);
	assert_int_equal(HASH_COUNT(fixture->instance->state->learnt), LEARNT_MAX);
	assert_string_equal(fixture->instance->state->learnt->key.about, "about 2");
	assert_string_equal(newest_learnt(fixture)->key.about, "one more");
	assert_string_equal(newest_learnt(fixture)->text, "is so\\x0a");

	record.tuner = 1; /* there is none */
	report(fixture, &record);
	record.tuner = 0;
	record.from[0] = '\0';
	report(fixture, &record);
	assert_int_equal(changes->counters.unknown_reports, 2);
	set_tuner_state(fixture, TUNER_PAUSED, NULL);
	strcpy(record.from, "too late");
	report(fixture, &record);
	assert_string_equal(newest_learnt(fixture)->key.about, "one more");
	assert_int_equal(HASH_COUNT(fixture->instance->state->learnt), LEARNT_MAX);
}

/* A verdict gets to the tuner's BPF programs, and is logged; what is no verdict is only shown by `bpftune status`. */
static void test_verdict(void **state)
{
	struct bpftune_verdict verdict = { .key = "where", .value = "so" };
	struct bpftune_report record = { .kind = BPFTUNE_VERDICT, .from = "a\nhost", .text = "is so" };
	struct fixture *fixture = *state;
	const struct line *line;

	memcpy(record.to, &verdict, sizeof(verdict));
	report(fixture, &record);
	assert_int_equal(fixture->verdicts, 1);
	assert_int_equal(fixture->verdict_key.netns_cookie, COOKIE);
	assert_int_equal(fixture->verdict_key.instance, 0);
	assert_memory_equal(fixture->verdict_key.key, verdict.key, sizeof(verdict.key));
	assert_memory_equal(fixture->verdict.value, verdict.value, sizeof(verdict.value));
	line = only_line(fixture);
	assert_string_equal(line->text, "a\\x0ahost: is so");
	assert_string_equal(line->tuner, "only");
	assert_string_equal(line->container, "netns-2001");
	assert_int_equal(line->instance, INSTANCE_HOST);
	assert_int_equal(line->severity, LOG_NOTICE);

	strcpy(record.from, "another host");
	record.kind = BPFTUNE_LEARNT;
	report(fixture, &record);
	assert_int_equal(fixture->verdicts, 1);
	assert_int_equal(fixture->n_log, 0);
	assert_string_equal(newest_learnt(fixture)->key.about, "another host");
}

static bool is_in_effect(const struct fixture *fixture, const char *about)
{
	json_t *learnt = changes_learnt(&fixture->changes, fixture->instance), *row;
	bool in_effect = false;
	size_t i;

	json_array_foreach (learnt, i, row)
		if (!strcmp(json_string_value(json_object_get(row, "about")), about))
			in_effect = json_is_true(json_object_get(row, "in_effect"));
	json_decref(learnt);
	return in_effect;
}

/* `status` shows a verdict as in effect while the map has it and it has not expired, and tries again where it was
 * refused. */
static void test_in_effect(void **state)
{
	struct bpftune_verdict verdict = { .value = { 1 } };
	struct fixture *fixture = *state;
	struct changes *changes = &fixture->changes;
	struct learnt_key key = { .about = "a host" };

	fixture->has_no_room = true;
	assert_true(learnt_put(changes, fixture->instance, &key, "is so", &verdict));
	assert_false(is_in_effect(fixture, "a host"));
	fixture->has_no_room = false;
	assert_false(learnt_put(changes, fixture->instance, &key, "is so, by now", &verdict));
	assert_int_equal(fixture->verdicts, 1);
	assert_true(is_in_effect(fixture, "a host"));
	learnt_take_back(changes, fixture->instance, 1);
	assert_false(is_in_effect(fixture, "a host"));
	learnt_tell_again(changes, fixture->instance, 1);
	assert_true(is_in_effect(fixture, "a host"));
	set_tuner_state(fixture, TUNER_PAUSED, NULL);
	assert_false(is_in_effect(fixture, "a host"));
	set_tuner_state(fixture, TUNER_ACTIVE, NULL);
	verdict.valid_until_s = 1;
	learnt_put(changes, fixture->instance, &key, "is so", &verdict);
	assert_false(is_in_effect(fixture, "a host"));
	verdict = (struct bpftune_verdict){ .valid_until_s = UINT32_MAX };
	learnt_put(changes, fixture->instance, &key, "no more", &verdict);
	assert_false(is_in_effect(fixture, "a host"));
}

/* A crowd of remote hosts about which nothing is decided pushes out no verdict. */
static void test_crowd(void **state)
{
	struct bpftune_verdict verdict = { .value = { 1 } };
	struct bpftune_report record = { .kind = BPFTUNE_LEARNT, .text = "is so" };
	struct fixture *fixture = *state;
	struct learnt_key decided = { .about = "decided" };

	learnt_put(&fixture->changes, fixture->instance, &decided, "is so", &verdict);
	for (int i = 0; i < 3 * LEARNT_MAX; i++) {
		snprintf(record.from, sizeof(record.from), "about %d", i);
		report(fixture, &record);
	}
	assert_int_equal(HASH_COUNT(fixture->instance->state->learnt), LEARNT_MAX);
	assert_true(is_in_effect(fixture, "decided"));
	assert_string_equal(newest_learnt(fixture)->key.about, "about 191");

	strcpy(record.from, "decided");
	record.text[0] = '\0';
	report(fixture, &record);
	assert_int_equal(HASH_COUNT(fixture->instance->state->learnt), LEARNT_MAX - 1);
	assert_string_equal(fixture->instance->state->learnt->key.about, "about 129");
	report(fixture, &record); /* of what is not known */
	assert_int_equal(HASH_COUNT(fixture->instance->state->learnt), LEARNT_MAX - 1);
}

static void test_verdict_in_a_dry_run(void **state)
{
	struct bpftune_report verdict = { .kind = BPFTUNE_VERDICT, .from = "a host", .to = { 1 }, .text = "is so" };
	struct fixture *fixture = *state;

	report(fixture, &verdict);
	assert_string_equal(only_line(fixture)->text, "a host: is so");
	fixture->changes.dry_run = true;
	fixture->verdicts = 0;
	strcpy(verdict.from, "another");
	report(fixture, &verdict);
	assert_string_equal(only_line(fixture)->text, "would decide: another: is so");
	verdict.kind = BPFTUNE_LEARNT;
	strcpy(verdict.from, "a third");
	report(fixture, &verdict);
	assert_int_equal(fixture->n_log, 0); /* only `bpftune status` shows what is no verdict */
	assert_int_equal(fixture->verdicts, 0);
}

/* --- memories ----------------------------------------------------------------------------------- */

static uint8_t bytes[BPFTUNE_MEMORY_BYTES_MAX];

static void report_part(struct fixture *fixture, uint32_t kind, uint32_t size, uint32_t offset)
{
	struct bpftune_report record = { .kind = BPFTUNE_MEMORY };
	struct bpftune_memory_part part = { .kind = kind, .version = 3, .size = size, .offset = offset };

	for (uint32_t i = 0; i < sizeof(part.data) && offset + i < size && size <= sizeof(bytes); i++)
		part.data[i] = bytes[offset + i];
	memcpy(record.text, &part, sizeof(part));
	report(fixture, &record);
}

static void report_memory(struct fixture *fixture, uint32_t kind, uint32_t size)
{
	uint32_t offset = 0;

	do
		report_part(fixture, kind, size, offset);
	while ((offset += sizeof(((struct bpftune_memory_part *)0)->data)) < size);
}

static void assert_remembered(struct fixture *fixture, enum bpftune_memory_kind kind, uint32_t size)
{
	struct bpftune_memory memory = changes_remembered(&fixture->changes, &fixture->instance->view, 0, kind);

	assert_int_equal(memory.size, size);
	assert_int_equal(memory.version, size ? 3 : 0);
	assert_true(!size || !memcmp(memory.data, bytes, size));
}

static void test_memory(void **state)
{
	static const uint32_t sizes[] = { 1, 319, 320, 321, 5000, 7, BPFTUNE_MEMORY_BYTES_MAX, 0 };
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i * 7 + i / 256;
	report_memory(fixture, BPFTUNE_MEMORY_OF_TRIALS, 11);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		report_memory(fixture, BPFTUNE_MEMORY_OF_TUNER, sizes[i]);
		assert_remembered(fixture, BPFTUNE_MEMORY_OF_TUNER, sizes[i]);
		assert_remembered(fixture, BPFTUNE_MEMORY_OF_TRIALS, 11);
	}
	assert_int_equal(fixture->changes.counters.unknown_reports, 0);
	assert_int_equal(fixture->n_log, 0);
	changes_end(&fixture->changes, fixture->instance);
	assert_remembered(fixture, BPFTUNE_MEMORY_OF_TRIALS, 0);
}

/* A worker that ends in between, or one gone mad. */
static void test_parts_that_do_not_follow(void **state)
{
	struct fixture *fixture = *state;
	uint64_t *unknown = &fixture->changes.counters.unknown_reports;

	report_memory(fixture, BPFTUNE_MEMORY_OF_TUNER, 5);
	report_part(fixture, BPFTUNE_MEMORY_OF_TUNER, 1000, 320); /* of which the first part did not come */
	assert_int_equal(*unknown, 1);
	report_part(fixture, BPFTUNE_MEMORY_OF_TUNER, 1000, 0);
	report_part(fixture, BPFTUNE_MEMORY_OF_TUNER, 1000, 640);
	report_part(fixture, BPFTUNE_MEMORY_OF_TUNER, 900, 320);
	report_part(fixture, BPFTUNE_MEMORY_OF_TRIALS, 1000, 320);
	assert_int_equal(*unknown, 4);
	assert_remembered(fixture, BPFTUNE_MEMORY_OF_TUNER, 5);
	report_memory(fixture, BPFTUNE_MEMORY_OF_TUNER, 1000); /* its successor's */
	assert_remembered(fixture, BPFTUNE_MEMORY_OF_TUNER, 1000);
	report_part(fixture, BPFTUNE_MEMORY_OF_TUNER, BPFTUNE_MEMORY_BYTES_MAX + 1, 0);
	report_part(fixture, BPFTUNE_MEMORY_OF_TUNER, 1, 2);
	report_part(fixture, N_BPFTUNE_MEMORY_KINDS, 1, 0);
	report(fixture, &(struct bpftune_report){ .kind = BPFTUNE_MEMORY, .tuner = 1 });
	assert_int_equal(*unknown, 8);
	fixture->instance->view.shares_netns = true; /* the namespace is another's */
	report_memory(fixture, BPFTUNE_MEMORY_OF_TUNER, 1);
	assert_remembered(fixture, BPFTUNE_MEMORY_OF_TUNER, 0);
	fixture->instance->view.shares_netns = false;
	assert_remembered(fixture, BPFTUNE_MEMORY_OF_TUNER, 1000);
	report_part(fixture, BPFTUNE_MEMORY_OF_TUNER, 1000, 0); /* to be freed with the instance */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_changes(test_learnt),
		on_changes(test_in_effect),
		on_changes(test_crowd),
		on_changes(test_verdict),
		on_changes(test_verdict_in_a_dry_run),
		on_changes(test_memory),
		on_changes(test_parts_that_do_not_follow),
	};

	return cmocka_run_group_tests_name("report_learnt", tests, NULL, NULL);
}
