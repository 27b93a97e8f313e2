// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/learnt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "supervisor/changes/account.h"
#include "supervisor/changes/state.h"

#define NSEC_PER_SEC 1000000000ULL

/* Programs look verdicts up only where the gate says that there are any: the host's, for who shares its namespace. */
static void open_gate(struct changes *changes, struct instance *instance, uint16_t tuner)
{
	struct instance *gated = instance->view.shares_netns ? instance_host(changes->instances) : instance;

	if (changes->dry_run || gated->verdicts >> tuner & 1)
		return;
	gated->verdicts |= 1ULL << tuner;
	instance_set_gate(changes->instances, gated);
}

/*
 * What the map holds then is known: nobody else writes to it. It may have no room, or the kernel no memory, or the owner
 * too many.
 */
static void tell_programs(struct changes *changes, struct instance *instance, struct learnt *learnt,
			  const struct bpftune_verdict *verdict)
{
	static const uint8_t none[sizeof(verdict->value)];
	bool was_held = learnt->is_held, decides = memcmp(verdict->value, none, sizeof(none));
	struct bpftune_verdict_key key = {
		.netns_cookie = instance->view.netns_cookie,
		.instance = instance->view.shares_netns ? instance->view.id : 0,
	};

	memcpy(key.key, verdict->key, sizeof(key.key));
	if (changes->dry_run || (decides && !was_held && !account_has_verdict_left(changes, instance)))
		return;
	learnt->is_held = !bpf_set_verdict(&changes->kernel->host, learnt->key.tuner, &key, verdict) && decides;
	if (learnt->is_held != was_held)
		account_count_verdict(changes, instance, learnt->is_held);
}

static bool holds(const struct learnt *learnt)
{
	uint32_t valid_until_s = learnt->verdict.valid_until_s;

	return learnt->is_held && (!valid_until_s || uv_hrtime() / NSEC_PER_SEC < valid_until_s);
}

static void take_back(struct changes *changes, struct instance *instance, struct learnt *learnt)
{
	struct bpftune_verdict none = { 0 };

	memcpy(none.key, learnt->verdict.key, sizeof(none.key));
	if (learnt->is_held)
		tell_programs(changes, instance, learnt, &none);
}

static void forget(struct changes *changes, struct instance *instance, struct learnt *learnt)
{
	take_back(changes, instance, learnt);
	HASH_DEL(instance->state->learnt, learnt);
	pool_put(&changes->learnt, learnt);
}

void learnt_forget(struct changes *changes, struct instance *instance, uint64_t tuners)
{
	struct learnt *learnt, *next;

	if (!instance->state)
		return;
	HASH_ITER(hh, instance->state->learnt, learnt, next) {
		if (tuners >> learnt->key.tuner & 1)
			forget(changes, instance, learnt);
	}
}

/*
 * The tuner's oldest goes when it has as many as it may; one without a verdict in effect before the others, as anybody
 * can make a tuner hear of many remote hosts.
 */
static void make_room(struct changes *changes, struct instance *instance, uint16_t tuner)
{
	struct learnt *oldest = NULL, *oldest_idle = NULL;
	unsigned int n = 0;

	for (struct learnt *learnt = instance->state->learnt; learnt; learnt = learnt->hh.next) {
		if (learnt->key.tuner != tuner)
			continue;
		oldest = oldest ? oldest : learnt;
		if (!oldest_idle && !holds(learnt))
			oldest_idle = learnt;
		n++;
	}
	if (n >= LEARNT_MAX)
		forget(changes, instance, oldest_idle ? oldest_idle : oldest);
}

void learnt_drop(struct changes *changes, struct instance *instance, const struct learnt_key *key)
{
	struct learnt *learnt;

	if (!instance->state)
		return;
	HASH_FIND(hh, instance->state->learnt, key, sizeof(*key), learnt);
	if (learnt)
		forget(changes, instance, learnt);
}

static struct learnt *find_or_make(struct changes *changes, struct instance *instance, const struct learnt_key *key)
{
	struct learnt *learnt;

	HASH_FIND(hh, instance->state->learnt, key, sizeof(*key), learnt);
	if (learnt) {
		HASH_DEL(instance->state->learnt, learnt); /* to be the newest */
	} else {
		make_room(changes, instance, key->tuner);
		learnt = pool_get(&changes->learnt, sizeof(*learnt));
		if (!learnt)
			return NULL;
		learnt->key = *key;
	}
	HASH_ADD(hh, instance->state->learnt, key, sizeof(learnt->key), learnt);
	return learnt;
}

bool learnt_put(struct changes *changes, struct instance *instance, const struct learnt_key *key, const char *text,
		const struct bpftune_verdict *verdict)
{
	struct learnt *learnt = instance_state_of(instance) ? find_or_make(changes, instance, key) : NULL;
	char before[sizeof(learnt->text)];
	bool other;

	if (!learnt)
		return false;
	memcpy(before, learnt->text, sizeof(before));
	log_escape(text, learnt->text, sizeof(learnt->text));
	other = verdict && (!learnt->decided || memcmp(&learnt->verdict, verdict, sizeof(*verdict)));
	if (!other && (!verdict || learnt->is_held))
		return false;
	if (memcmp(learnt->verdict.key, verdict->key, sizeof(verdict->key)))
		take_back(changes, instance, learnt);
	learnt->decided = true;
	learnt->verdict = *verdict;
	open_gate(changes, instance, key->tuner);
	tell_programs(changes, instance, learnt, verdict);
	return other && strcmp(learnt->text, before); /* a verdict that only got a later expiry is no news */
}

void learnt_take_back(struct changes *changes, struct instance *instance, uint64_t tuners)
{
	struct learnt *learnt = instance->state ? instance->state->learnt : NULL;

	for (; learnt; learnt = learnt->hh.next)
		if (tuners >> learnt->key.tuner & 1)
			take_back(changes, instance, learnt);
}

void learnt_tell_again(struct changes *changes, struct instance *instance, uint64_t tuners)
{
	struct learnt *learnt = instance->state ? instance->state->learnt : NULL;

	for (; learnt; learnt = learnt->hh.next)
		if (learnt->decided && tuners >> learnt->key.tuner & 1)
			tell_programs(changes, instance, learnt, &learnt->verdict);
}

json_t *changes_learnt(const struct changes *changes, const struct instance *instance)
{
	const struct learnt *row = instance->state ? instance->state->learnt : NULL;
	json_t *learnt = json_array();

	for (; row; row = row->hh.next)
		json_array_append_new(learnt,
				      json_pack("{s:s s:s s:s s:b}", "tuner",
						changes->kernel->plugins.tuners[row->key.tuner]->name, "about",
						row->key.about, "text", row->text, "in_effect",
						holds(row) && changes_tuner_state(changes, instance, row->key.tuner) ==
								      TUNER_ACTIVE));
	return learnt;
}

void learnt_free(struct changes *changes, const struct instance *instance)
{
	struct learnt *learnt, *next;

	HASH_ITER(hh, instance->state->learnt, learnt, next) {
		HASH_DEL(instance->state->learnt, learnt);
		pool_put(&changes->learnt, learnt);
	}
}
