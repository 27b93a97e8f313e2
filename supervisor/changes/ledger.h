/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ledger: each tunable's initial and current value in each namespace, and every change, on record
 * before it is written. It is the supervisor's, in memory and in RUN_DIR/ledger, so it outlives any process.
 *
 * The file is lines of "CRC32 JSON\n", appended; the first names the version and the boot. Namespace
 * cookies are never reused within a boot, so what a line says of one stays true of that one.
 */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_LEDGER_H
#define BPFTUNE_SUPERVISOR_CHANGES_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "ipc/report.h"

#define LEDGER_VERSION 1
#define LEDGER_NAME_BYTES 96 /* of a tunable */
#define LEDGER_WORD_BYTES 48 /* of a tuner or a scenario */
#define LEDGER_WHY_BYTES 160
#define LEDGER_SCENARIOS_MAX 8
#define LEDGER_ROWS_MAX 64
#define LEDGER_LINE_MAX 4096
#define LEDGER_FILE_MAX (256 * 1024 * 1024)
#define LEDGER_ROLLBACK "rollback" /* the scenario of a value put back */

enum tuner_state { TUNER_ACTIVE, TUNER_MANUAL, TUNER_PAUSED, TUNER_OFF };

struct ledger_key {
	uint64_t netns_cookie;
	char name[LEDGER_NAME_BYTES]; /* zero-filled: a tunable's, or a tuner's in the states */
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

struct ledger_entry {
	struct ledger_key key;
	char initial[BPFTUNE_VALUE_BYTES], current[BPFTUNE_VALUE_BYTES];
	char ours[BPFTUNE_VALUE_BYTES]; /* what a foreign value takes the place of, till it has been read; not on disk */
	struct ledger_scenario scenarios[LEDGER_SCENARIOS_MAX]; /* those that changed it; "" ends them */
	struct ledger_row *rows; /* the last LEDGER_ROWS_MAX changes, oldest first; the entry's own */
	size_t n_rows;
	bool known;    /* the initial value was read; it may be "" */
	bool on_disk;  /* the file has a line of it */
	bool foreign;  /* somebody else wrote `current` */
	bool renew;    /* the next value read is the new initial one */
	bool intended; /* `intent` is granted, its outcome not known yet */
	struct ledger_row intent;
	UT_hash_handle hh;
};

struct ledger_state {
	struct ledger_key key; /* name: the tuner's */
	enum tuner_state state;
	char why[LEDGER_WHY_BYTES]; /* "": nothing to say */
	UT_hash_handle hh;
};

struct ledger {
	int fd;     /* -1: in memory only */
	char *path;
	size_t file_bytes, compact_at;
	struct ledger_entry *entries;
	struct ledger_state *states;
	void (*complain)(void *arg, const char *text);
	void *arg;
};

/* What a worker's change is about; strings are borrowed. */
struct ledger_change {
	uint64_t netns_cookie;
	const char *container, *tuner, *tunable, *scenario, *from, *to, *reason;
};

/*
 * Reads RUN_DIR/ledger of this boot and goes on with it. A torn last line is dropped; a damaged file or one
 * of another version is set aside under a new name, one of another boot archived; each with a complaint.
 * 0, or -errno when the file cannot be written: then the ledger holds in memory only, and grants nothing.
 */
int ledger_open(struct ledger *ledger, const char *run_dir, void (*complain)(void *arg, const char *text), void *arg);
void ledger_close(struct ledger *ledger);

/*
 * Takes the text of a ledger file into an empty ledger. 0; -EBADMSG: damaged; -EPROTONOSUPPORT: another
 * version; -ESTALE: another boot. After an error the ledger is empty again.
 */
int ledger_replay(struct ledger *ledger, const char *text, size_t size, const char *boot_id);

/* NULL: not known. */
struct ledger_entry *ledger_find(const struct ledger *ledger, uint64_t netns_cookie, const char *tunable);

unsigned int ledger_changes(const struct ledger_entry *entry);

/* NULL: never changed. */
const struct ledger_row *ledger_last(const struct ledger_entry *entry);

enum ledger_news {
	LEDGER_FIRST,   /* an initial value */
	LEDGER_SAME,    /* as recorded, or as intended */
	LEDGER_FOREIGN, /* neither: somebody else wrote it */
};

/*
 * A value as a worker reads it. At its start, that settles an intent whose worker died between grant and outcome:
 * any value but the old one is taken for what was written, unless somebody else is known to have written since, and the
 * kernel took that.
 */
enum ledger_news ledger_value(struct ledger *ledger, uint64_t netns_cookie, const char *tunable, const char *value);

/* Records what is about to be written, on disk too. 0: grant it. -EBUSY, -EINVAL, or -errno of write(2). */
int ledger_intent(struct ledger *ledger, const struct ledger_change *change);

/* The outcome: `value` as read back, written over by now if somebody else is known to have written; or `error` (-errno). */
void ledger_outcome(struct ledger *ledger, uint64_t netns_cookie, const char *tunable, int error, const char *value);

/*
 * Somebody else's value, which the kernel may not take: then ours is read next. Ours that is read may be theirs (`doubt`);
 * the next one read is a new initial one (`renew`).
 */
void ledger_foreign(struct ledger *ledger, uint64_t netns_cookie, const char *tunable, const char *value);
void ledger_doubt(struct ledger *ledger, uint64_t netns_cookie, const char *tunable);
void ledger_renew(struct ledger *ledger, uint64_t netns_cookie, const char *tunable);

/* A tuner's state in a namespace. */
void ledger_set_state(struct ledger *ledger, uint64_t netns_cookie, const char *tuner, enum tuner_state state,
		      const char *why);
const struct ledger_state *ledger_get_state(const struct ledger *ledger, uint64_t netns_cookie, const char *tuner);
const char *tuner_state_name(enum tuner_state state);

/* Lets go of namespaces that ended while no supervisor looked. */
void ledger_prune(struct ledger *ledger, bool (*lives)(void *arg, uint64_t netns_cookie), void *arg);

/* The namespace is gone, and all that was known of it. */
void ledger_gone(struct ledger *ledger, uint64_t netns_cookie);

#endif
