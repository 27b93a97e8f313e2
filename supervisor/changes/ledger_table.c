// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/ledger_table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "ipc/log.h"
#include "ipc/unshared.h"

void ledger_put(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from ? from : "");
}

bool ledger_is_name(const char *name)
{
	return *name && strlen(name) < LEDGER_NAME_BYTES;
}

static bool make_key(struct ledger_key *key, uint64_t netns_cookie, const char *name)
{
	memset(key, 0, sizeof(*key));
	if (!ledger_is_name(name))
		return false;
	key->netns_cookie = netns_cookie;
	memcpy(key->name, name, strlen(name));
	return true;
}

/* --- namespaces --------------------------------------------------------------------------------- */

static struct ledger_netns *netns_find(const struct ledger *ledger, uint64_t cookie)
{
	struct ledger_netns *netns;

	HASH_FIND(hh, ledger->netns, &cookie, sizeof(cookie), netns);
	return netns;
}

static struct ledger_netns *netns_get(struct ledger *ledger, uint64_t cookie)
{
	struct ledger_netns *netns = netns_find(ledger, cookie);

	if (netns)
		return netns;
	netns = unshared_alloc(sizeof(*netns));
	if (!netns)
		return NULL;
	netns->cookie = cookie;
	HASH_ADD(hh, ledger->netns, cookie, sizeof(netns->cookie), netns);
	return netns;
}

const struct ledger_netns *ledger_find_netns(const struct ledger *ledger, uint64_t netns_cookie)
{
	return netns_find(ledger, netns_cookie);
}

/* JSON is UTF-8. */
static int set_text(char **text, const char *new)
{
	char escaped[1024], *copy = NULL;

	if (new) {
		log_escape(new, escaped, sizeof(escaped));
		if (*text && !strcmp(*text, escaped))
			return 0;
		copy = unshared_strdup(escaped);
		if (!copy)
			return -ENOMEM;
	}
	unshared_free(*text);
	*text = copy;
	return 0;
}

int ledger_call_netns(struct ledger *ledger, uint64_t netns_cookie, const char *name, const char *container_id)
{
	struct ledger_netns *netns = netns_get(ledger, netns_cookie);
	int err = netns ? set_text(&netns->name, name) : -ENOMEM;

	return err ? err : set_text(&netns->container_id, container_id);
}

/* --- entries ------------------------------------------------------------------------------------ */

static struct ledger_history no_history; /* nobody writes to it */

int ledger_make_history(struct ledger_entry *entry)
{
	struct ledger_history *history = entry->history == &no_history ? unshared_alloc(sizeof(*history)) : entry->history;

	if (!history)
		return -ENOMEM;
	entry->history = history;
	return 0;
}

static void free_entry(struct ledger *ledger, struct ledger_entry *entry)
{
	if (entry->history != &no_history)
		unshared_free(entry->history);
	pool_put(&ledger->entry_pool, entry);
}

struct ledger_entry *ledger_find(const struct ledger *ledger, uint64_t netns_cookie, const char *tunable)
{
	struct ledger_entry *entry = NULL;
	struct ledger_key key;

	if (make_key(&key, netns_cookie, tunable))
		HASH_FIND(hh, ledger->entries, &key, sizeof(key), entry);
	return entry;
}

struct ledger_entry *ledger_entry_get(struct ledger *ledger, uint64_t netns_cookie, const char *tunable)
{
	struct ledger_entry *entry = ledger_find(ledger, netns_cookie, tunable);
	struct ledger_netns *netns;
	struct ledger_key key;

	if (entry || !make_key(&key, netns_cookie, tunable))
		return entry;
	netns = netns_get(ledger, netns_cookie);
	entry = netns ? pool_get(&ledger->entry_pool, sizeof(*entry)) : NULL;
	if (!entry)
		return NULL;
	entry->key = key;
	entry->history = &no_history;
	LL_PREPEND(netns->entries, entry);
	HASH_ADD(hh, ledger->entries, key, sizeof(entry->key), entry);
	return entry;
}

unsigned int ledger_changes(const struct ledger_entry *entry)
{
	unsigned int changes = 0;

	for (size_t i = 0; i < LEDGER_SCENARIOS_MAX && entry->history->scenarios[i].name[0]; i++)
		changes += entry->history->scenarios[i].changes;
	return changes;
}

bool ledger_has_changes(const struct ledger *ledger, uint64_t netns_cookie)
{
	const struct ledger_netns *netns = netns_find(ledger, netns_cookie);
	const struct ledger_entry *entry;

	if (netns)
		LL_FOREACH (netns->entries, entry)
			if (ledger_changes(entry))
				return true;
	return false;
}

void ledger_count_scenario(struct ledger_entry *entry, const char *name, unsigned int changes)
{
	for (size_t i = 0; i < LEDGER_SCENARIOS_MAX && !ledger_make_history(entry); i++) {
		struct ledger_scenario *scenario = &entry->history->scenarios[i];

		if (!scenario->name[0])
			PUT(scenario->name, name);
		if (strcmp(scenario->name, name) && i + 1 < LEDGER_SCENARIOS_MAX)
			continue; /* the last slot takes all that have none of their own */
		scenario->changes += changes;
		return;
	}
}

const struct ledger_row *ledger_last(const struct ledger_entry *entry)
{
	return *entry->history->last.scenario ? &entry->history->last : NULL;
}

/* --- states ------------------------------------------------------------------------------------- */

const char *tuner_state_name(enum tuner_state state)
{
	static const char *const names[] = {
		[TUNER_ACTIVE] = "active",
		[TUNER_MANUAL] = "manual",
		[TUNER_PAUSED] = "paused",
		[TUNER_OFF] = "off",
	};

	return names[state];
}

const struct ledger_state *ledger_get_state(const struct ledger *ledger, uint64_t netns_cookie, const char *tuner)
{
	struct ledger_state *state = NULL;
	struct ledger_key key;

	if (make_key(&key, netns_cookie, tuner))
		HASH_FIND(hh, ledger->states, &key, sizeof(key), state);
	return state;
}

int ledger_state_put(struct ledger *ledger, uint64_t netns_cookie, const char *tuner, enum tuner_state state,
		     const char *why)
{
	struct ledger_state *known = (struct ledger_state *)ledger_get_state(ledger, netns_cookie, tuner);
	struct ledger_netns *netns;
	struct ledger_key key;

	if (!make_key(&key, netns_cookie, tuner))
		return -EINVAL;
	if (!known) {
		netns = netns_get(ledger, netns_cookie);
		known = netns ? unshared_alloc(sizeof(*known)) : NULL;
		if (!known)
			return -ENOMEM;
		known->key = key;
		LL_PREPEND(netns->states, known);
		HASH_ADD(hh, ledger->states, key, sizeof(known->key), known);
	}
	known->state = state;
	log_escape(why ? why : "", known->why, sizeof(known->why)); /* a process calls itself what it likes; JSON is UTF-8 */
	return 0;
}

/* --- memories ----------------------------------------------------------------------------------- */

const struct ledger_memory *ledger_get_memory(const struct ledger *ledger, uint64_t netns_cookie, const char *name)
{
	struct ledger_memory *memory = NULL;
	struct ledger_key key;

	if (make_key(&key, netns_cookie, name))
		HASH_FIND(hh, ledger->memories, &key, sizeof(key), memory);
	return memory;
}

static void free_memory(struct ledger *ledger, struct ledger_netns *netns, struct ledger_memory *memory)
{
	LL_DELETE(netns->memories, memory);
	HASH_DEL(ledger->memories, memory); /* NOLINT(clang-analyzer-core.NullDereference): all that are listed are in it */
	ledger->memories_bytes -= memory->size;
	unshared_free(memory);
}

int ledger_memory_put(struct ledger *ledger, uint64_t netns_cookie, const char *name,
		      const struct bpftune_memory *memory)
{
	struct ledger_memory *old = (struct ledger_memory *)ledger_get_memory(ledger, netns_cookie, name), *fresh;
	struct ledger_netns *netns = netns_get(ledger, netns_cookie);
	struct ledger_key key;

	if (!make_key(&key, netns_cookie, name) || memory->size > BPFTUNE_MEMORY_BYTES_MAX)
		return -EINVAL;
	if (!netns)
		return -ENOMEM;
	if (old)
		free_memory(ledger, netns, old);
	if (!memory->size)
		return 0;
	if (ledger->memories_bytes + memory->size > LEDGER_MEMORIES_MAX)
		return -EDQUOT;
	fresh = unshared_alloc(sizeof(*fresh) + memory->size);
	if (!fresh)
		return -ENOMEM;
	fresh->key = key;
	fresh->version = memory->version;
	fresh->size = memory->size;
	memcpy(fresh->data, memory->data, memory->size);
	ledger->memories_bytes += memory->size;
	LL_PREPEND(netns->memories, fresh);
	HASH_ADD(hh, ledger->memories, key, sizeof(fresh->key), fresh);
	return 0;
}

size_t ledger_memories_bytes(const struct ledger *ledger, uint64_t netns_cookie)
{
	const struct ledger_netns *netns = netns_find(ledger, netns_cookie);
	const struct ledger_memory *memory;
	size_t bytes = 0;

	if (netns)
		LL_FOREACH(netns->memories, memory)
			bytes += memory->size;
	return bytes;
}

void ledger_forget(struct ledger *ledger, uint64_t netns_cookie)
{
	struct ledger_netns *netns = netns_find(ledger, netns_cookie);
	struct ledger_entry *entry, *next_entry;
	struct ledger_state *state, *next_state;

	if (!netns)
		return;
	LL_FOREACH_SAFE(netns->entries, entry, next_entry) {
		HASH_DEL(ledger->entries, entry);
		free_entry(ledger, entry);
	}
	LL_FOREACH_SAFE(netns->states, state, next_state) {
		HASH_DEL(ledger->states, state); /* NOLINT(clang-analyzer-core.NullDereference): likewise */
		unshared_free(state);
	}
	while (netns->memories)
		free_memory(ledger, netns, netns->memories);
	HASH_DEL(ledger->netns, netns);
	unshared_free(netns->name);
	unshared_free(netns->container_id);
	unshared_free(netns);
}

void ledger_forget_all(struct ledger *ledger)
{
	while (ledger->netns)
		ledger_forget(ledger, ledger->netns->cookie);
	pool_close(&ledger->entry_pool);
}
