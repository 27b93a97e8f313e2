// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "ipc/log.h"

/* --- escape ------------------------------------------------------------------------------------- */

static void test_escape(void **state)
{
	static const struct {
		const char *text, *escaped;
	} cases[] = {
		{ "", "" },
		{ "plain text", "plain text" },
		{ "a\nb", "a\\x0ab" },
		{ "\x1b[31mred", "\\x1b[31mred" },
		{ "\x01\t\r\x1f \x7f~", "\\x01\\x09\\x0d\\x1f \\x7f~" },
		{ "\xc2\x9b" "31m", "\\xc2\\x9b31m" }, /* C1: CSI */
		{ "\xc2\x80\xc2\x9f\xc2\xa0", "\\xc2\\x80\\xc2\\x9f\xc2\xa0" },
		{ "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80" }, /* around the surrogates */
		{ "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },		    /* the last one */
		/* not UTF-8 */
		{ "\x80", "\\x80" },
		{ "\xff\xfe", "\\xff\\xfe" },
		{ "a\xe9z", "a\\xe9z" },
		{ "\xc0\xaf", "\\xc0\\xaf" },			/* overlong */
		{ "\xc1\xbf", "\\xc1\\xbf" },
		{ "\xe0\x9f\xbf", "\\xe0\\x9f\\xbf" },
		{ "\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },		/* a surrogate */
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" }, /* past the last one */
		{ "\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80" },
		/* ends in the middle of a character */
		{ "\xc3", "\\xc3" },
		{ "\xe2\x82", "\\xe2\\x82" },
		{ "\xf0\x9f\x98", "\\xf0\\x9f\\x98" },
		{ "\xf0\x9f\x98z", "\\xf0\\x9f\\x98z" },
		{ "\xe2\n\x82", "\\xe2\\x0a\\x82" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char escaped[64];

		log_escape(cases[i].text, escaped, sizeof(escaped));
		if (strcmp(escaped, cases[i].escaped))
			fail_msg("case %zu: \"%s\", not \"%s\"", i, escaped, cases[i].escaped);
	}
}

/* At every size: a prefix of whole characters and whole escapes, as long as fits, and not a byte behind. */
static void test_escape_cut(void **state)
{
	static const char text[] = "a\xe2\x82\xac\nz";
	static const struct {
		size_t size;
		const char *escaped;
	} cases[] = {
		{ 1, "" },		    { 2, "a" },
		{ 3, "a" },		    { 4, "a" },
		{ 5, "a\xe2\x82\xac" },	    { 6, "a\xe2\x82\xac" },
		{ 8, "a\xe2\x82\xac" },	    { 9, "a\xe2\x82\xac\\x0a" },
		{ 10, "a\xe2\x82\xac\\x0az" }, { 11, "a\xe2\x82\xac\\x0az" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char escaped[16];

		memset(escaped, '#', sizeof(escaped));
		log_escape(text, escaped, cases[i].size);
		if (strcmp(escaped, cases[i].escaped))
			fail_msg("size %zu: \"%s\"", cases[i].size, escaped);
		for (size_t at = cases[i].size; at < sizeof(escaped); at++)
			assert_int_equal(escaped[at], '#');
	}
}

/* --- records ------------------------------------------------------------------------------------ */

static const struct log_record change = {
	.seq = 42,
	.time_us = 1700000000123456,
	.instance = 7,
	.severity = LOG_NOTICE,
	.container = "c1",
	.tuner = "tcp_buffer",
	.scenario = "send_buffer_limited",
	.tunable = "net.ipv4.tcp_wmem",
	.from = "4096 16384 262144",
	.to = "4096 16384 524288",
	.text = "a flow waited",
};
static const struct log_record plain = {
	.time_us = 1700000000000999,
	.instance = 1,
	.severity = LOG_INFO,
	.container = "host",
	.text = "worker 77 is ready",
};

static void test_copy(void **state)
{
	_cleanup_free_ struct log_record *copy = log_record_new(&change), *without = log_record_new(&plain);

	(void)state;
	assert_non_null(copy);
	assert_int_equal(copy->seq, 42);
	assert_int_equal(copy->time_us, change.time_us);
	assert_int_equal(copy->instance, 7);
	assert_int_equal(copy->severity, LOG_NOTICE);
	assert_string_equal(copy->container, change.container);
	assert_string_equal(copy->tuner, change.tuner);
	assert_string_equal(copy->scenario, change.scenario);
	assert_string_equal(copy->tunable, change.tunable);
	assert_string_equal(copy->from, change.from);
	assert_string_equal(copy->to, change.to);
	assert_string_equal(copy->text, change.text);
	assert_ptr_not_equal(copy->text, change.text);
	assert_string_equal(without->text, plain.text);
	assert_null(without->tuner);
	assert_null(without->scenario);
	assert_null(without->tunable);
	assert_null(without->from);
	assert_null(without->to);
}

static void test_copy_is_escaped(void **state)
{
	struct log_record hostile = { .container = "c1\nfake: line", .tuner = "\x1b[2J", .text = "\xff" };
	_cleanup_free_ struct log_record *copy = log_record_new(&hostile);

	(void)state;
	assert_string_equal(copy->container, "c1\\x0afake: line");
	assert_string_equal(copy->tuner, "\\x1b[2J");
	assert_string_equal(copy->text, "\\xff");
}

/* All strings at once, each as long as it likes and growing fourfold. */
static void test_copy_is_bounded(void **state)
{
	static char text[65536];
	struct log_record hostile = { .container = text, .tuner = text, .scenario = text, .text = text,
				      .tunable = text, .from = text, .to = text };
	_cleanup_free_ struct log_record *copy = NULL;
	char line[128];

	(void)state;
	memset(text, '\n', sizeof(text) - 1);
	copy = log_record_new(&hostile);
	assert_non_null(copy);
	assert_true(strlen(copy->to) < 4096);
	assert_int_equal(strlen(copy->to) % strlen("\\x0a"), 0);
	memset(line, '#', sizeof(line));
	log_human(copy, line, 100);
	assert_int_equal(strlen(line), 99);
	assert_int_equal(line[100], '#');
}

static void test_human(void **state)
{
	static const struct log_record bare = { .time_us = 0 }, tuner_says = { .tuner = "tcp_buffer", .text = "off" };
	static const struct log_record half = { .tuner = "t", .tunable = "a.b", .from = "1", .text = "no outcome" };
	static const struct {
		const char *zone;
		const struct log_record *record;
		const char *line;
	} cases[] = {
		{ "UTC0", &change,
		  "2023-11-14T22:13:20.123+00:00 c1 tcp_buffer: net.ipv4.tcp_wmem 4096 16384 262144 -> "
		  "4096 16384 524288 (send_buffer_limited): a flow waited" },
		{ "UTC0", &plain, "2023-11-14T22:13:20.000+00:00 host worker 77 is ready" },
		{ "IST-5:30", &plain, "2023-11-15T03:43:20.000+05:30 host worker 77 is ready" },
		{ "NST3:30", &plain, "2023-11-14T18:43:20.000-03:30 host worker 77 is ready" },
		{ "UTC0", &tuner_says, "1970-01-01T00:00:00.000+00:00 - tcp_buffer: off" },
		{ "UTC0", &half, "1970-01-01T00:00:00.000+00:00 - t: no outcome" },
		{ "UTC0", &bare, "1970-01-01T00:00:00.000+00:00 - " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char line[512];

		setenv("TZ", cases[i].zone, 1);
		tzset();
		log_human(cases[i].record, line, sizeof(line));
		assert_string_equal(line, cases[i].line);
	}
}

static void test_json(void **state)
{
	static const struct {
		const struct log_record *record;
		const char *text;
	} cases[] = {
		{ &change,
		  "{\"seq\":42,\"time\":\"2023-11-14T22:13:20.123+00:00\",\"instance\":7,\"container\":\"c1\","
		  "\"tuner\":\"tcp_buffer\",\"scenario\":\"send_buffer_limited\",\"severity\":5,\"text\":\"a flow waited\","
		  "\"tunable\":\"net.ipv4.tcp_wmem\",\"from\":\"4096 16384 262144\",\"to\":\"4096 16384 524288\"}" },
		{ &plain,
		  "{\"seq\":0,\"time\":\"2023-11-14T22:13:20.000+00:00\",\"instance\":1,\"container\":\"host\","
		  "\"tuner\":null,\"scenario\":null,\"severity\":6,\"text\":\"worker 77 is ready\","
		  "\"tunable\":null,\"from\":null,\"to\":null}" },
	};

	(void)state;
	setenv("TZ", "UTC0", 1);
	tzset();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *json = log_json(cases[i].record);
		_cleanup_free_ char *text = json_dumps(json, JSON_COMPACT);

		json_decref(json);
		assert_string_equal(text, cases[i].text);
	}
}

/* --- the sink ----------------------------------------------------------------------------------- */

/* A full standard error loses records, is not waited for, and is told how many when it takes some again. */
static void test_sink_that_is_full(void **state)
{
	static const char *const notes[] = { "3 records were not taken by the log\n", "1 records were not taken by the log\n" };
	static char text[65536 + 1];
	_cleanup_close_ int real = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	_cleanup_close_ int reader = -1, writer = -1;
	int fds[2], page;
	ssize_t n;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	reader = fds[0], writer = fds[1];
	page = fcntl(writer, F_SETPIPE_SZ, 1);
	assert_true(page > 0 && (size_t)page < sizeof(text));
	assert_int_equal(write(writer, text, page), page); /* one more byte would block */
	for (size_t i = 0; i < ARRAY_SIZE(notes); i++) {
		dup2(writer, STDERR_FILENO);
		log_open(LOG_SINK_STDERR);
		for (int j = 0; !i && j < 3; j++)
			log_write(&plain);
		n = read(reader, text, page);
		log_write(&plain); /* the note is taken; the pipe's one page is then in use again */
		dup2(real, STDERR_FILENO);
		assert_true(n > 0);
		n = read(reader, text, page);
		assert_true(n > 0);
		text[n] = '\0';
		assert_non_null(strstr(text, notes[i]));
		assert_int_equal(text[n - 1], '\n');
		assert_int_equal(write(writer, text, 1), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_escape_cut),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_copy_is_escaped),
		cmocka_unit_test(test_copy_is_bounded),
		cmocka_unit_test(test_human),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_sink_that_is_full),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
