/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ledger: each tunable's initial and current value in each namespace, and the latest change, on record
 * before it is written. It is the supervisor's, in memory and in RUN_DIR/ledger, so it outlives any process.
 *
 * The file is lines of "CRC32 JSON\n", appended; the first names the version and the boot. Namespace
 * cookies are never reused within a boot, so what a line says of one stays true of that one.
 */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_LEDGER_H
#define BPFTUNE_SUPERVISOR_CHANGES_LEDGER_H

#include "supervisor/changes/ledger_table.h"

/* What a worker's change is about; strings are borrowed. */
struct ledger_change {
	uint64_t netns_cookie;
	const char *container, *container_id; /* NULL: none */
	const char *tuner, *tunable, *scenario, *from, *to, *reason;
};

/*
 * Reads RUN_DIR/ledger of this boot, and changes no file. A torn last line is passed over. Of a damaged file the sound
 * lines count; of one of another version or boot, none: `aside` says so. 0; -errno: what the file says is not known.
 */
int ledger_read(struct ledger *ledger, const char *run_dir, void (*complain)(void *arg, const char *text), void *arg);

/*
 * Goes on with what was read, in a new file. An old one that is to be set aside keeps its bytes under another name,
 * with a complaint. 0; -errno: the ledger holds in memory only, and grants nothing.
 */
int ledger_begin(struct ledger *ledger);

/* Both. */
int ledger_open(struct ledger *ledger, const char *run_dir, void (*complain)(void *arg, const char *text), void *arg);
void ledger_close(struct ledger *ledger);

/* After a failure of one of these, which is of `doing` something to `path`: what to do about it, in brackets. */
const char *ledger_hint(const struct ledger *ledger, int error);

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
 * Somebody else's value, which the kernel may not take: then ours is read next. Ours that is read may be theirs
 * (`doubt`); the next one read is a new initial one (`renew`). Theirs in place of theirs is not written to the file.
 */
void ledger_foreign(struct ledger *ledger, uint64_t netns_cookie, const char *tunable, const char *value);
void ledger_doubt(struct ledger *ledger, uint64_t netns_cookie, const char *tunable);
void ledger_renew(struct ledger *ledger, uint64_t netns_cookie, const char *tunable);

/* A tuner's state in a namespace. */
void ledger_set_state(struct ledger *ledger, uint64_t netns_cookie, const char *tuner, enum tuner_state state,
		      const char *why);

/* What a worker has kept for its successor, of that name. 0; -errno of ledger_memory_put() or write(2). */
int ledger_remember(struct ledger *ledger, uint64_t netns_cookie, const char *name,
		    const struct bpftune_memory *memory);

/* Lets go of namespaces that ended while no supervisor looked. */
void ledger_prune(struct ledger *ledger, bool (*lives)(void *arg, uint64_t netns_cookie), void *arg);

/* The namespace is gone, and all that was known of it. */
void ledger_gone(struct ledger *ledger, uint64_t netns_cookie);

#endif
