// SPDX-License-Identifier: GPL-2.0-or-later
/* What the namespaces of one owner may add to the ledger, and to the maps of verdicts. */
#include "ipc/unshared.h"
#include "tests/unit/fake_changes.h"

#include "supervisor/changes/account.h"
#include "supervisor/changes/learnt.h"

static uint8_t bytes[BPFTUNE_MEMORY_BYTES_MAX];

static struct instance *add(struct fixture *fixture, uint64_t cookie, const char *owner)
{
	struct instance *instance = registry_add(&fixture->instances, cookie, cookie);

	assert_non_null(instance);
	instance->owner = owner ? unshared_strdup(owner) : NULL;
	instance->is_mounted = !owner;
	return instance;
}

/* As memory.c does it. */
static bool keep(struct fixture *fixture, struct instance *instance, const char *name, uint32_t size)
{
	const struct bpftune_memory memory = { 1, size, bytes };
	bool has_room = account_has_room(&fixture->changes, instance, name, size);

	if (has_room)
		assert_int_equal(ledger_memory_put(&fixture->changes.ledger, instance->view.netns_cookie, name, &memory), 0);
	account_count(&fixture->changes, instance);
	return has_room;
}

enum { N_MOST = ACCOUNT_MEMORIES_MAX / BPFTUNE_MEMORY_BYTES_MAX };

static void test_memories_of_an_owner(void **state)
{
	struct fixture *fixture = *state;
	struct instance *last = NULL, *other, *root;

	for (uint64_t i = 0; i < N_MOST; i++) {
		last = add(fixture, 1000 + i, "/docker/a");
		assert_true(keep(fixture, last, "only", sizeof(bytes)));
	}
	assert_int_equal(fixture->n_log, 0);
	assert_false(keep(fixture, last, "only/trials", 1));
	assert_false(keep(fixture, add(fixture, 2000, "/docker/a"), "only", 1));
	assert_int_equal(fixture->n_log, 1); /* once */
	assert_true(keep(fixture, last, "only", sizeof(bytes))); /* in place of its own */
	other = add(fixture, 2001, "/docker/b");
	root = add(fixture, 2002, NULL);
	assert_true(keep(fixture, other, "only", sizeof(bytes)));
	for (uint64_t i = 0; i < N_MOST + 2; i++)
		assert_true(keep(fixture, add(fixture, 3000 + i, NULL), "only", sizeof(bytes)));
	assert_true(keep(fixture, root, "only", 1));
	/* What ends makes room. */
	ledger_forget(&fixture->changes.ledger, last->view.netns_cookie);
	free_instance(fixture, last);
	assert_true(keep(fixture, add(fixture, 2003, "/docker/a"), "only", sizeof(bytes)));
	assert_int_equal(fixture->n_log, 1);
}

/* Found in the ledger's file, or of an instance that turns out to be another owner's. */
static void test_memories_follow_their_instance(void **state)
{
	struct fixture *fixture = *state;
	struct instance *instance = add(fixture, 1000, "/docker/a");
	const struct bpftune_memory memory = { 1, 100, bytes };

	account_count(&fixture->changes, instance);
	assert_null(instance->state); /* most have nothing to count */
	assert_int_equal(ledger_memory_put(&fixture->changes.ledger, 1000, "only", &memory), 0);
	account_count(&fixture->changes, instance);
	assert_int_equal(instance->state->charged->memories_bytes, 100);
	assert_string_equal(instance->state->charged->name, "/docker/a");
	unshared_free(instance->owner);
	instance->owner = unshared_strdup("/docker/b");
	account_count(&fixture->changes, instance);
	assert_string_equal(instance->state->charged->name, "/docker/b");
	assert_int_equal(instance->state->charged->memories_bytes, 100);
	assert_int_equal(HASH_COUNT(fixture->instances.owners), 1);
	account_uncount(&fixture->changes, instance);
	assert_int_equal(HASH_COUNT(fixture->instances.owners), 0);
}

/* They are refused before anything is written, until the owner's share of the file is back. */
static void test_changes_of_an_owner(void **state)
{
	struct fixture *fixture = *state;
	struct instance *one = add(fixture, 1000, "/docker/a"), *two = add(fixture, 1001, "/docker/a");
	unsigned int allowed = 0;

	while (account_change(&fixture->changes, allowed % 2 ? one : two))
		allowed++;
	assert_in_range(allowed, ACCOUNT_FILE_KIB / 4, ACCOUNT_FILE_KIB);
	assert_int_equal(fixture->n_log, 1);
	assert_string_equal(fixture->log[0].text,
			    "a change was refused: namespaces of /docker/a have put too much into the ledger of late");
	assert_false(account_change(&fixture->changes, one));
	assert_false(account_write(&fixture->changes, two, 2 * 65536));
	assert_int_equal(fixture->n_log, 1); /* once */
	assert_true(account_change(&fixture->changes, add(fixture, 1002, "/docker/b")));
	two = add(fixture, 1003, NULL);
	for (unsigned int i = 0; i < 2 * allowed; i++)
		assert_true(account_change(&fixture->changes, two)); /* root's */
	fixture->loop.time += 4 * ACCOUNT_FILE_MS;
	assert_true(account_change(&fixture->changes, one));
}

static bool decide(struct fixture *fixture, struct instance *instance, unsigned int number)
{
	const struct bpftune_verdict verdict = { .key = { number }, .value = { 1 } };
	struct learnt_key key = { .about = "" };
	const struct learnt *learnt;

	snprintf(key.about, sizeof(key.about), "%u", number);
	learnt_put(&fixture->changes, instance, &key, "decided", &verdict);
	HASH_FIND(hh, instance->state->learnt, &key, sizeof(key), learnt);
	return learnt->is_held;
}

/* Whoever has many namespaces leaves room in the map for others. */
static void test_verdicts_of_an_owner(void **state)
{
	struct fixture *fixture = *state;
	struct instance *first = add(fixture, 1000, "/docker/a"), *last = first;

	for (unsigned int i = 0; i < ACCOUNT_VERDICTS_MAX; i++) {
		if (i && !(i % LEARNT_MAX))
			last = add(fixture, 1000 + i, "/docker/a");
		assert_true(decide(fixture, last, i % LEARNT_MAX));
	}
	assert_true(decide(fixture, last, 0)); /* in place of its own */
	last = add(fixture, 500, "/docker/a");
	assert_false(decide(fixture, last, 0));
	assert_false(decide(fixture, last, 1));
	assert_int_equal(fixture->verdicts, ACCOUNT_VERDICTS_MAX);
	assert_int_equal(fixture->n_log, 1); /* once */
	assert_string_equal(
		fixture->log[0].text,
		"a decision has no effect: 8192 of namespaces of /docker/a have, the most for one owner");
	assert_true(decide(fixture, add(fixture, 501, "/docker/b"), 0));
	assert_true(decide(fixture, add(fixture, 502, NULL), 0));
	/* What is taken back makes room, and so does an instance that is another owner's. */
	learnt_take_back(&fixture->changes, first, 1);
	assert_int_equal(first->state->charged->n_verdicts, ACCOUNT_VERDICTS_MAX - LEARNT_MAX);
	assert_true(decide(fixture, last, 0));
	unshared_free(last->owner);
	last->owner = unshared_strdup("/docker/b");
	account_count(&fixture->changes, last);
	assert_int_equal(first->state->charged->n_verdicts, ACCOUNT_VERDICTS_MAX - LEARNT_MAX);
	assert_int_equal(last->state->charged->n_verdicts, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_changes(test_memories_of_an_owner),
		on_changes(test_memories_follow_their_instance),
		on_changes(test_changes_of_an_owner),
		on_changes(test_verdicts_of_an_owner),
	};

	return cmocka_run_group_tests_name("account", tests, NULL, NULL);
}
