// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libFuzzer target: what somebody who has taken over a worker writes into its pipe. Each record is handled as it is,
 * and once more with its numbers brought near those that exist. Whatever the supervisor has recorded of it can be
 * shown, and is read back from the ledger's file by the next supervisor.
 */
#include "tests/unit/fake_changes.h"

#include "ipc/pipe.h"
#include "supervisor/changes/rollback.h"
#include "supervisor/operator/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void show(void *arg, const struct log_record *record)
{
	struct heap heap = { 0 };
	struct log_record *copy = log_record_new(&heap, record);
	json_t *json = log_json(copy);

	(void)arg;
	check(json != NULL);
	json_decref(json);
	heap_put(&heap, copy);
	heap_close(&heap);
}

static void ignore_complaint(void *arg, const char *text)
{
	(void)arg, (void)text;
}

/* Nothing of it is missing: what is no JSON would be left out. */
static void check_status(struct fixture *fixture)
{
	const struct operator room = { .kernel = &fixture->kernel, .changes = &fixture->changes };
	json_t *status = status_instance_json(&room, fixture->instance, false);
	size_t known = 0;

	for (size_t i = 0; i < N_TUNABLES; i++)
		known += ledger_find(&fixture->changes.ledger, COOKIE, tunables[i].name) != NULL;
	check(json_array_size(json_object_get(status, "tunables")) == known);
	check(json_is_array(json_object_get(status, "learnt")));
	json_decref(status);
}

static void handle(struct fixture *fixture, const struct bpftune_report *record)
{
	struct bpftune_event order;

	report(fixture, record);
	while (read(fixture->read_fd, &order, sizeof(order)) > 0)
		;
	check_status(fixture);
}

static void got(void *arg, const void *bytes)
{
	struct bpftune_report record;
	struct bpftune_memory_part part;

	memcpy(&record, bytes, sizeof(record));
	handle(arg, &record);
	record.kind %= BPFTUNE_MEMORY + 2;
	record.tuner %= 2;
	record.tunable %= N_TUNABLES + 1;
	record.scenario %= 2;
	record.error = -(record.error & 127);
	record.asker %= 4;
	memcpy(&part, record.text, sizeof(part));
	part.kind %= N_BPFTUNE_MEMORY_KINDS;
	part.size %= BPFTUNE_MEMORY_BYTES_MAX + 1;
	part.offset %= 1024;
	if (record.kind == BPFTUNE_MEMORY)
		memcpy(record.text, &part, sizeof(part));
	handle(arg, &record);
}

/* In pieces of any size, as a pipe has them. */
static void feed(struct fixture *fixture, const uint8_t *data, size_t size)
{
	struct record_reader reader = { .size = sizeof(struct bpftune_report) };
	size_t piece = size ? data[0] * 5 + 1 : 1, n;
	int fds[2];

	check(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
	for (size_t at = 0; at < size; at += n) {
		n = at + piece > size ? size - at : piece;
		check(write(fds[1], data + at, n) == (ssize_t)n);
		check(record_read(&reader, fds[0], 16384, got, fixture) >= 0);
	}
	close(fds[0]);
	close(fds[1]);
}

static void hang_up(struct fixture *fixture)
{
	uv_loop_t *loop = &fixture->loop;

	changes_end(&fixture->changes, fixture->instance);
	while (uv_run(loop, UV_RUN_NOWAIT))
		;
	check(uv_loop_close(loop) == 0);
}

static void rolled_back(void *arg, json_t *result)
{
	(void)arg;
	check(result != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ledger again;
	void *state = NULL;
	struct fixture *fixture;
	size_t half = size / 2 / sizeof(struct bpftune_report) * sizeof(struct bpftune_report);

	check(open_changes(&state) == 0);
	fixture = state;
	uv_loop_init(&fixture->loop);
	fixture->instances.listener.log = show;
	fixture->changes.ledger.complain = ignore_complaint;
	report_value(fixture, "1");
	feed(fixture, data, half);
	rollback_start(&fixture->changes, NULL, false, rolled_back, NULL);
	feed(fixture, data + half, size - half);
	check(ledger_open(&again, fixture->dir, complain, NULL) == 0);
	ledger_close(&again);
	hang_up(fixture);
	close_changes(&state);
	return 0;
}
