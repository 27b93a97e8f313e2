// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/cleanup.h"
#include "ipc/pipe.h"

static bool is_same(const struct bpftune_memory *a, const struct bpftune_memory *b)
{
	return a->version == b->version && a->size == b->size && (!a->size || !memcmp(a->data, b->data, a->size));
}

int memory_take(struct engine *engine, enum bpftune_memory_kind kind, const struct bpftune_memory *memory)
{
	void *copy = memory->size ? malloc(memory->size) : NULL;

	if (memory->size && !copy)
		return -ENOMEM;
	if (copy)
		memcpy(copy, memory->data, memory->size);
	free(engine->memories[kind].data);
	engine->memories[kind] = (struct bpftune_memory){ memory->version, memory->size, copy };
	return 0;
}

/* In as many reports as it takes; nothing comes in between. */
static void tell(const struct worker *worker, const struct engine *engine, enum bpftune_memory_kind kind)
{
	const struct bpftune_memory *memory = &engine->memories[kind];
	uint32_t offset = 0;

	do {
		struct bpftune_report report = { .kind = BPFTUNE_MEMORY, .tuner = engine->number };
		struct bpftune_memory_part part = { kind, memory->version, memory->size, offset, { 0 } };
		uint32_t left = memory->size - offset, n = left < sizeof(part.data) ? left : sizeof(part.data);

		if (n)
			memcpy(part.data, (const uint8_t *)memory->data + offset, n);
		memcpy(report.text, &part, sizeof(part));
		record_write(worker->report_fd, &report, sizeof(report));
		offset += n;
	} while (offset < memory->size);
}

int memory_keep(struct worker *worker, struct engine *engine, enum bpftune_memory_kind kind,
		const struct bpftune_memory *memory)
{
	int err;

	if (worker->instance->shares_netns)
		return -EPERM;
	if (memory->size > BPFTUNE_MEMORY_BYTES_MAX)
		return -E2BIG;
	if (is_same(memory, &engine->memories[kind]))
		return 0;
	err = memory_take(engine, kind, memory);
	if (!err)
		tell(worker, engine, kind);
	return err;
}

int bpftune_remember(struct bpftune *b, uint32_t version, const void *data, size_t size)
{
	struct worker *worker = tunable_worker();

	(void)b;
	if (size > BPFTUNE_MEMORY_BYTES_MAX)
		return -E2BIG;
	return memory_keep(worker, worker->running, BPFTUNE_MEMORY_OF_TUNER,
			   &(struct bpftune_memory){ version, size, (void *)data });
}

const void *bpftune_remembered(const struct bpftune *b, uint32_t version, size_t *ret_size)
{
	const struct bpftune_memory *memory = &tunable_worker()->running->memories[BPFTUNE_MEMORY_OF_TUNER];

	(void)b;
	if (!memory->size || memory->version != version)
		return NULL;
	*ret_size = memory->size;
	return memory->data;
}
