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
#include <unistd.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/operator/stream.h"

/* Takes a record; what the sink writes to standard error is not for the terminal. */
static void tell_fields(struct streams *streams, const struct log_record *record)
{
	_cleanup_close_ int real = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	_cleanup_close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(null, STDERR_FILENO);
	streams_log(streams, record);
	dup2(real, STDERR_FILENO);
}

static void tell(struct streams *streams, uint64_t instance, const char *container, const char *text)
{
	tell_fields(streams,
		    &(struct log_record){
			    .instance = instance, .container = container, .text = text, .severity = LOG_INFO });
}

static void tell_number(struct streams *streams, uint64_t instance, unsigned int number)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", number);
	tell(streams, instance, "c", text);
}

static int open_streams(void **state)
{
	*state = calloc(1, sizeof(struct streams));
	return *state ? 0 : -1;
}

static int close_streams(void **state)
{
	struct streams *streams = *state;

	streams_free(streams);
	assert_null(streams->by_instance);
	free(streams);
	return 0;
}

/* The numbers that were read, in their order. */
struct heard {
	size_t n;
	unsigned int numbers[2048];
	uint64_t last_seq;
};

static void hear(void *arg, const struct log_record *record)
{
	struct heard *heard = arg;

	assert_true(heard->n < ARRAY_SIZE(heard->numbers));
	assert_true(record->seq > heard->last_seq);
	heard->last_seq = record->seq;
	heard->numbers[heard->n++] = strtoul(record->text, NULL, 10);
}

/* The last n are `from`, `from` + `step`, ... */
static void assert_reads(const struct streams *streams, uint64_t instance, size_t n, size_t expected,
			 unsigned int from, unsigned int step)
{
	struct heard heard = { 0 };

	assert_int_equal(streams_read(streams, instance, n, hear, &heard), 0);
	assert_int_equal(heard.n, expected);
	for (size_t i = 0; i < expected; i++)
		assert_int_equal(heard.numbers[i], from + i * step);
}

static void test_empty(void **state)
{
	struct streams *streams = *state;

	assert_reads(streams, 0, 10, 0, 0, 0);
	assert_reads(streams, 1, 10, 0, 0, 0);
	streams_end(streams, 1, NULL);
	assert_int_equal(streams_find_ended(streams, "c"), 0);
}

/* Time and number are the stream's to give; the rest is kept as it was told, escaped. */
static void keep(void *arg, const struct log_record *record)
{
	*(const struct log_record **)arg = record;
}

static void test_stamps(void **state)
{
	struct streams *streams = *state;
	const struct log_record *told = NULL, *got = NULL;
	uint64_t now_us = time(NULL) * 1000000ULL;

	streams->on_record = keep;
	streams->arg = &told;
	tell(streams, 5, "c\n1", "text");
	assert_non_null(told);
	assert_int_equal(streams_read(streams, 5, 1, keep, &got), 0);
	assert_ptr_equal(got, told);
	assert_int_equal(got->seq, 1);
	assert_int_equal(got->instance, 5);
	assert_int_equal(got->severity, LOG_INFO);
	assert_true(got->time_us >= now_us && got->time_us < now_us + 60 * 1000000ULL);
	assert_string_equal(got->container, "c\\x0a1");
	assert_string_equal(got->text, "text");
	assert_null(got->tunable);
}

static void test_ring_wraps(void **state)
{
	struct streams *streams = *state;
	unsigned int told = 0;

	while (told < STREAM_RECORDS - 1)
		tell_number(streams, 1, told++);
	assert_reads(streams, 1, SIZE_MAX, STREAM_RECORDS - 1, 0, 1);
	tell_number(streams, 1, told++);
	assert_reads(streams, 1, SIZE_MAX, STREAM_RECORDS, 0, 1);
	tell_number(streams, 1, told++);
	assert_reads(streams, 1, SIZE_MAX, STREAM_RECORDS, 1, 1);
	while (told < 2 * STREAM_RECORDS + 10)
		tell_number(streams, 1, told++);
	assert_reads(streams, 1, SIZE_MAX, STREAM_RECORDS, STREAM_RECORDS + 10, 1);
	assert_reads(streams, 1, STREAM_RECORDS, STREAM_RECORDS, STREAM_RECORDS + 10, 1);
	assert_reads(streams, 1, 3, 3, 2 * STREAM_RECORDS + 7, 1);
	assert_reads(streams, 1, 0, 0, 0, 0);
	assert_reads(streams, 2, 10, 0, 0, 0);
}

/* Turn by turn: each stream has its own only, all of them are in one order. */
static void test_order_over_all(void **state)
{
	struct streams *streams = *state;

	for (unsigned int i = 0; i < 30; i++)
		tell_number(streams, 1 + i % 3, i);
	assert_reads(streams, 0, SIZE_MAX, 30, 0, 1);
	assert_reads(streams, 0, 7, 7, 23, 1);
	for (unsigned int i = 0; i < 3; i++) {
		assert_reads(streams, 1 + i, SIZE_MAX, 10, i, 3);
		assert_reads(streams, 1 + i, 2, 2, 24 + i, 3);
	}
}

/* One that talks much costs another nothing. */
static void test_rings_are_apart(void **state)
{
	struct streams *streams = *state;

	tell_number(streams, 1, 0);
	for (unsigned int i = 1; i <= 3 * STREAM_RECORDS; i++)
		tell_number(streams, 2, i);
	assert_reads(streams, 1, SIZE_MAX, 1, 0, 1);
	assert_reads(streams, 2, SIZE_MAX, STREAM_RECORDS, 2 * STREAM_RECORDS + 1, 1);
}

static void test_ended_are_kept_for_a_while(void **state)
{
	struct streams *streams = *state;
	uint64_t id;

	tell_number(streams, 1000, 1000); /* alive all the time */
	for (id = 1; id <= STREAM_ENDED_MAX; id++) {
		tell_number(streams, id, id);
		streams_end(streams, id, NULL);
	}
	for (id = 1; id <= STREAM_ENDED_MAX; id++)
		assert_reads(streams, id, 10, 1, id, 1);
	for (; id <= STREAM_ENDED_MAX + 5; id++) {
		tell_number(streams, id, id);
		streams_end(streams, id, NULL);
		assert_reads(streams, id - STREAM_ENDED_MAX, 10, 0, 0, 0); /* the oldest goes */
		assert_reads(streams, id - STREAM_ENDED_MAX + 1, 10, 1, id - STREAM_ENDED_MAX + 1, 1);
	}
	assert_int_equal(HASH_COUNT(streams->by_instance), STREAM_ENDED_MAX + 1);
	assert_reads(streams, 1000, 10, 1, 1000, 1);
}

/* In order of their end, not of their beginning. */
static void test_first_to_end_goes_first(void **state)
{
	struct streams *streams = *state;

	for (uint64_t id = 1; id <= STREAM_ENDED_MAX + 1; id++)
		tell_number(streams, id, id);
	for (uint64_t id = STREAM_ENDED_MAX + 1; id; id--)
		streams_end(streams, id, NULL);
	assert_reads(streams, STREAM_ENDED_MAX + 1, 10, 0, 0, 0);
	assert_reads(streams, STREAM_ENDED_MAX, 10, 1, STREAM_ENDED_MAX, 1);
	assert_reads(streams, 1, 10, 1, 1, 1);
}

static void end_of(struct streams *streams, uint64_t id, const char *owner)
{
	tell_number(streams, id, id);
	streams_end(streams, id, owner);
}

/* Somebody who makes and ends many loses his own, once he has his share; others keep theirs. */
static void test_ended_by_owner(void **state)
{
	struct streams *streams = *state;
	uint64_t id = 1;

	end_of(streams, id++, NULL);
	end_of(streams, id++, "/a");
	end_of(streams, id++, "/b");
	for (; id <= 3 + STREAM_ENDED_PER_OWNER; id++)
		end_of(streams, id, "/b");
	assert_reads(streams, 3, 10, 0, 0, 0);
	assert_reads(streams, 4, 10, 1, 4, 1);
	for (; id <= 10 * STREAM_ENDED_MAX; id++)
		end_of(streams, id, "/b");
	assert_reads(streams, 1, 10, 1, 1, 1);
	assert_reads(streams, 2, 10, 1, 2, 1);
	assert_reads(streams, id - STREAM_ENDED_PER_OWNER - 1, 10, 0, 0, 0);
	assert_reads(streams, id - STREAM_ENDED_PER_OWNER, 10, 1, id - STREAM_ENDED_PER_OWNER, 1);
	assert_int_equal(HASH_COUNT(streams->by_instance), 2 + STREAM_ENDED_PER_OWNER);
}

static void test_find_ended(void **state)
{
	struct streams *streams = *state;

	tell(streams, 1, "c1", "");
	tell(streams, 2, "c2", "");
	tell(streams, 3, NULL, "");
	assert_int_equal(streams_find_ended(streams, "c1"), 0); /* alive */
	assert_int_equal(streams_find_ended(streams, "instance:1"), 0);
	streams_end(streams, 3, NULL);
	streams_end(streams, 1, NULL);
	assert_int_equal(streams_find_ended(streams, "c1"), 1);
	assert_int_equal(streams_find_ended(streams, "instance:1"), 1);
	assert_int_equal(streams_find_ended(streams, "instance:7"), 0);
	assert_int_equal(streams_find_ended(streams, "c"), 0);
	assert_int_equal(streams_find_ended(streams, ""), 0);

	/* The last one of the name, whatever their ids; one that lives does not count. */
	tell(streams, 9, "c1", "");
	tell(streams, 4, "c1", "");
	streams_end(streams, 9, NULL);
	assert_int_equal(streams_find_ended(streams, "c1"), 9);
	streams_end(streams, 4, NULL);
	assert_int_equal(streams_find_ended(streams, "c1"), 4);
}

static void test_find_ended_by_id(void **state)
{
	struct streams *streams = *state;

	tell_fields(streams,
		    &(struct log_record){ .instance = 1, .container = "c1", .container_id = "0123abc", .text = "" });
	tell(streams, 2, "0123abd", "");
	assert_int_equal(streams_find_ended(streams, "0123abc"), 0); /* alive */
	streams_end(streams, 1, NULL);
	streams_end(streams, 2, NULL);
	assert_int_equal(streams_find_ended(streams, "0123abc"), 1);
	assert_int_equal(streams_find_ended(streams, "0123ab"), 0);
	assert_int_equal(streams_find_ended(streams, "0123abd"), 2);
}

/* It is found by what it was called last. */
static void test_renamed(void **state)
{
	struct streams *streams = *state;

	tell(streams, 1, "netns-4026532000", "");
	tell(streams, 1, "web", "");
	tell(streams, 1, NULL, "");
	streams_end(streams, 1, NULL);
	assert_int_equal(streams_find_ended(streams, "netns-4026532000"), 0);
	assert_int_equal(streams_find_ended(streams, "web"), 1);
}

static void keep_last(void *arg, const struct log_record *record)
{
	snprintf(arg, 128, "%s", record->text);
}

static void assert_last(const struct streams *streams, const char *text)
{
	char last[128] = "";

	assert_int_equal(streams_read(streams, 1, 1, keep_last, last), 0);
	assert_string_equal(last, text);
}

static void count_record(void *arg, const struct log_record *record)
{
	(void)record;
	++*(unsigned int *)arg;
}

/* What says the same again is only counted, and the count said before what comes next. */
static void test_folding(void **state)
{
	struct streams *streams = *state;
	unsigned int heard = 0;

	streams->on_record = count_record;
	streams->arg = &heard;
	for (int i = 0; i < 15; i++)
		tell(streams, 1, "c", "the same");
	assert_last(streams, "the same");
	assert_int_equal(heard, 1);
	tell(streams, 2, "d", "the same"); /* another's: nothing to do with it */
	assert_int_equal(heard, 2);
	tell(streams, 1, "c", "another");
	assert_int_equal(heard, 4);
	assert_last(streams, "another");
	heard = 0;
	assert_int_equal(streams_read(streams, 1, SIZE_MAX, count_record, &heard), 0);
	assert_int_equal(heard, 3);
	assert_int_equal(streams_read(streams, 1, 2, count_record, &heard), 0);
	tell(streams, 1, "c", "another");
	tell(streams, 1, "c", "the same");
	tell(streams, 1, "c", "the same");
	streams_end(streams, 1, NULL); /* said at the end, too */
	assert_last(streams, "the last record was repeated 1 times");
}

static void test_repeated_how_often(void **state)
{
	struct streams *streams = *state;
	struct stream *stream;
	uint64_t one = 1;

	for (int i = 0; i < 15; i++)
		tell(streams, 1, "c", "the same");
	tell(streams, 1, "c", "another");
	HASH_FIND(hh, streams->by_instance, &one, sizeof(one), stream);
	assert_int_equal(stream->n, 3);
	assert_string_equal(stream->records[1]->text, "the last record was repeated 14 times");
	assert_string_equal(stream->records[1]->container, "c");
}

/* Anything that differs makes it another record. */
static void test_different_ones_are_not_folded(void **state)
{
	static const struct log_record plain = { .instance = 1, .severity = LOG_NOTICE, .container = "c", .text = "t",
						 .tuner = "u", .scenario = "s", .tunable = "a.x", .from = "1", .to = "2" };
	struct log_record others[] = { plain, plain, plain, plain, plain, plain, plain, plain };
	struct streams *streams = *state;
	struct stream *stream;

	others[0].severity = LOG_ERR;
	others[1].text = "T";
	others[2].tuner = NULL;
	others[3].scenario = "S";
	others[4].tunable = "a.y";
	others[5].from = "0";
	others[6].to = "3";
	others[7].tuner = "";
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		tell_fields(streams, &plain);
		tell_fields(streams, &others[i]);
	}
	HASH_FIND(hh, streams->by_instance, &plain.instance, sizeof(plain.instance), stream);
	assert_int_equal(stream->n, 2 * ARRAY_SIZE(others));
	assert_int_equal(stream->repeated, 0);
}

/* Old news are news again. */
static void test_folding_ends(void **state)
{
	struct streams *streams = *state;
	struct stream *stream;
	uint64_t one = 1;

	tell(streams, 1, "c", "the same");
	tell(streams, 1, "c", "the same");
	HASH_FIND(hh, streams->by_instance, &one, sizeof(one), stream);
	stream->records[0]->time_us -= STREAM_FOLD_US; /* as if it had been that long ago */
	tell(streams, 1, "c", "the same");
	assert_int_equal(stream->n, 3);
	assert_string_equal(stream->records[1]->text, "the last record was repeated 1 times");
	assert_last(streams, "the same");
	stream->records[2]->time_us += 2 * STREAM_FOLD_US; /* the clock was set back */
	tell(streams, 1, "c", "the same");
	assert_int_equal(stream->n, 4);
}

#define on_streams(test) cmocka_unit_test_setup_teardown(test, open_streams, close_streams)

static unsigned int n_lines(int fd)
{
	char text[4096];
	ssize_t size = read(fd, text, sizeof(text));
	unsigned int n = 0;

	for (ssize_t i = 0; i < size; i++)
		n += text[i] == '\n';
	return n;
}

/* A record and its copy: each in its stream; the sink, and who reads all streams, gets one. */
static void test_copy(void **state)
{
	_cleanup_close_ int real = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	struct log_record record = { .instance = 1, .container = "host", .text = "1", .severity = LOG_INFO };
	struct streams *streams = *state;
	int fds[2];

	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	tell(streams, 2, "c", "0");
	dup2(fds[1], STDERR_FILENO);
	streams_log(streams, &record);
	record.instance = 2;
	record.is_copy = true;
	streams_log(streams, &record);
	streams_log(streams, &record); /* folded */
	record.text = "2";
	streams_log(streams, &record);
	dup2(real, STDERR_FILENO);
	assert_int_equal(n_lines(fds[0]), 1);
	close(fds[0]);
	close(fds[1]);
	assert_reads(streams, 1, 10, 1, 1, 0);
	assert_reads(streams, 0, 10, 2, 0, 1);
	streams_end(streams, 2, NULL);
	assert_int_equal(streams_find_ended(streams, "c"), 2); /* it keeps its own name */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_streams(test_empty),
		on_streams(test_stamps),
		on_streams(test_ring_wraps),
		on_streams(test_order_over_all),
		on_streams(test_rings_are_apart),
		on_streams(test_ended_are_kept_for_a_while),
		on_streams(test_first_to_end_goes_first),
		on_streams(test_ended_by_owner),
		on_streams(test_find_ended),
		on_streams(test_find_ended_by_id),
		on_streams(test_renamed),
		on_streams(test_folding),
		on_streams(test_repeated_how_often),
		on_streams(test_different_ones_are_not_folded),
		on_streams(test_folding_ends),
		on_streams(test_copy),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
