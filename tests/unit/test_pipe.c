// SPDX-License-Identifier: GPL-2.0-or-later
/* Framing and back-pressure, over real pipes. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "ipc/pipe.h"
#include "ipc/report.h"

struct ends {
	int fds[2];
	size_t room; /* events that the pipe takes */
};

static int make_pipe(void **state)
{
	struct ends *ends = malloc(sizeof(*ends));
	int bytes;

	*state = ends;
	if (!ends || pipe2(ends->fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	bytes = fcntl(ends->fds[1], F_SETPIPE_SZ, 1); /* a page */
	ends->room = bytes / sizeof(struct bpftune_event);
	return bytes < 0 ? -1 : 0;
}

static int drop_pipe(void **state)
{
	struct ends *ends = *state;

	close_fdp(&ends->fds[0]);
	close_fdp(&ends->fds[1]);
	free(ends);
	return 0;
}

/* What a reader was handed: the number that each record carries. */
struct heard {
	size_t n;
	uint64_t numbers[2048];
};

static void hear(void *arg, const void *record)
{
	struct heard *heard = arg;

	assert_true(heard->n < ARRAY_SIZE(heard->numbers));
	assert_int_equal((uintptr_t)record % 8, 0);
	heard->numbers[heard->n++] = ((const struct bpftune_event *)record)->time_ns;
}

static void assert_counts_up(const struct heard *heard, size_t n)
{
	assert_int_equal(heard->n, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(heard->numbers[i], i);
}

static struct record_reader event_reader(void)
{
	return (struct record_reader){ .size = sizeof(struct bpftune_event) };
}

static struct bpftune_event numbered(uint64_t number)
{
	struct bpftune_event event = { .time_ns = number };

	memset(event.payload, (int)number, sizeof(event.payload));
	return event;
}

static void write_raw(int fd, const void *bytes, size_t n)
{
	assert_int_equal(write(fd, bytes, n), n);
}

/* --- records ------------------------------------------------------------------------------------ */

static void test_batch(void **state)
{
	const int *fds = ((struct ends *)*state)->fds;
	struct record_reader reader = event_reader();
	struct heard heard = { 0 };

	assert_int_equal(record_read(&reader, fds[0], SIZE_MAX, hear, &heard), -EAGAIN);
	for (uint64_t i = 0; i < 10; i++) {
		struct bpftune_event event = numbered(i);

		assert_int_equal(record_write(fds[1], &event, sizeof(event)), 0);
	}
	assert_int_equal(record_read(&reader, fds[0], SIZE_MAX, hear, &heard), 10);
	assert_counts_up(&heard, 10);
	assert_int_equal(record_read(&reader, fds[0], SIZE_MAX, hear, &heard), -EAGAIN);
}

/* Three records in pieces of every size: none is handed over early, torn or twice. */
static void test_short_reads(void **state)
{
	const int *fds = ((struct ends *)*state)->fds;
	const struct bpftune_event events[] = { numbered(0), numbered(1), numbered(2) };
	const char *bytes = (const char *)events;

	for (size_t piece = 1; piece <= sizeof(events); piece++) {
		struct record_reader reader = event_reader();
		struct heard heard = { 0 };

		for (size_t at = 0; at < sizeof(events); at += piece) {
			size_t n = piece < sizeof(events) - at ? piece : sizeof(events) - at;
			size_t whole = (at + n) / sizeof(*events) - at / sizeof(*events);

			write_raw(fds[1], bytes + at, n);
			assert_int_equal(record_read(&reader, fds[0], SIZE_MAX, hear, &heard), whole);
		}
		assert_counts_up(&heard, ARRAY_SIZE(events));
	}
}

static void keep(void *arg, const void *record)
{
	memcpy(arg, record, sizeof(struct bpftune_report));
}

/* The largest record there is, byte for byte, in two unequal parts. */
static void test_contents(void **state)
{
	const int *fds = ((struct ends *)*state)->fds;
	struct record_reader reader = { .size = sizeof(struct bpftune_report) };
	struct bpftune_report sent, got = { 0 };

	for (size_t i = 0; i < sizeof(sent); i++)
		((unsigned char *)&sent)[i] = i * 7 + i / 256;
	write_raw(fds[1], &sent, sizeof(sent) - 1);
	assert_int_equal(record_read(&reader, fds[0], SIZE_MAX, keep, &got), 0);
	write_raw(fds[1], (char *)&sent + sizeof(sent) - 1, 1);
	assert_int_equal(record_read(&reader, fds[0], SIZE_MAX, keep, &got), 1);
	assert_memory_equal(&sent, &got, sizeof(sent));
}

static void test_end_of_file(void **state)
{
	int *fds = ((struct ends *)*state)->fds;
	struct record_reader reader = event_reader();
	struct bpftune_event event = numbered(0);
	struct heard heard = { 0 };

	assert_int_equal(record_write(fds[1], &event, sizeof(event)), 0);
	close_fdp(&fds[1]);
	assert_int_equal(record_read(&reader, fds[0], SIZE_MAX, hear, &heard), 1);
	assert_int_equal(record_read(&reader, fds[0], SIZE_MAX, hear, &heard), -EPIPE);
	assert_counts_up(&heard, 1);
}

static void test_end_of_file_inside_a_record(void **state)
{
	int *fds = ((struct ends *)*state)->fds;
	struct record_reader reader = event_reader();
	struct bpftune_event event = numbered(0);
	struct heard heard = { 0 };

	assert_int_equal(record_write(fds[1], &event, sizeof(event)), 0);
	write_raw(fds[1], &event, 5);
	close_fdp(&fds[1]);
	assert_int_equal(record_read(&reader, fds[0], SIZE_MAX, hear, &heard), 1);
	assert_int_equal(record_read(&reader, fds[0], SIZE_MAX, hear, &heard), -EBADMSG);
	assert_counts_up(&heard, 1);
}

/* A write into a pipe without room for the whole record leaves no part of it. */
static void test_full_pipe(void **state)
{
	const struct ends *ends = *state;
	const int *fds = ends->fds;
	struct record_reader reader = event_reader();
	struct bpftune_event event;
	struct heard heard = { 0 };
	uint64_t sent = 0;
	int err;

	do {
		event = numbered(sent);
		err = record_write(fds[1], &event, sizeof(event));
		sent += !err;
	} while (!err);
	assert_int_equal(err, -EAGAIN);
	assert_int_equal(sent, ends->room);
	while (heard.n < sent)
		assert_true(record_read(&reader, fds[0], SIZE_MAX, hear, &heard) > 0);
	assert_counts_up(&heard, sent);
	assert_int_equal(reader.have, 0);
}

/*
 * The writer is always ahead, by more than one read takes, and the records do not divide what it takes:
 * each read ends inside one.
 */
static void test_reader_that_lags(void **state)
{
	const int *fds = ((struct ends *)*state)->fds;
	const size_t size = 96, all = 1000;
	struct record_reader reader = { .size = size };
	struct heard heard = { 0 };
	unsigned int torn = 0;
	uint64_t sent = 0;

	if (fcntl(fds[1], F_SETPIPE_SZ, 65536) < 0)
		skip(); /* past this user's share of pipe memory */
	while (heard.n < all) {
		struct bpftune_event event = numbered(sent);

		while (sent < all && !record_write(fds[1], &event, size))
			event = numbered(++sent);
		assert_true(record_read(&reader, fds[0], SIZE_MAX, hear, &heard) > 0);
		torn += reader.have != 0;
	}
	assert_counts_up(&heard, all);
	assert_true(torn > 0);
	assert_int_equal(reader.have, 0);
}

static void test_nobody_reads(void **state)
{
	int *fds = ((struct ends *)*state)->fds;
	struct bpftune_event event = numbered(0);

	close_fdp(&fds[0]);
	assert_int_equal(record_write(fds[1], &event, sizeof(event)), -EPIPE);
	assert_int_equal(record_write(-1, &event, sizeof(event)), -EBADF);
}

/* A pipe may take a part of a record that is longer than PIPE_BUF: that is an error. */
static void test_record_too_long(void **state)
{
	const int *fds = ((struct ends *)*state)->fds;
	static const char record[PIPE_BUF + 65536];

	assert_int_equal(record_write(fds[1], record, sizeof(record)), -EIO);
}

/* --- the queue ---------------------------------------------------------------------------------- */

/* One event of each key stands first; the second replaces it or not. */
static void test_coalescing(void **state)
{
	enum { ORDER = BPFTUNE_FROM_SUPERVISOR };
	static const struct {
		const char *what;
		struct bpftune_event first, second;
		enum event_fate fate;
	} cases[] = {
		{ "the same", { .tuner = 1 }, { .tuner = 1 }, EVENT_COALESCED },
		{ "the same, of all fields",
		  { .instance = 7, .asker = 8, .tuner = 1, .scenario = 2, .pid = 10 },
		  { .instance = 7, .asker = 8, .tuner = 1, .scenario = 2, .pid = 11 },
		  EVENT_COALESCED },
		{ "the same key, another payload",
		  { .key_bytes = 2, .payload = { 1, 2, 3 } },
		  { .key_bytes = 2, .payload = { 1, 2, 4 } },
		  EVENT_COALESCED },
		{ "another key",
		  { .key_bytes = 2, .payload = { 1, 2, 3 } },
		  { .key_bytes = 2, .payload = { 1, 3, 3 } },
		  EVENT_QUEUED },
		{ "a key and none", { .key_bytes = 2 }, {}, EVENT_QUEUED },
		{ "none and a key", {}, { .key_bytes = 2 }, EVENT_QUEUED },
		{ "a key that is the whole payload",
		  { .key_bytes = 255, .payload = { [BPFTUNE_EVENT_PAYLOAD_BYTES - 1] = 1 } },
		  { .key_bytes = 255, .payload = { [BPFTUNE_EVENT_PAYLOAD_BYTES - 1] = 2 } },
		  EVENT_QUEUED },
		{ "another instance", { .instance = 1 }, { .instance = 2 }, EVENT_QUEUED },
		{ "another asker", { .asker = 1 }, { .asker = 2 }, EVENT_QUEUED },
		{ "another tuner", { .tuner = 1 }, { .tuner = 2 }, EVENT_QUEUED },
		{ "another scenario", { .scenario = 1 }, { .scenario = 2 }, EVENT_QUEUED },
		{ "orders to read one value",
		  { .tuner = ORDER, .scenario = BPFTUNE_READ, .payload = { 1, 0, 2 } },
		  { .tuner = ORDER, .scenario = BPFTUNE_READ, .payload = { 1, 0, 2, 0, 9 } },
		  EVENT_COALESCED },
		{ "orders to read two tunables",
		  { .tuner = ORDER, .scenario = BPFTUNE_READ, .payload = { 1, 0, 2 } },
		  { .tuner = ORDER, .scenario = BPFTUNE_READ, .payload = { 1, 0, 3 } },
		  EVENT_QUEUED },
		{ "an order to read after another",
		  { .tuner = ORDER, .scenario = BPFTUNE_GRANT },
		  { .tuner = ORDER, .scenario = BPFTUNE_READ },
		  EVENT_QUEUED },
		{ "another order after one to read",
		  { .tuner = ORDER, .scenario = BPFTUNE_READ },
		  { .tuner = ORDER, .scenario = BPFTUNE_GRANT },
		  EVENT_QUEUED },
		{ "an order to read after an event of that number",
		  { .tuner = 1, .scenario = BPFTUNE_READ },
		  { .tuner = ORDER, .scenario = BPFTUNE_READ },
		  EVENT_QUEUED },
		{ "orders", { .tuner = ORDER }, { .tuner = ORDER }, EVENT_QUEUED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct event_queue queue = { 0 };
		struct bpftune_event first = cases[i].first, second = cases[i].second;
		size_t left = cases[i].fate == EVENT_COALESCED ? 1 : 2;

		first.time_ns = 1;
		second.time_ns = 2;
		assert_int_equal(event_queue_push(&queue, &first), EVENT_QUEUED);
		if (event_queue_push(&queue, &second) != cases[i].fate || queue.n != left ||
		    queue.events[left - 1].time_ns != 2 || queue.events[left - 1].pid != second.pid)
			fail_msg("%s: wrong fate, or the older event was kept", cases[i].what);
		event_queue_clear(&queue);
	}
}

/* A newer event takes the place of the older one, so that it doesn't lose its turn. */
static void test_coalescing_keeps_the_turn(void **state)
{
	const int *fds = ((struct ends *)*state)->fds;
	struct record_reader reader = event_reader();
	struct event_queue queue = { 0 };
	struct heard heard = { 0 };

	for (uint16_t i = 0; i < 6; i++)
		assert_int_equal(event_queue_push(&queue, &(struct bpftune_event){ .tuner = i % 3, .time_ns = i }),
				 i < 3 ? EVENT_QUEUED : EVENT_COALESCED);
	assert_int_equal(event_queue_push(&queue, &(struct bpftune_event){ .tuner = 1, .time_ns = 9 }), EVENT_COALESCED);
	assert_int_equal(event_queue_flush(&queue, fds[1]), 0);
	assert_int_equal(record_read(&reader, fds[0], SIZE_MAX, hear, &heard), 3);
	assert_int_equal(heard.numbers[0], 3);
	assert_int_equal(heard.numbers[1], 9);
	assert_int_equal(heard.numbers[2], 5);
}

/* Different events fill the queue; then only what replaces one, and orders up to a limit, are taken. */
static void test_queue_limit(void **state)
{
	struct event_queue queue = { 0 };
	struct bpftune_event event = { 0 }, order = { .tuner = BPFTUNE_FROM_SUPERVISOR, .scenario = BPFTUNE_GRANT };

	(void)state;
	for (event.scenario = 0; event.scenario < EVENT_QUEUE_MAX; event.scenario++)
		assert_int_equal(event_queue_push(&queue, &event), EVENT_QUEUED);
	assert_int_equal(event_queue_push(&queue, &event), EVENT_LOST);
	for (size_t i = 1; i <= 3 * EVENT_QUEUE_MAX; i++) {
		assert_int_equal(event_queue_push(&queue, &order), EVENT_QUEUED);
		assert_int_equal(queue.n, EVENT_QUEUE_MAX + i);
	}
	assert_int_equal(event_queue_push(&queue, &event), EVENT_LOST);
	event.scenario = EVENT_QUEUE_MAX - 1;
	assert_int_equal(event_queue_push(&queue, &event), EVENT_COALESCED);
	assert_int_equal(queue.n, 4 * EVENT_QUEUE_MAX);
	while (queue.n < EVENT_QUEUE_ORDERS_MAX)
		assert_int_equal(event_queue_push(&queue, &order), EVENT_QUEUED);
	assert_int_equal(event_queue_push(&queue, &order), EVENT_FLOODED);
	assert_int_equal(queue.n, EVENT_QUEUE_ORDERS_MAX);
	event_queue_clear(&queue);
	assert_int_equal(queue.n, 0);
	assert_null(queue.events);
}

/* Events about many remotes leave room for those of other tuners. */
static void test_queue_of_keys(void **state)
{
	struct event_queue queue = { 0 };
	struct bpftune_event event = { .tuner = 1, .key_bytes = 1 }, other = { .tuner = 2 };

	(void)state;
	for (; event.payload[0] < EVENT_QUEUE_KEYED_MAX; event.payload[0]++)
		assert_int_equal(event_queue_push(&queue, &event), EVENT_QUEUED);
	assert_int_equal(event_queue_push(&queue, &event), EVENT_LOST);
	for (; other.scenario < EVENT_QUEUE_MAX - EVENT_QUEUE_KEYED_MAX; other.scenario++)
		assert_int_equal(event_queue_push(&queue, &other), EVENT_QUEUED);
	assert_int_equal(event_queue_push(&queue, &other), EVENT_LOST);
	event.payload[0]--;
	assert_int_equal(event_queue_push(&queue, &event), EVENT_COALESCED);
	event_queue_clear(&queue);
}

/* The events between the orders stay, in their sequence. */
static void test_orders_are_dropped(void **state)
{
	const int *fds = ((struct ends *)*state)->fds;
	static const uint16_t tuners[] = { 0, BPFTUNE_FROM_SUPERVISOR, BPFTUNE_FROM_SUPERVISOR, 1, 2, BPFTUNE_FROM_SUPERVISOR };
	struct record_reader reader = event_reader();
	struct event_queue queue = { 0 };
	struct heard heard = { 0 };
	uint64_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(tuners); i++) {
		struct bpftune_event event = { .tuner = tuners[i], .time_ns = 99 };

		if (tuners[i] != BPFTUNE_FROM_SUPERVISOR)
			event.time_ns = n++;
		assert_int_equal(event_queue_push(&queue, &event), EVENT_QUEUED);
	}
	event_queue_drop_orders(&queue);
	assert_int_equal(queue.n, n);
	assert_int_equal(event_queue_flush(&queue, fds[1]), 0);
	assert_int_equal(record_read(&reader, fds[0], SIZE_MAX, hear, &heard), n);
	assert_counts_up(&heard, n);
}

/* More than the pipe holds: what is left keeps its order, and later ones go behind it. */
static void test_flush_resumes(void **state)
{
	const struct ends *ends = *state;
	const int *fds = ends->fds;
	const size_t all = 2 * ends->room;
	struct bpftune_event order = { .tuner = BPFTUNE_FROM_SUPERVISOR };
	struct record_reader reader = event_reader();
	struct event_queue queue = { 0 };
	struct heard heard = { 0 };

	for (; order.time_ns < all - 1; order.time_ns++)
		assert_int_equal(event_queue_push(&queue, &order), EVENT_QUEUED);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(event_queue_flush(&queue, fds[1]), -EAGAIN);
		assert_int_equal(queue.n, all - 1 - ends->room);
	}
	assert_int_equal(event_queue_push(&queue, &order), EVENT_QUEUED);

	while (heard.n < ends->room)
		assert_true(record_read(&reader, fds[0], SIZE_MAX, hear, &heard) > 0);
	assert_int_equal(event_queue_flush(&queue, fds[1]), 0);
	assert_int_equal(queue.n, 0);
	while (heard.n < all)
		assert_true(record_read(&reader, fds[0], SIZE_MAX, hear, &heard) > 0);
	assert_counts_up(&heard, all);
	assert_int_equal(event_queue_flush(&queue, fds[1]), 0); /* nothing to do */
	assert_int_equal(record_read(&reader, fds[0], SIZE_MAX, hear, &heard), -EAGAIN);
}

static void test_flush_to_nobody(void **state)
{
	int *fds = ((struct ends *)*state)->fds;
	struct event_queue queue = { 0 };

	event_queue_push(&queue, &(struct bpftune_event){ .tuner = 1 });
	event_queue_push(&queue, &(struct bpftune_event){ .tuner = 2 });
	close_fdp(&fds[0]);
	assert_int_equal(event_queue_flush(&queue, fds[1]), -EPIPE);
	assert_int_equal(queue.n, 2);
	event_queue_clear(&queue);
}

#define over_a_pipe(test) cmocka_unit_test_setup_teardown(test, make_pipe, drop_pipe)

int main(void)
{
	const struct CMUnitTest tests[] = {
		over_a_pipe(test_batch),
		over_a_pipe(test_short_reads),
		over_a_pipe(test_contents),
		over_a_pipe(test_end_of_file),
		over_a_pipe(test_end_of_file_inside_a_record),
		over_a_pipe(test_full_pipe),
		over_a_pipe(test_reader_that_lags),
		over_a_pipe(test_nobody_reads),
		over_a_pipe(test_record_too_long),
		cmocka_unit_test(test_coalescing),
		over_a_pipe(test_coalescing_keeps_the_turn),
		cmocka_unit_test(test_queue_limit),
		cmocka_unit_test(test_queue_of_keys),
		over_a_pipe(test_orders_are_dropped),
		over_a_pipe(test_flush_resumes),
		over_a_pipe(test_flush_to_nobody),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("pipe", tests, NULL, NULL);
}
