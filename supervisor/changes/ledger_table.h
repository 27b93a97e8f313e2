/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the ledger holds. */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_LEDGER_TABLE_H
#define BPFTUNE_SUPERVISOR_CHANGES_LEDGER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "ipc/pool.h"
#include "ipc/report.h"

#define LEDGER_VERSION 1
#define LEDGER_NAME_BYTES 96 /* of a tunable */
#define LEDGER_WORD_BYTES 48 /* of a tuner or a scenario */
#define LEDGER_WHY_BYTES 160
#define LEDGER_SCENARIOS_MAX 8
#define LEDGER_LINE_MAX (2 * BPFTUNE_MEMORY_BYTES_MAX + 1024) /* bytes are written as two digits each */
#define LEDGER_MEMORIES_MAX (32 * 1024 * 1024)		      /* bytes, of all namespaces */
#define LEDGER_FILE_MAX (256 * 1024 * 1024)
#define LEDGER_ROLLBACK "rollback" /* the scenario of a value put back */

enum tuner_state { TUNER_ACTIVE, TUNER_MANUAL, TUNER_PAUSED, TUNER_OFF };

struct ledger_key {
	uint64_t netns_cookie;
	char name[LEDGER_NAME_BYTES]; /* zero-filled: a tunable's, or a tuner's in the states and the memories */
};

struct ledger_scenario {
	char name[LEDGER_WORD_BYTES];
	unsigned int changes;
};

struct ledger_row {
	uint64_t time_us; /* CLOCK_REALTIME of the intent */
	char from[BPFTUNE_VALUE_BYTES], to[BPFTUNE_VALUE_BYTES];
	char tuner[LEDGER_WORD_BYTES], scenario[LEDGER_WORD_BYTES];
	char reason[BPFTUNE_TEXT_BYTES];
};

/* Of an entry that was to be changed: most never are. */
struct ledger_history {
	struct ledger_row intent; /* the latest */
	struct ledger_row last;	  /* the latest that was carried out; all zeros: none was */
	struct ledger_scenario scenarios[LEDGER_SCENARIOS_MAX]; /* those that changed it; "" ends them */
};

struct ledger_entry {
	struct ledger_key key;
	char initial[BPFTUNE_VALUE_BYTES], current[BPFTUNE_VALUE_BYTES];
	char ours[BPFTUNE_VALUE_BYTES]; /* what a foreign value takes the place of, till it has been read; not on disk
					 */
	bool known;    /* the initial value was read; it may be "" */
	bool on_disk;  /* the file has a line of it */
	bool foreign;  /* somebody else wrote `current` */
	bool renew;    /* the next value read is the new initial one */
	bool intended; /* `intent` is granted, its outcome not known yet */
	struct ledger_history *history; /* never NULL; all zeros until a change is granted */
	struct ledger_entry *next; /* of its namespace */
	UT_hash_handle hh;
};

struct ledger_state {
	struct ledger_key key; /* name: the tuner's */
	enum tuner_state state;
	char why[LEDGER_WHY_BYTES]; /* "": nothing to say */
	struct ledger_state *next; /* of its namespace */
	UT_hash_handle hh;
};

/* What a worker has it keep for its successor. */
struct ledger_memory {
	struct ledger_key key;	    /* name: the tuner's, and what of it */
	struct ledger_memory *next; /* of its namespace */
	UT_hash_handle hh;
	uint32_t version, size;
	uint8_t data[];
};

struct ledger_netns {
	uint64_t cookie;
	char *name, *container_id; /* as the latest change had them; NULL: none */
	struct ledger_entry *entries;
	struct ledger_state *states;
	struct ledger_memory *memories;
	UT_hash_handle hh;
};

struct ledger {
	int fd;     /* -1: in memory only */
	char *path;
	const char *doing; /* what is being done to the file: "read the ledger" and others */
	const char *aside; /* why the file is to be set aside; NULL: all of it is of use */
	size_t file_bytes, file_lines, compact_at;
	size_t rewritten_bytes; /* how long the file was when it was rewritten last */
	struct ledger_entry *entries;
	struct pool entry_pool;
	struct ledger_state *states;
	struct ledger_memory *memories;
	size_t memories_bytes;
	struct ledger_netns *netns;
	void (*complain)(void *arg, const char *text);
	void *arg;
};

/* Fits, or is cut: fixed sizes, always ended. */
#define PUT(field, from) ledger_put(field, sizeof(field), from)
void ledger_put(char *to, size_t size, const char *from);

/* Whether it may be the name of a tunable, a tuner or a memory. */
bool ledger_is_name(const char *name);

/* What an operator calls the namespace; NULL: not known. */
const struct ledger_netns *ledger_find_netns(const struct ledger *ledger, uint64_t netns_cookie);
/* A container id may be NULL. 0 or -ENOMEM. */
int ledger_call_netns(struct ledger *ledger, uint64_t netns_cookie, const char *name, const char *container_id);

/* NULL: not known. */
struct ledger_entry *ledger_find(const struct ledger *ledger, uint64_t netns_cookie, const char *tunable);

/* Makes one if there is none. NULL: no memory, or not a name. */
struct ledger_entry *ledger_entry_get(struct ledger *ledger, uint64_t netns_cookie, const char *tunable);

unsigned int ledger_changes(const struct ledger_entry *entry);
/* Of any tunable of the namespace. */
bool ledger_has_changes(const struct ledger *ledger, uint64_t netns_cookie);
void ledger_count_scenario(struct ledger_entry *entry, const char *name, unsigned int changes);

/* The entry has a history of its own from now on. 0 or -ENOMEM. */
int ledger_make_history(struct ledger_entry *entry);

/* NULL: never changed. */
const struct ledger_row *ledger_last(const struct ledger_entry *entry);

const struct ledger_state *ledger_get_state(const struct ledger *ledger, uint64_t netns_cookie, const char *tuner);
/* 0; -EINVAL: not a name; -ENOMEM. */
int ledger_state_put(struct ledger *ledger, uint64_t netns_cookie, const char *tuner, enum tuner_state state,
		     const char *why);
const char *tuner_state_name(enum tuner_state state);

/* NULL: none. */
const struct ledger_memory *ledger_get_memory(const struct ledger *ledger, uint64_t netns_cookie, const char *name);
/*
 * In place of what there was; size 0: none any more. 0; -ENOMEM, -EDQUOT (all have too much): then there is none any more,
 * either; -EINVAL: not a name, or a size.
 */
int ledger_memory_put(struct ledger *ledger, uint64_t netns_cookie, const char *name,
		      const struct bpftune_memory *memory);

/* Of a namespace, how many there are of all its memories. */
size_t ledger_memories_bytes(const struct ledger *ledger, uint64_t netns_cookie);

/* All of a namespace; all. */
void ledger_forget(struct ledger *ledger, uint64_t netns_cookie);
void ledger_forget_all(struct ledger *ledger);

#endif
