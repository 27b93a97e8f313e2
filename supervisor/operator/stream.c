// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/operator/stream.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "ipc/cleanup.h"
#include "supervisor/instances/instances.h"

static void stream_free(struct streams *streams, struct stream *stream)
{
	HASH_DEL(streams->by_instance, stream);
	for (size_t i = 0; i < stream->capacity; i++)
		heap_put(&streams->heap, stream->records[i]);
	free(stream->records);
	heap_put(&streams->heap, stream->name);
	heap_put(&streams->heap, stream->owner);
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

static struct log_record *newest(const struct stream *stream)
{
	return stream->n ? stream->records[(stream->n - 1) % stream->capacity] : NULL;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool says_the_same(const struct log_record *a, const struct log_record *b)
{
	return a->severity == b->severity && same_text(a->tuner, b->tuner) && same_text(a->scenario, b->scenario) &&
	       same_text(a->text, b->text) && same_text(a->tunable, b->tunable) && same_text(a->from, b->from) &&
	       same_text(a->to, b->to);
}

/* Most streams stay short, and each worker's fork has a copy. */
static bool make_room(struct stream *stream)
{
	size_t capacity = stream->capacity ? 2 * stream->capacity : 4;
	struct log_record **records;

	if (stream->n < stream->capacity || stream->capacity == STREAM_RECORDS)
		return true;
	records = realloc(stream->records, capacity * sizeof(*records));
	if (!records)
		return false;
	memset(records + stream->capacity, 0, (capacity - stream->capacity) * sizeof(*records));
	stream->records = records;
	stream->capacity = capacity;
	return true;
}

static void keep(struct streams *streams, struct stream *stream, struct log_record *record, uint64_t now_us)
{
	struct log_record **slot;

	if (!make_room(stream)) {
		heap_put(&streams->heap, record);
		return;
	}
	slot = &stream->records[stream->n++ % stream->capacity];
	record->time_us = now_us;
	record->seq = ++streams->seq;
	heap_put(&streams->heap, *slot);
	*slot = record;
	if (!record->is_copy)
		log_write(record);
	if (streams->on_record)
		streams->on_record(streams->arg, record);
}

static void say_repeated(struct streams *streams, struct stream *stream, uint64_t now_us)
{
	const struct log_record *repeated = newest(stream);
	struct log_record *note;
	char text[64];

	if (!repeated || !stream->repeated)
		return;
	snprintf(text, sizeof(text), "the last record was repeated %u times", stream->repeated);
	stream->repeated = 0;
	note = log_record_new(&streams->heap, &(struct log_record){
						      .instance = stream->instance,
						      .severity = repeated->severity,
						      .is_copy = repeated->is_copy,
						      .container = stream->name,
						      .container_id = repeated->container_id,
						      .tuner = repeated->tuner,
						      .text = text,
					      });
	if (note)
		keep(streams, stream, note, now_us);
}

void streams_log(struct streams *streams, const struct log_record *fields)
{
	struct stream *stream = stream_get(streams, fields);
	struct log_record *record = log_record_new(&streams->heap, fields);
	uint64_t now_us = log_realtime_us();
	const struct log_record *last;

	if (!stream || !record) {
		heap_put(&streams->heap, record);
		return;
	}
	if (record->container && !record->is_copy && (!stream->name || strcmp(stream->name, record->container))) {
		heap_put(&streams->heap, stream->name);
		stream->name = heap_strdup(&streams->heap, record->container);
	}
	last = newest(stream);
	if (last && now_us - last->time_us < STREAM_FOLD_US && says_the_same(last, record)) {
		stream->repeated++;
		heap_put(&streams->heap, record);
		return;
	}
	streams->told += record->tuner && record->severity <= LOG_NOTICE && !record->is_copy;
	say_repeated(streams, stream, now_us);
	keep(streams, stream, record, now_us);
}

/* The one that ended first, of an owner or of all (NULL), if there are more than max; NULL: there are not. */
static struct stream *first_of_many(const struct streams *streams, const char *owner, size_t max)
{
	struct stream *stream, *oldest = NULL;
	size_t n = 0;

	for (stream = streams->by_instance; stream; stream = stream->hh.next) {
		if (!stream->ended || (owner && !same_text(stream->owner, owner)))
			continue;
		n++;
		if (!oldest || stream->ended < oldest->ended)
			oldest = stream;
	}
	return n > max ? oldest : NULL;
}

void streams_end(struct streams *streams, uint64_t instance, const char *owner)
{
	struct stream *stream, *one_too_many;

	HASH_FIND(hh, streams->by_instance, &instance, sizeof(instance), stream);
	if (!stream)
		return;
	say_repeated(streams, stream, log_realtime_us());
	stream->ended = ++streams->endings;
	stream->owner = owner ? heap_strdup(&streams->heap, owner) : NULL;
	one_too_many = owner ? first_of_many(streams, owner, STREAM_ENDED_PER_OWNER) : NULL;
	if (!one_too_many)
		one_too_many = first_of_many(streams, NULL, STREAM_ENDED_MAX);
	if (one_too_many)
		stream_free(streams, one_too_many);
}

static bool is_called(const struct stream *stream, const char *name)
{
	const struct log_record *last = newest(stream);

	return same_text(stream->name, name) || (last && same_text(last->container_id, name));
}

uint64_t streams_find_ended(const struct streams *streams, const char *name)
{
	const struct stream *stream, *last = NULL;
	uint64_t id;

	if (instance_parse_id(name, &id)) {
		HASH_FIND(hh, streams->by_instance, &id, sizeof(id), last);
		return last && last->ended ? id : 0;
	}
	for (stream = streams->by_instance; stream; stream = stream->hh.next)
		if (stream->ended && is_called(stream, name) && (!last || stream->ended > last->ended))
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
		for (size_t i = 0; i < stream->capacity && (!instance || stream->instance == instance); i++)
			if (stream->records[i] && (instance || !stream->records[i]->is_copy))
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
	heap_close(&streams->heap);
}
