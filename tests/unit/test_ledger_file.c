// SPDX-License-Identifier: GPL-2.0-or-later
/* What is believed of the ledger's file. */
#include <zlib.h>

#include "supervisor/changes/ledger_replay.h"
#include "tests/unit/temporary_ledger.h"

static char *read_file(const struct fixture *fixture, size_t *ret_size)
{
	size_t size = file_size(fixture);
	char path[PATH_BYTES], *text = malloc(size + 1);
	_cleanup_fclose_ FILE *file = NULL;

	path_of(fixture, "ledger", path);
	file = fopen(path, "re");
	assert_true(file && text && fread(text, 1, size, file) == size);
	text[size] = '\0';
	*ret_size = size;
	return text;
}

static void write_file(const struct fixture *fixture, const char *text, size_t size)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[PATH_BYTES];

	path_of(fixture, "ledger", path);
	file = fopen(path, "we");
	assert_true(file && fwrite(text, 1, size, file) == size);
}

/* A line as the ledger would write it. */
static size_t put_line(char *to, const char *json)
{
	return sprintf(to, "%08lx %s\n", crc32(0, (const Bytef *)json, strlen(json)), json);
}

static void test_reopen(void **state)
{
	struct fixture *fixture = *state;

	populate(&fixture->ledger);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(reopen(fixture), 0);
		assert_populated(&fixture->ledger);
	}
	assert_int_equal(fixture->complaints, 0);
	assert_int_equal(each_file(fixture, "", false), 1);
}

/* Wherever the last write was torn, all lines before are believed, and nothing is said. */
static void test_torn(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *text = NULL;
	size_t size, whole;

	populate(&fixture->ledger);
	assert_int_equal(reopen(fixture), 0);
	text = read_file(fixture, &whole);
	value(&fixture->ledger, "9");
	free(text);
	text = read_file(fixture, &size);
	assert_true(size > whole);
	for (size_t cut = whole; cut < size; cut++) {
		write_file(fixture, text, cut);
		assert_int_equal(reopen(fixture), 0);
		assert_populated(&fixture->ledger);
	}
	write_file(fixture, text, size);
	assert_int_equal(reopen(fixture), 0);
	assert_entry(&fixture->ledger, "1", "9", 2, false);
	assert_int_equal(fixture->complaints, 0);
}

/* What the complaint names is the damaged file, to the byte. */
static void assert_kept(const struct fixture *fixture, const char *text, size_t size)
{
	const char *name = strstr(fixture->last, "/ledger.damaged-");
	_cleanup_free_ char *kept = malloc(size + 1);
	_cleanup_fclose_ FILE *file = NULL;
	char path[PATH_BYTES];

	assert_true(name && kept);
	path_of(fixture, "", path);
	snprintf(path + strlen(path), sizeof(path) - strlen(path), "%.*s", (int)strcspn(name + 1, ":"), name + 1);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fread(kept, 1, size + 1, file), size);
	assert_memory_equal(kept, text, size);
}

/* What the sound lines after the damaged one say is known: those of NETNS + 1 are the last two. */
static void assert_rest(const struct ledger *ledger)
{
	assert_string_equal(ledger_find(ledger, NETNS + 1, NAME)->initial, "4096 16384 65536");
	assert_int_equal(ledger_get_state(ledger, NETNS + 1, "first")->state, TUNER_MANUAL);
}

/* One bit anywhere: that line is not believed, and none if it is the first, which tells the boot. */
static void test_damaged(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *text = NULL;
	size_t size, head, tail;

	populate(&fixture->ledger);
	assert_int_equal(reopen(fixture), 0);
	text = read_file(fixture, &size);
	head = strchr(text, '\n') - text;
	tail = strstr(text, "4096 16384 65536") - text;
	while (text[tail - 1] != '\n')
		tail--;
	for (size_t at = 0; at < size; at += at < 100 ? 1 : 37) {
		unsigned int before = fixture->complaints;

		if (text[at] == '\n' && at + 1 == size)
			continue; /* torn, not damaged */
		text[at] ^= 1;
		write_file(fixture, text, size);
		assert_int_equal(reopen(fixture), 0);
		assert_int_equal(fixture->complaints, before + 1);
		assert_kept(fixture, text, size);
		text[at] ^= 1;
		if (at <= head)
			assert_null(fixture->ledger.netns);
		else if (at < tail - 1)
			assert_rest(&fixture->ledger);
		else
			assert_entry(&fixture->ledger, "1", "4", 2, false);
		each_file(fixture, "ledger.damaged-", true);
	}
	assert_int_equal(reopen(fixture), 0); /* it goes on, in a new file */
	assert_entry(&fixture->ledger, "1", "4", 2, false);
}

/* Two in one second, say: neither takes the other's name. */
static void test_damaged_twice(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned int n = 1; n <= 5; n++) {
		write_file(fixture, "damaged\n", 8);
		assert_int_equal(reopen(fixture), 0);
		assert_int_equal(each_file(fixture, "ledger.damaged-", false), n);
		assert_kept(fixture, "damaged\n", 8);
	}
}

/* As net.ipv4.ip_local_reserved_ports is by default. */
static void test_empty_value_is_kept(void **state)
{
	struct fixture *fixture = *state;
	struct ledger *ledger = &fixture->ledger;

	assert_int_equal(ledger_value(ledger, 7, "a.x", ""), LEDGER_FIRST);
	assert_int_equal(reopen(fixture), 0);
	assert_int_equal(fixture->complaints, 0);
	assert_int_equal(ledger_value(ledger, 7, "a.x", ""), LEDGER_SAME);
	assert_int_equal(ledger_value(ledger, 7, "a.x", "1"), LEDGER_FOREIGN);
	assert_string_equal(ledger_find(ledger, 7, "a.x")->initial, "");
}

/* Whole lines with a right checksum that say what cannot be. */
static void test_nonsense(void **state)
{
	static const char *const lines[] = {
		"[]", "{}", "{\"kind\":\"entry\"}", "{\"kind\":\"dance\",\"netns\":7}", "{\"kind\":1,\"netns\":7}",
		"{\"kind\":\"entry\",\"netns\":\"7\",\"tunable\":\"a.x\",\"initial\":\"1\",\"current\":\"1\"}",
		"{\"kind\":\"entry\",\"netns\":7,\"tunable\":\"\",\"initial\":\"1\",\"current\":\"1\"}",
		"{\"kind\":\"intent\",\"netns\":9,\"tunable\":\"a.x\",\"from\":\"1\",\"to\":\"2\",\"scenario\":\"near\"}",
		"{\"kind\":\"change\",\"netns\":9,\"tunable\":\"a.x\",\"from\":\"1\",\"to\":\"2\",\"scenario\":\"near\"}",
		"{\"kind\":\"change\",\"netns\":7,\"tunable\":\"a.x\",\"from\":\"1\",\"to\":\"2\"}",
		"{\"kind\":\"change\",\"netns\":7,\"from\":\"1\",\"to\":\"2\",\"scenario\":\"near\"}",
		"{\"kind\":\"change\",\"netns\":7,\"tunable\":\"a.x\",\"to\":\"2\",\"scenario\":\"near\"}",
		"{\"kind\":\"change\",\"netns\":7,\"tunable\":\"a.x\",\"from\":\"1\",\"scenario\":\"near\"}",
		"{\"kind\":\"state\",\"netns\":7,\"tuner\":\"first\",\"state\":\"asleep\"}",
		"{\"kind\":\"gone\",\"kind\":\"gone\",\"netns\":7}",
	};
	struct fixture *fixture = *state;
	_cleanup_free_ char *text = NULL, *longer = NULL;
	size_t size, n;

	populate(&fixture->ledger);
	text = read_file(fixture, &size);
	longer = malloc(size + 1024);
	assert_non_null(longer);
	memcpy(longer, text, size);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		n = put_line(longer + size, lines[i]);
		write_file(fixture, longer, size + n);
		assert_int_equal(reopen(fixture), 0);
		if (fixture->complaints != i + 1)
			fail_msg("believed: %s", lines[i]);
		assert_populated(&fixture->ledger);
		assert_kept(fixture, longer, size + n);
	}
}

static void test_other_heads(void **state)
{
	static const struct {
		const char *head, *name;
	} cases[] = {
		{ "{\"bpftune_ledger\":2,\"boot\":\"x\"}", "ledger.other-version-" },
		{ "{\"bpftune_ledger\":0,\"boot\":\"x\"}", "ledger.other-version-" },
		{ "{\"bpftune_ledger\":1,\"boot\":\"x\"}", "ledger.other-boot-" },
		{ "{\"bpftune_ledger\":1}", "ledger.damaged-" },
		{ "{\"boot\":\"x\"}", "ledger.damaged-" },
	};
	struct fixture *fixture = *state;
	char text[1024];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = put_line(text, cases[i].head);

		n += put_line(text + n, "{\"kind\":\"entry\",\"netns\":7,\"tunable\":\"a.x\",\"initial\":\"1\","
					"\"current\":\"1\",\"renew\":false,\"scenarios\":{}}");
		each_file(fixture, "ledger.", true);
		write_file(fixture, text, n);
		assert_int_equal(reopen(fixture), 0);
		assert_null(fixture->ledger.entries);
		assert_int_equal(fixture->complaints, i + 1);
		if (each_file(fixture, cases[i].name, false) != 1 || !strstr(fixture->last, cases[i].name))
			fail_msg("%s: %s", cases[i].head, fixture->last);
	}
	each_file(fixture, "ledger", true);
	write_file(fixture, "", 0); /* its very first write never came: nothing to complain of */
	assert_int_equal(reopen(fixture), 0);
	assert_int_equal(fixture->complaints, ARRAY_SIZE(cases));
}

static void test_replay_errors(void **state)
{
	static const char *const head = "{\"bpftune_ledger\":1,\"boot\":\"x\"}";
	static const struct {
		const char *head, *line; /* NULL: a line without a checksum */
		int err;
	} cases[] = {
		{ "{\"bpftune_ledger\":1}", "{}", -EBADMSG },
		{ "{\"bpftune_ledger\":2,\"boot\":\"x\"}", "{}", -EPROTONOSUPPORT },
		{ "{\"bpftune_ledger\":1,\"boot\":\"y\"}", "{}", -ESTALE },
		{ NULL, "{\"kind\":\"gone\",\"netns\":7}", 0 },
		{ NULL, "{\"kind\":\"dance\",\"netns\":7}", -EBADMSG },
		{ NULL, "{\"kind\":\"entry\",\"netns\":7}", -EBADMSG },
		{ NULL, NULL, -EBADMSG },
	};
	struct ledger ledger = { .fd = -1 };
	char text[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = put_line(text, cases[i].head ? cases[i].head : head);

		n += cases[i].line ? put_line(text + n, cases[i].line) : (size_t)sprintf(text + n, "{}\n");
		if (ledger_replay(&ledger, text, n, "x") != cases[i].err)
			fail_msg("case %zu", i);
		ledger_forget_all(&ledger);
	}
	assert_int_equal(ledger_replay(&ledger, "torn", 4, "x"), -EBADMSG);
	assert_int_equal(ledger_replay(&ledger, "", 0, "x"), 0);
}

/* Bytes that are no UTF-8 come from a sysctl or from a process's name: they cost neither record nor file. */
static void test_not_utf8(void **state)
{
	struct fixture *fixture = *state;

	value(&fixture->ledger, "1");
	ledger_set_state(&fixture->ledger, NETNS, "first", TUNER_MANUAL, "a.x was set to \xff by \xc3 (pid 1)");
	assert_int_equal(ledger_intent(&fixture->ledger, &(struct ledger_change){ .netns_cookie = NETNS, .tunable = NAME,
				       .tuner = "first", .scenario = "near", .from = "1", .to = "2",
				       .reason = "\xe2\x82" }), 0);
	assert_int_equal(fixture->complaints, 0);
	assert_int_equal(reopen(fixture), 0);
	assert_non_null(ledger_get_state(&fixture->ledger, NETNS, "first"));
	assert_int_equal(ledger_get_state(&fixture->ledger, NETNS, "first")->state, TUNER_MANUAL);
}

static void remember(struct ledger *ledger, uint64_t netns_cookie, const char *name, void *data, uint32_t size)
{
	assert_int_equal(ledger_remember(ledger, netns_cookie, name, &(struct bpftune_memory){ 3, size, data }), 0);
}

static void assert_remembered(const struct ledger *ledger, uint64_t netns_cookie, const char *name, const void *data,
			      uint32_t size)
{
	const struct ledger_memory *memory = ledger_get_memory(ledger, netns_cookie, name);

	assert_true(memory && memory->version == 3 && memory->size == size && !memcmp(memory->data, data, size));
}

static void test_memories(void **state)
{
	static uint8_t most[BPFTUNE_MEMORY_BYTES_MAX], some[] = { 0, 255, 16, 0 };
	struct fixture *fixture = *state;
	struct ledger *ledger = &fixture->ledger;

	for (size_t i = 0; i < sizeof(most); i++)
		most[i] = i ^ i / 256;
	populate(ledger);
	remember(ledger, NETNS, "first", some, sizeof(some));
	remember(ledger, NETNS, "first", most, sizeof(most));
	remember(ledger, NETNS, "first/trials", some, sizeof(some));
	remember(ledger, NETNS, "second", some, sizeof(some));
	remember(ledger, NETNS, "second", NULL, 0);
	remember(ledger, NETNS + 1, "first", some, sizeof(some));
	for (int i = 0; i < 3; i++) { /* as appended, then twice as rewritten */
		assert_int_equal(reopen(fixture), 0);
		assert_populated(ledger);
		assert_remembered(ledger, NETNS, "first", most, sizeof(most));
		assert_remembered(ledger, NETNS, "first/trials", some, sizeof(some));
		assert_remembered(ledger, NETNS + 1, "first", some, sizeof(some));
		assert_null(ledger_get_memory(ledger, NETNS, "second"));
		assert_int_equal(ledger->memories_bytes, sizeof(most) + 2 * sizeof(some));
	}
	ledger_gone(ledger, NETNS);
	assert_int_equal(reopen(fixture), 0);
	assert_int_equal(HASH_COUNT(ledger->memories), 1);
	assert_int_equal(ledger->memories_bytes, sizeof(some));
	assert_int_equal(fixture->complaints, 0);
}

/* Much memory must not make the file so large that initial values are lost with it. */
static void test_memories_are_bounded(void **state)
{
	static uint8_t most[BPFTUNE_MEMORY_BYTES_MAX + 1];
	struct fixture *fixture = *state;
	struct bpftune_memory memory = { 3, BPFTUNE_MEMORY_BYTES_MAX, most };
	uint64_t cookie = NETNS;

	for (; cookie < NETNS + LEDGER_MEMORIES_MAX / BPFTUNE_MEMORY_BYTES_MAX; cookie++)
		assert_int_equal(ledger_memory_put(&fixture->ledger, cookie, "first", &memory), 0);
	assert_int_equal(ledger_memory_put(&fixture->ledger, cookie, "first", &memory), -EDQUOT);
	assert_int_equal(ledger_memory_put(&fixture->ledger, NETNS, "first", &memory), 0); /* in place of its own */
	memory.size++;
	assert_int_equal(ledger_memory_put(&fixture->ledger, NETNS, "first", &memory), -EINVAL);
	memory.size = 1;
	assert_int_equal(ledger_memory_put(&fixture->ledger, NETNS, "", &memory), -EINVAL);
	assert_int_equal(ledger_memory_put(&fixture->ledger, cookie, "first", &memory), -EDQUOT);
	ledger_forget(&fixture->ledger, NETNS);
	assert_int_equal(ledger_memory_put(&fixture->ledger, cookie, "first", &memory), 0);
}

/* It costs nothing but itself. */
static void test_damaged_memory(void **state)
{
	static const char *const lines[] = {
		"{\"kind\":\"memory\",\"netns\":7,\"name\":\"first\",\"version\":3,\"data\":\"0g\"}",
		"{\"kind\":\"memory\",\"netns\":7,\"name\":\"first\",\"version\":3,\"data\":\"AB\"}",
		"{\"kind\":\"memory\",\"netns\":7,\"name\":\"\",\"version\":3,\"data\":\"00\"}",
		"{\"kind\":\"memory\",\"netns\":7,\"name\":\"first\",\"version\":3,\"data\":\"\"}",
	};
	struct fixture *fixture = *state;

	populate(&fixture->ledger);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		_cleanup_free_ char *text = NULL, *more = NULL;
		size_t size;

		assert_int_equal(reopen(fixture), 0);
		text = read_file(fixture, &size);
		more = malloc(size + 1000);
		assert_non_null(more);
		memcpy(more, text, size);
		ledger_close(&fixture->ledger);
		write_file(fixture, more, size + put_line(more + size, lines[i]));
		assert_int_equal(ledger_open(&fixture->ledger, fixture->dir, complain, fixture), 0);
		assert_populated(&fixture->ledger);
		assert_null(fixture->ledger.memories);
	}
	assert_int_equal(fixture->complaints, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_a_ledger(test_reopen),
		on_a_ledger(test_torn),
		on_a_ledger(test_damaged),
		on_a_ledger(test_damaged_twice),
		on_a_ledger(test_empty_value_is_kept),
		on_a_ledger(test_nonsense),
		on_a_ledger(test_other_heads),
		on_a_ledger(test_replay_errors),
		on_a_ledger(test_not_utf8),
		on_a_ledger(test_memories),
		on_a_ledger(test_memories_are_bounded),
		on_a_ledger(test_damaged_memory),
	};

	return cmocka_run_group_tests_name("ledger_file", tests, NULL, NULL);
}
