// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/learnt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "supervisor/kernel/bpf_maps.h"
#include "supervisor/instances/registry.h"

static void tell_programs(struct bpftune_host *host, const struct instance *instance, const struct learnt *learnt,
			  const struct bpftune_verdict *verdict)
{
	struct bpftune_verdict_key key = {
		.netns_cookie = instance->pub.netns_cookie,
		.instance = instance->pub.shares_netns ? instance->pub.id : 0,
	};

	memcpy(key.key, verdict->key, sizeof(key.key));
	if (host)
		bpf_set_verdict(host, learnt->key.tuner, &key, verdict);
}

static void take_back(struct bpftune_host *host, const struct instance *instance, const struct learnt *learnt)
{
	struct bpftune_verdict none = { 0 };

	memcpy(none.key, learnt->verdict.key, sizeof(none.key));
	if (learnt->decided)
		tell_programs(host, instance, learnt, &none);
}

static void forget(struct bpftune_host *host, struct instance *instance, struct learnt *learnt)
{
	take_back(host, instance, learnt);
	HASH_DEL(instance->learnt, learnt);
	free(learnt);
}

/* The tuner's oldest goes when it has as many as it may. */
static void make_room(struct bpftune_host *host, struct instance *instance, uint16_t tuner)
{
	struct learnt *oldest = NULL;
	unsigned int n = 0;

	for (struct learnt *learnt = instance->learnt; learnt; learnt = learnt->hh.next) {
		if (learnt->key.tuner != tuner)
			continue;
		oldest = oldest ? oldest : learnt;
		n++;
	}
	if (n >= LEARNT_MAX)
		forget(host, instance, oldest);
}

static struct learnt *find_or_make(struct bpftune_host *host, struct instance *instance, const struct learnt_key *key)
{
	struct learnt *learnt;

	HASH_FIND(hh, instance->learnt, key, sizeof(*key), learnt);
	if (learnt) {
		HASH_DEL(instance->learnt, learnt); /* to be the newest */
	} else {
		make_room(host, instance, key->tuner);
		learnt = calloc(1, sizeof(*learnt));
		if (!learnt)
			return NULL;
		learnt->key = *key;
	}
	HASH_ADD(hh, instance->learnt, key, sizeof(learnt->key), learnt);
	return learnt;
}

bool learnt_put(struct bpftune_host *host, struct instance *instance, const struct learnt_key *key, const char *text,
		const struct bpftune_verdict *verdict)
{
	struct learnt *learnt = find_or_make(host, instance, key);
	char before[sizeof(learnt->text)];
	bool other;

	if (!learnt)
		return false;
	memcpy(before, learnt->text, sizeof(before));
	log_escape(text, learnt->text, sizeof(learnt->text));
	other = verdict && (!learnt->decided || memcmp(&learnt->verdict, verdict, sizeof(*verdict)));
	if (!other)
		return false;
	if (memcmp(learnt->verdict.key, verdict->key, sizeof(verdict->key)))
		take_back(host, instance, learnt);
	learnt->decided = true;
	learnt->verdict = *verdict;
	tell_programs(host, instance, learnt, verdict);
	return strcmp(learnt->text, before); /* one that only holds for longer is no news */
}

void learnt_take_back(struct bpftune_host *host, const struct instance *instance)
{
	for (const struct learnt *learnt = instance->learnt; learnt; learnt = learnt->hh.next)
		take_back(host, instance, learnt);
}

void learnt_free(struct learnt **table)
{
	struct learnt *learnt, *next;

	HASH_ITER(hh, *table, learnt, next) {
		HASH_DEL(*table, learnt);
		free(learnt);
	}
}
