// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "ipc/varlink.h"

/* Every message that was handed over, as compact JSON, one after the other. */
struct heard {
	unsigned int n;
	char text[256];
};

static void hear(void *arg, json_t *message)
{
	struct heard *heard = arg;
	_cleanup_free_ char *text = json_dumps(message, JSON_COMPACT);

	assert_non_null(text);
	heard->n++;
	strncat(heard->text, text, sizeof(heard->text) - strlen(heard->text) - 1);
}

#define BYTES(literal) literal, sizeof(literal) - 1

static void test_feed(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		int err;
		unsigned int messages;
		const char *heard;
	} cases[] = {
		{ BYTES(""), 0, 0, "" },
		{ BYTES("{}\0"), 0, 1, "{}" },
		{ BYTES("{\"a\":1}"), 0, 0, "" }, /* not ended yet */
		{ BYTES("{\"a\":1}\0{\"b\":[2]}\0{}\0"), 0, 3, "{\"a\":1}{\"b\":[2]}{}" },
		{ BYTES(" {\n\"a\" : \"\\u00e9\" }\n\0"), 0, 1, "{\"a\":\"\xc3\xa9\"}" },
		{ BYTES("{\"a\":1}\0{\"b\""), 0, 1, "{\"a\":1}" },
		{ BYTES("\0"), -EBADMSG, 0, "" },
		{ BYTES("{}\0\0"), -EBADMSG, 1, "{}" },
		{ BYTES("garbage\0"), -EBADMSG, 0, "" },
		{ BYTES("{\"a\":1\0"), -EBADMSG, 0, "" },
		{ BYTES("{}{}\0"), -EBADMSG, 0, "" },
		{ BYTES("{}x\0"), -EBADMSG, 0, "" },
		{ BYTES("{\"a\":1,\"a\":2}\0"), -EBADMSG, 0, "" },
		{ BYTES("{\"a\":\"\xff\"}\0"), -EBADMSG, 0, "" },
		{ BYTES("{\"a\":\"\\u0000\"}\0"), -EBADMSG, 0, "" },
		{ BYTES("[]\0"), -EBADMSG, 0, "" },
		{ BYTES("\"text\"\0"), -EBADMSG, 0, "" },
		{ BYTES("1\0"), -EBADMSG, 0, "" },
		{ BYTES("null\0"), -EBADMSG, 0, "" },
		{ BYTES("{\"a\":1}\0[]\0{\"b\":2}\0"), -EBADMSG, 1, "{\"a\":1}" }, /* none after an error */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct varlink_reader reader = { .max = VARLINK_CALL_MAX };
		struct heard heard = { 0 };
		int err = varlink_feed(&reader, cases[i].bytes, cases[i].n, hear, &heard);

		if (err != cases[i].err || heard.n != cases[i].messages || strcmp(heard.text, cases[i].heard))
			fail_msg("case %zu, '%s': %d, %u messages: %s", i, cases[i].bytes, err, heard.n, heard.text);
		varlink_reader_clear(&reader);
		assert_null(reader.buffer);
		assert_int_equal(reader.have, 0);
	}
}

/* Two messages cut in three at any two places arrive as they are. */
static void test_split(void **state)
{
	static const char bytes[] = "{\"a\":1}\0{\"b\":\"x\"}"; /* with the literal's own NUL */
	const size_t n = sizeof(bytes);

	(void)state;
	for (size_t i = 0; i <= n; i++)
		for (size_t j = i; j <= n; j++) {
			struct varlink_reader reader = { .max = VARLINK_CALL_MAX };
			struct heard heard = { 0 };

			assert_int_equal(varlink_feed(&reader, bytes, i, hear, &heard), 0);
			assert_int_equal(varlink_feed(&reader, bytes + i, j - i, hear, &heard), 0);
			assert_int_equal(varlink_feed(&reader, bytes + j, n - j, hear, &heard), 0);
			assert_int_equal(heard.n, 2);
			assert_string_equal(heard.text, "{\"a\":1}{\"b\":\"x\"}");
			varlink_reader_clear(&reader);
		}
}

static void count(void *arg, json_t *message)
{
	assert_int_equal(json_object_size(message), 0);
	++*(unsigned int *)arg;
}

/* The limit is of one message with its NUL, however it is cut, and not of what came before it. */
static void test_limit(void **state)
{
	static const struct {
		size_t size;
		int err;
		unsigned int messages;
	} cases[] = {
		{ VARLINK_CALL_MAX - 1, 0, 2 },
		{ VARLINK_CALL_MAX, 0, 2 },
		{ VARLINK_CALL_MAX + 1, -EMSGSIZE, 1 },
		{ 4 * VARLINK_CALL_MAX, -EMSGSIZE, 1 },
	};
	static const size_t pieces[] = { 4096, 1000, VARLINK_CALL_MAX, 8 * VARLINK_CALL_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t j = 0; j < ARRAY_SIZE(pieces); j++) {
			struct varlink_reader reader = { .max = VARLINK_CALL_MAX };
			size_t n = 3 + cases[i].size;
			_cleanup_free_ char *bytes = malloc(n);
			unsigned int messages = 0;
			int err = 0;

			assert_non_null(bytes);
			memset(bytes, ' ', n);
			memcpy(bytes, "{}\0{}", 5);
			bytes[n - 1] = '\0';
			for (size_t at = 0; at < n && !err; at += pieces[j])
				err = varlink_feed(&reader, bytes + at, n - at < pieces[j] ? n - at : pieces[j], count, &messages);
			assert_int_equal(err, cases[i].err);
			assert_int_equal(messages, cases[i].messages);
			assert_true(reader.have <= VARLINK_CALL_MAX);
			varlink_reader_clear(&reader);
		}
}

/* A peer that never ends its message is refused when it is too long, not collected for ever. */
static void test_endless(void **state)
{
	struct varlink_reader reader = { .max = VARLINK_CALL_MAX };
	struct heard heard = { 0 };
	char bytes[1024];
	size_t fed = 0;
	int err;

	(void)state;
	memset(bytes, '{', sizeof(bytes));
	do {
		err = varlink_feed(&reader, bytes, sizeof(bytes), hear, &heard);
		fed += sizeof(bytes);
	} while (!err && fed < 4 * VARLINK_CALL_MAX);
	assert_int_equal(err, -EMSGSIZE);
	assert_int_equal(fed, VARLINK_CALL_MAX + sizeof(bytes));
	assert_int_equal(heard.n, 0);
	varlink_reader_clear(&reader);
}

/* A call of nothing but brackets is garbage like any other, not a deep recursion. */
static void test_deep(void **state)
{
	struct varlink_reader reader = { .max = VARLINK_CALL_MAX };
	struct heard heard = { 0 };
	_cleanup_free_ char *bytes = malloc(VARLINK_CALL_MAX);

	(void)state;
	assert_non_null(bytes);
	memset(bytes, '[', VARLINK_CALL_MAX);
	memcpy(bytes, "{\"a\":", 5);
	bytes[VARLINK_CALL_MAX - 1] = '\0';
	assert_int_equal(varlink_feed(&reader, bytes, VARLINK_CALL_MAX, hear, &heard), -EBADMSG);
	assert_int_equal(heard.n, 0);
	varlink_reader_clear(&reader);
}

static void test_encode(void **state)
{
	struct varlink_reader reader = { .max = VARLINK_CALL_MAX };
	struct heard heard = { 0 };
	_cleanup_free_ char *text = NULL;
	size_t size = 0;

	(void)state;
	text = varlink_encode(json_pack("{s:s}", "method", "a\nb"), &size);
	assert_string_equal(text, "{\"method\":\"a\\nb\"}");
	assert_int_equal(size, strlen(text) + 1);
	assert_int_equal(varlink_feed(&reader, text, size, hear, &heard), 0);
	assert_string_equal(heard.text, text);
	varlink_reader_clear(&reader);
	assert_null(varlink_encode(NULL, &size));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_feed),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_encode),
	};

	return cmocka_run_group_tests_name("varlink", tests, NULL, NULL);
}
