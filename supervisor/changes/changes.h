/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is changed, on record: the ledger, what workers report, what an administrator writes, how it is put back. The
 * record comes before the change.
 */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_CHANGES_H
#define BPFTUNE_SUPERVISOR_CHANGES_CHANGES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "supervisor/changes/ledger.h"
#include "supervisor/changes/off_rules.h"
#include "supervisor/workers/workers.h"

struct learnt;
struct memory_parts;
struct rollback;

/* A tuner that stepped aside in an instance. */
struct manual {
	uint64_t due_ms;	 /* uv_now(): until then, writes are counted, not logged */
	uint64_t written_ns;	 /* uv_hrtime() when the last was told of */
	unsigned int more;	 /* so many were */
	bool is_said;		 /* that it stepped aside */
	bool is_in_doubt;	 /* whether what was written has arrived */
	bool has_unknown_writer; /* a worker has read the value before the event came that tells who wrote it */
};

/* What this room keeps of an instance, besides the ledger. */
struct instance_state {
	struct learnt *learnt;	  /* what its tuners have learnt, oldest first */
	struct memory_parts *memory; /* that its worker is reporting; NULL: none */
	struct bucket memories; /* that were put into the file */
	struct owner *charged;	/* of whose memories in the ledger, and verdicts that programs have, these are: */
	size_t charged_bytes;
	unsigned int n_verdicts;
	bool has_asked; /* its worker, for host-scoped changes: the host's is to know when it ends */
	struct manual *manual;	/* of each tuner, by its number; NULL: none has stepped aside */
};

struct changes {
	uv_loop_t *loop;
	struct kernel *kernel;
	struct instances *instances;
	struct workers *workers;
	bool dry_run, stopping; /* stopping: no intent is granted */

	/* To be read by all. */
	struct ledger ledger;
	struct changes_counters {
		uint64_t unroutable; /* requests and writes that concern no such instance, tuner or scenario */
		uint64_t unknown_reports;
	} counters;

	/* Of this room only. */
	struct off_rules off;
	struct pool learnt; /* what tuners know of remote hosts is nothing to another instance's worker */
	struct rollback *rollbacks; /* under way */
	uv_timer_t prune;	    /* once, when what lives has been sighted */
};

/* Opens the ledger. 0 or -errno. */
int changes_open(struct changes *changes, const char *run_dir, void (*complain)(void *arg, const char *text), void *arg);
/* Reads what is turned off; as off_rules_open(). */
int changes_read_off(struct changes *changes, const char *run_dir, const char *state_dir, const char **ret_path);
int changes_start(struct changes *changes);
/* Closes its handles: the loop is to run once more. */
void changes_stop(struct changes *changes);
void changes_close(struct changes *changes);

/* --- what the rooms below tell ------------------------------------------------------------------ */

/* It has begun: its tuners are in the state that the ledger has of its namespace. */
void changes_begun(struct changes *changes, struct instance *instance);

/* It may be in another cgroup, and so have another owner, who may want no tuner. */
void changes_paired(struct changes *changes, struct instance *instance);

/* Its worker is ready. */
void changes_ready(struct changes *changes, struct instance *instance);

/* There are other tuners than before; `removed`: bit n: the tuner of number n was removed. */
void changes_tuners_changed(struct changes *changes, uint64_t removed);

/* What its worker reports. */
void changes_report(struct changes *changes, struct instance *instance, const struct bpftune_report *report);

/* A BPFTUNE_SYSCTL_WRITTEN event: somebody writes a tuner's sysctl just now. */
void changes_written(struct changes *changes, const struct bpftune_event *event);

/* It is to end, and what is known of its namespace with it. */
void changes_end(struct changes *changes, struct instance *instance);

/* Frees what the instance has of this room. */
void changes_free(struct changes *changes, struct instance *instance);

/* --- tuners ------------------------------------------------------------------------------------- */

/*
 * What a tuner may do in an instance: off when it is turned off or was removed, else its state in the ledger, active when
 * that has none.
 */
enum tuner_state changes_tuner_state(const struct changes *changes, const struct instance *instance, uint16_t tuner);

/* Why it is in that state; NULL: nothing to say. */
const char *changes_tuner_why(const struct changes *changes, const struct instance *instance, uint16_t tuner);

/*
 * `bpftune resume`: the tuner (or all, NULL) is active again there, and the values found now are the new
 * initial ones where it was manual. The number of tuners that were not active, or -ENOENT: no such tuner.
 */
int changes_resume(struct changes *changes, struct instance *instance, const char *tuner);

/*
 * `bpftune off` and `on`: the tuner (or all, NULL) in one instance, or in all (NULL). 0, with the number of tuners that it
 * made a difference to, over all instances; -ENOENT: no such tuner; another -errno: done, but that file could not be
 * written, so it does not outlast the supervisor.
 */
int changes_switch(struct changes *changes, struct instance *only, const char *tuner, bool off, unsigned int *ret_switched,
		   const char **ret_path);

/* --- what has come of it ------------------------------------------------------------------------ */

/* [{ tuner, about, text, in_effect }] of what its tuners have learnt; a new reference. */
json_t *changes_learnt(const struct changes *changes, const struct instance *instance);

/* One record for each tunable that was changed, with the sysctl(8) line that sets its value elsewhere. */
void changes_summary(struct changes *changes);

/* What a worker of that instance has left for its successor; the data are the ledger's. */
struct bpftune_memory changes_remembered(const struct changes *changes, const struct bpftune *view, uint16_t tuner,
					 enum bpftune_memory_kind kind);

/* --- rollback ----------------------------------------------------------------------------------- */

#define ROLLBACK_DEADLINE_MS 5000

/*
 * Called once, when all is done or the deadline has come. `result` is borrowed: { "restored": [...], "left":
 * [...] }, each { instance, container, tunable, from, to, why } with why null or the reason it was left. NULL: no memory.
 */
typedef void rollback_done(void *arg, json_t *result);

/*
 * Rolls back one instance, or all (NULL). `pause`: the tuners stay paused until `resume`. NULL: nothing is
 * under way any more, `done` has been called.
 */
struct rollback *rollback_start(struct changes *changes, struct instance *only, bool pause, rollback_done *done, void *arg);

/* Nobody waits for the result any more; the values are put back all the same. */
void rollback_detach(struct rollback *rollback);

struct offline_refusal {
	char text[8192];
};

/*
 * Without a supervisor: rolls back one namespace, or all (NULL), by what the ledger of that run directory says. The
 * caller holds the directory's lock. Blocks. The result is a new reference, as above, with "gone": [{ container, netns
 * }] of namespaces that do not exist any more, and in a dry run, which writes nothing, "plan" as below; `instance` is
 * null. 0, or -errno with a sentence.
 */
int rollback_offline(const char *run_dir, const char *container, bool dry_run,
		     void (*complain)(void *arg, const char *text), void *arg, json_t **ret_result,
		     struct offline_refusal *ret_refusal);

/* What a rollback would do: [{ instance, container, tunable, from, to, command, why }], a new reference. */
json_t *rollback_plan(struct changes *changes, const struct instance *only);

#endif
