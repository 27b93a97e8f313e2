// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ipc/cleanup.h"

static void stream_free(struct streams *streams, struct stream *stream)
{
	HASH_DEL(streams->by_instance, stream);
	for (size_t i = 0; i < STREAM_RECORDS; i++)
		free(stream->records[i]);
	free(stream->name);
	free(stream);
}

static struct stream *stream_get(struct streams *streams, const struct log_record *fields)
{
	struct stream *stream;

	HASH_FIND(hh, streams->by_instance, &fields->instance, sizeof(fields->instance), stream);
	if (stream)
		return stream;
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return NULL;
	stream->instance = fields->instance;
	HASH_ADD(hh, streams->by_instance, instance, sizeof(stream->instance), stream);
	return stream;
}

void streams_log(struct streams *streams, const struct log_record *fields)
{
	struct stream *stream = stream_get(streams, fields);
	struct log_record *record = log_record_new(fields), **slot;
	struct timespec now;

	if (!stream || !record) {
		free(record);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	record->time_us = now.tv_sec * 1000000ULL + now.tv_nsec / 1000;
	record->seq = ++streams->seq;
	if (record->container && (!stream->name || strcmp(stream->name, record->container))) {
		free(stream->name);
		stream->name = strdup(record->container);
	}
	slot = &stream->records[stream->n++ % STREAM_RECORDS];
	free(*slot);
	*slot = record;
	log_write(record);
	if (streams->told)
		streams->told(streams->arg, record);
}

void streams_end(struct streams *streams, uint64_t instance)
{
	struct stream *stream, *next, *oldest = NULL;
	size_t ended = 0;

	HASH_FIND(hh, streams->by_instance, &instance, sizeof(instance), stream);
	if (!stream)
		return;
	stream->ended = ++streams->endings;
	HASH_ITER(hh, streams->by_instance, stream, next) {
		if (!stream->ended)
			continue;
		ended++;
		if (!oldest || stream->ended < oldest->ended)
			oldest = stream;
	}
	if (ended > STREAM_ENDED_MAX)
		stream_free(streams, oldest);
}

uint64_t streams_find_ended(const struct streams *streams, const char *name)
{
	const struct stream *stream, *last = NULL;

	for (stream = streams->by_instance; stream; stream = stream->hh.next)
		if (stream->ended && stream->name && !strcmp(stream->name, name) &&
		    (!last || stream->ended > last->ended))
			last = stream;
	return last ? last->instance : 0;
}

static int by_seq(const void *a, const void *b)
{
	const struct log_record *x = *(const struct log_record *const *)a, *y = *(const struct log_record *const *)b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

int streams_read(const struct streams *streams, uint64_t instance, size_t n,
		 void (*got)(void *arg, const struct log_record *record), void *arg)
{
	size_t capacity = STREAM_RECORDS * HASH_COUNT(streams->by_instance), have = 0;
	_cleanup_free_ const struct log_record **records = calloc(capacity + 1, sizeof(*records));

	if (!records)
		return -ENOMEM;
	for (const struct stream *stream = streams->by_instance; stream; stream = stream->hh.next)
		for (size_t i = 0; i < STREAM_RECORDS && (!instance || stream->instance == instance); i++)
			if (stream->records[i])
				records[have++] = stream->records[i];
	qsort(records, have, sizeof(*records), by_seq);
	for (size_t i = have > n ? have - n : 0; i < have; i++)
		got(arg, records[i]);
	return 0;
}

void streams_free(struct streams *streams)
{
	struct stream *stream, *next;

	HASH_ITER(hh, streams->by_instance, stream, next)
		stream_free(streams, stream);
}
