// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/remotes.h"

#include <stdlib.h>
#include <string.h>

/* So many are strangers at least, one in: or a newcomer would be pushed out before anything can be decided about it. */
#define STRANGERS_ONE_IN 8

static bool is_network(const uint8_t key[32])
{
	return remote_is_network((const struct remote *)key);
}

struct remotes_entry *remotes_find_key(const struct remotes *remotes, const uint8_t key[32])
{
	struct remotes_entry *entry;

	HASH_FIND(hh, remotes->first, key, sizeof(entry->key), entry);
	return entry;
}

struct remotes_entry *remotes_find(const struct remotes *remotes, const struct remote *remote)
{
	uint8_t key[32] = { 0 };

	memcpy(key, remote, sizeof(*remote));
	return remotes_find_key(remotes, key);
}

/* Who goes, to make room for one more of that kind; NULL: there is room. */
static struct remotes_entry *find_crowded_out(const struct remotes *remotes, bool network, uint64_t now_ns)
{
	unsigned int hosts_max = remotes->hosts_max ? remotes->hosts_max : REMOTES_HOSTS_MAX;
	unsigned int max = network ? REMOTES_NETWORKS_MAX : hosts_max, n = 0, n_strangers = 0;
	struct remotes_entry *oldest = NULL, *stranger = NULL;

	for (struct remotes_entry *entry = remotes->first; entry; entry = entry->hh.next) {
		if (is_network(entry->key) != network)
			continue;
		n++;
		oldest = oldest ? oldest : entry;
		if (entry->valid_until_ns > now_ns)
			continue;
		n_strangers++;
		stranger = stranger ? stranger : entry;
	}
	if (n < max)
		return NULL;
	return n_strangers >= max / STRANGERS_ONE_IN ? stranger : oldest;
}

struct remotes_entry *remotes_get(struct remotes *remotes, const uint8_t key[32], uint64_t now_ns, void *arg)
{
	struct remotes_entry *entry = remotes_find_key(remotes, key), *gone = NULL;

	if (entry) {
		HASH_DEL(remotes->first, entry); /* to be the newest */
	} else {
		entry = calloc(1, remotes->entry_bytes);
		if (!entry)
			return NULL;
		memcpy(entry->key, key, sizeof(entry->key));
		gone = find_crowded_out(remotes, is_network(key), now_ns);
	}
	HASH_ADD(hh, remotes->first, key, sizeof(entry->key), entry);
	if (gone) {
		HASH_DEL(remotes->first, gone);
		remotes->forget(arg, gone);
		free(gone);
	}
	return entry;
}

void remotes_free(struct remotes *remotes)
{
	struct remotes_entry *entry, *next;

	HASH_ITER (hh, remotes->first, entry, next) {
		HASH_DEL(remotes->first, entry);
		free(entry);
	}
}
