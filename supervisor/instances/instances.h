/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which network namespaces and containers there are: one record each, from a namespace's first task to its last. This
 * room tells the rooms above when one comes, is worth a worker, and is of no use to anybody any more.
 */
#ifndef BPFTUNE_SUPERVISOR_INSTANCES_INSTANCES_H
#define BPFTUNE_SUPERVISOR_INSTANCES_INSTANCES_H

#include <stdbool.h>
#include <uthash.h>
#include <uv.h>

#include "ipc/bucket.h"
#include "ipc/log.h"
#include "ipc/pool.h"
#include "supervisor/kernel/kernel.h"
#include "tuners/tuner.h"

#define INSTANCE_HOST BPFTUNE_HOST_ID
#define USER_NAME "uid " /* what names of containers in users' sessions begin with; no other name does */
#define PID_PREFIX "pid:" /* what an operator calls an instance by something else than its name; no name begins so */
#define ID_PREFIX "instance:"
#define SWEEPS 3 /* quick ones after an exit: do_exit() takes a moment to let go */

struct child;          /* supervisor/workers */
struct instance_state; /* supervisor/changes */
struct known_netns;
struct mounted_netns;
struct paired_cgroup;
struct place;

/* What of records about namespaces has been put into the log. */
struct owner_log {
	struct bucket records;
	unsigned int left_out; /* since the last that was put there */
};

/*
 * Who made a namespace or a container. Each room counts here what all instances of one owner cost. A record stays while
 * somebody holds it, and until what was spent has come back: an owner gets no more by ending its instances.
 */
struct owner {
	char *name; /* instance->owner; OWNER_ROOT: root of the host, who may have any number; "": nobody is known */
	unsigned int n_users; /* that hold it: owner_get() */
	struct owner_log log;
	/* Of this room. */
	unsigned int n_instances;
	bool said_full;
	/* Of supervisor/workers. */
	unsigned int n_workers;
	struct bucket forks;
	struct child *waiting; /* for a place, in order of their coming */
	/* Of supervisor/changes. */
	size_t memories_bytes;
	struct bucket filed; /* KiB of the ledger's file */
	unsigned int n_verdicts; /* that its tuners' programs have */
	bool said_memories, said_filed, said_verdicts;
	UT_hash_handle hh;
};

#define OWNER_ROOT "root of the host"
#define OWNERLESS_LOGS 16 /* all bursts of them are less than what journald takes of a service */

struct instance {
	struct bpftune view; /* what its worker is told of it */
	char *container_id;  /* NULL: none known */
	char *people_say;    /* its name, as its runtime has it on record; NULL: none known */
	const char *runtime; /* NULL: none known */
	char *pod_uid;       /* NULL: no pod */
	char *uid;	     /* of the user whose session its container is in; NULL: in none */
	const char *pod_qos;
	char *owner;         /* the cgroup of who made it, for the limits of one owner; "": none; NULL: not known */
	bool is_mounted;     /* by a name, in the host's mount namespace: root of the host made it */
	bool is_ending;      /* on its way out: its name is free for another */
	const char *opt_out; /* by which mark its owner has turned all tuners off, in words; NULL: by none */
	bool is_unread;	     /* what its runtime has on record of it is not known yet */
	bool is_off_on_record; /* what that says of all tuners */
	uint64_t tuners_off; /* bit n: the tuner of number n is not active here */
	uint64_t switched_off; /* bit n: as an administrator or the owner has turned it off */
	bool is_off;	     /* so are all tuners: no worker is forked but for a rollback */
	uint64_t verdicts;   /* bit n: it has decided about something here */
	pid_t worker_pid;    /* 0: none */
	bool is_entered;     /* the worker holds a reference to the namespace */

	struct child *child;          /* NULL: it never had a worker */
	struct instance_state *state; /* NULL: no tuner has told anything */

	/* Of this room only. */
	struct owner *counted;	/* among whose instances it is; NULL: nobody's */
	struct place *places;	/* where its tasks were seen, oldest first */
	pid_t tid;		/* a thread that was seen in it; may have ended */
	char *claim;		/* the cgroup of a container that may share the host's namespace; NULL: no such */
	unsigned int looks;	/* at whether it does */
	uint64_t sighted_ms;	/* uv_now() */
	enum instance_queue { QUEUE_NONE, QUEUE_YOUNG, QUEUE_MOVED } queue;
	struct instance *queue_prev, *queue_next;
	struct lookup *queued_in; /* its record is to be looked up; NULL: it is not */
	bool is_looked_up;	  /* that is under way */
	struct instance *lookup_prev, *lookup_next;
	struct paired_cgroup *cgroup;		    /* NULL: none */
	struct instance *cgroup_prev, *cgroup_next; /* the others of that cgroup */
	unsigned int sweeps_left; /* of its namespace, because something has left it */
	uint64_t sweep_ms;	  /* uv_now() of the next */
	struct instance *leaving_prev, *leaving_next;
	struct instance *ended_next;
	UT_hash_handle by_cookie, by_id, by_inode, by_name, by_claim;
};

/* What the rooms above are told. */
struct instances_listener {
	void (*log)(void *arg, const struct log_record *record);
	void (*begun)(void *arg, struct instance *instance);  /* nothing is known of it but its namespace */
	void (*paired)(void *arg, struct instance *instance); /* its name, its cgroup or its owner may be another */
	void (*wanted)(void *arg, struct instance *instance); /* a container: it is worth a worker */
	void (*unused)(void *arg, struct instance *instance, bool is_entered); /* by all but us, if we are in it */
	void (*started)(void *arg); /* what existed at the start is known */
};

#define LOOKUP_AT_ONCE 256

/* Children that look up what runtimes have on record, one at a time: lookup.h. */
struct lookup {
	struct instances *instances;
	struct instance *queue;
	pid_t pid;			/* under way; 0: none */
	struct on_record *sheet;	/* where that child writes what it finds; NULL: it was given up */
	uint64_t asked[LOOKUP_AT_ONCE]; /* ids of the instances on the sheet */
	size_t n;
	uid_t uid;	   /* whose files they are */
	uint64_t begun_ms; /* uv_now() */
	unsigned int n_ticks; /* since then */
	uv_timer_t due;
};

enum {
	LOOKUP_OF_ROOT,
	LOOKUP_OF_USERS,
	N_LOOKUPS
}; /* a user's files may hang, and root's do not wait for them */

struct instances {
	struct kernel *kernel;
	uv_loop_t *loop;
	bool stopping;
	struct instances_listener listener;
	void *arg;

	/* To be read by all. */
	struct instance *by_id; /* in order of ids */
	uint64_t last_id;

	/* Of this room only. */
	struct pool pool; /* of struct instance */
	struct instance *by_cookie, *by_inode, *by_name, *by_claim;
	struct instance *ended;
	struct paired_cgroup *cgroups;
	struct owner *owners;
	size_t owners_forget_at; /* when there are so many, those that are of no use are freed */
	struct owner_log ownerless_logs[OWNERLESS_LOGS];
	bool said_full;	  /* there are more namespaces than can be known */
	bool said_no_ids; /* cgroups cannot be looked up by their ids */

	struct instance *young, *moved; /* the two queues, in order of time */
	uv_timer_t young_due, moved_due;

	struct instance *leaving[3]; /* something has left their namespaces: who is still there? By sweeps still to come */
	bool sweeps_all;	     /* a slow sweep is not done yet */
	uint64_t sweep_round;	     /* of the slow sweeps */
	uv_timer_t sweep, slow;
	void (*on_slow)(struct instances *instances);

	struct mounted_netns *mounted; /* by a name */
	bool mounts_changed;	       /* since they were read */
	uint64_t mounts_read_ms, mounts_took_ms; /* uv_now(); and how long that took */
	int mounts_fd;
	uv_poll_t mounts;
	uv_timer_t mounts_due;

	struct lookup lookups[N_LOOKUPS];

	bool scan_is_due;	   /* to what was found and not visited yet */
	struct known_netns *known; /* by inode: what /proc showed at the start */
	pid_t scout;		   /* under way; 0: none */
	uv_timer_t scout_late;
	bool scout_is_late;
	bool start_is_over;  /* the scouts of the start have ended, or take too long */
	uint64_t lost;	     /* events, when it was last looked whether there are more */
	uint64_t searched_ms; /* when /proc was last searched as a last resort */
};

/* Makes the host's instance, starts watching, and sends out a scout for what exists. 0 or -errno. */
int instances_start(struct instances *instances, uint64_t host_cookie);
/* Closes its handles: the loop is to run once more. */
void instances_stop(struct instances *instances);

/* One of watch.bpf.c's events, but for BPFTUNE_SYSCTL_WRITTEN. False: of no kind that is known. */
bool instances_event(struct instances *instances, const struct bpftune_event *event);

/* A child of ours that is no worker has ended: a scout, or one that has looked up records. */
void instances_child_ended(struct instances *instances, pid_t pid);

/*
 * There are no more events for now: there is room in the ring for the sightings of the next scout. If there is nothing to
 * visit, all that existed at the start has been sighted.
 */
void instances_ring_is_empty(struct instances *instances);

/* Takes it out of all that finds it; instances_free_ended() frees it at the end of the loop's iteration. */
void instances_end(struct instances *instances, struct instance *instance);
/* `freed` lets go of what the rooms above have there. */
void instances_free_ended(struct instances *instances, void (*freed)(void *arg, struct instance *instance));
/* When all are freed. */
void instances_close(struct instances *instances);

/* --- lookups: NULL: none ------------------------------------------------------------------------ */

struct instance *instance_by_cookie(const struct instances *instances, uint64_t netns_cookie);
struct instance *instance_by_id(const struct instances *instances, uint64_t id);
struct instance *instance_host(const struct instances *instances);

/* One that has only claimed a cgroup: it is yet to show whether its tasks stay in the host's namespace. */
bool instance_is_claim(const struct instance *instance);

/*
 * What an operator calls it: a name, a container id or a prefix of it, `pid:N` (that task's container, or its
 * namespace), `instance:N` or, if nobody has that name, N. NULL, with errno: ENOENT: none; ENOTUNIQ: several; EACCES:
 * that task's namespace must not be looked at.
 */
struct instance *instance_find(struct instances *instances, const char *container);

/* Of `instance:N`; 0 where N is no number. False: the container is called something else. */
bool instance_parse_id(const char *container, uint64_t *ret_id);

/* --- what the rooms above ask for --------------------------------------------------------------- */

/* A record in the instance's stream (NULL: the host's). */
void instance_log(const struct instances *instances, const struct instance *instance, int severity, const char *format,
		  ...) __attribute__((format(printf, 4, 5)));

/* A descriptor of the instance's namespace, by the task last seen in it, its mount, or all of /proc; or -errno. */
int instance_open_netns(struct instances *instances, struct instance *instance);

/* Names it now, if it is too young for that yet. */
void instance_name_now(struct instances *instances, struct instance *instance);

/* Finds out who made it, for the limit of workers, if that is not known yet. */
void instance_find_owner(struct instances *instances, struct instance *instance);

/*
 * The record of whoever made the instance, as far as is known; it is held until owner_put() (NULL: does nothing). NULL: no
 * memory.
 */
struct owner *owner_get(struct instances *instances, const struct instance *instance);
/* Its name: OWNER_ROOT, or a cgroup; "": not known. */
const char *owner_name(const struct instance *instance);
void owner_hold(struct owner *owner);
bool owner_is_root(const struct owner *owner);
void owner_put(struct instances *instances, struct owner *owner);

/* What its owner has put into the log; NULL: root of the host, who may put any number there. */
struct owner_log *owner_log_of(struct instances *instances, const struct instance *instance);

/* Looks whether its owner has turned all tuners off: opt_out. */
void instance_read_opt_out(const struct instances *instances, struct instance *instance);

/* It is on its way out: another may have its name. */
void instance_is_to_end(struct instances *instances, struct instance *instance);

/* Tells the BPF programs which tuners are off there, whether our worker is in it, and which cgroup it has. */
void instance_set_gate(struct instances *instances, const struct instance *instance);

/*
 * Whether the tuner is active there: a container that shares the host's namespace has the host's tuners, but for those that
 * are turned off for it.
 */
bool instance_tuner_is_active(const struct instances *instances, const struct instance *instance, uint16_t tuner);

/* Looks at the users of the instance's namespace soon, and a few times more within the next second. */
void instances_sweep_soon(struct instances *instances, struct instance *instance);

#endif
