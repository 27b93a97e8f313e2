/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event: the one fixed-size record that travels BPF -> supervisor -> worker.
 * Included by BPF programs and by userspace, so only fixed-width kernel types.
 */
#ifndef BPFTUNE_IPC_EVENT_H
#define BPFTUNE_IPC_EVENT_H

#include <linux/types.h>

#define BPFTUNE_EVENT_PAYLOAD_BYTES 88
#define BPFTUNE_GATE_RATES 8  /* of struct bpftune_gate; the tuner of number n has that of n % 8 */
#define BPFTUNE_TUNERS_MAX 64 /* one bit each in struct bpftune_gate */

struct bpftune_event {
	__u64 netns_cookie; /* the namespace it is about (SO_NETNS_COOKIE) */
	__u64 time_ns;      /* CLOCK_MONOTONIC when it was noticed */
	__u64 instance;     /* instance id of a container that shares the host's namespace; 0: by cookie */
	union {
		__u32 pid;	/* thread group id of the task concerned; 0: none */
		__u32 n_askers; /* of a request: how many instances may ask */
	};
	__u16 tuner;        /* the tuner's number, or one of bpftune_event_source */
	__u8 scenario;      /* the tuner's scenario, or that source's enum */
	__u8 key_bytes;	    /* of a tuner: the payload begins with so many bytes that name what the event is about */
	__u64 asker;        /* instance id of who requests a host-scoped change; 0: nobody */
	__u8 payload[BPFTUNE_EVENT_PAYLOAD_BYTES] __attribute__((aligned(8)));
};

_Static_assert(sizeof(struct bpftune_event) == 128, "the pipes carry 128-byte events");
_Static_assert(__builtin_offsetof(struct bpftune_event, payload) == 40, "header is 40 bytes");

/* Events that are not a tuner's. */
enum bpftune_event_source {
	BPFTUNE_FROM_OBSERVE = 0xfffd,    /* observe.bpf.c: it makes none */
	BPFTUNE_FROM_WATCH = 0xfffe,      /* watch.bpf.c -> supervisor; scenario: bpftune_watch */
	BPFTUNE_FROM_SUPERVISOR = 0xffff, /* supervisor -> worker; scenario: bpftune_order */
};

enum bpftune_watch {
	BPFTUNE_NETNS_SIGHTED,  /* a namespace not seen before; payload: bpftune_place */
	BPFTUNE_NETNS_LEFT,     /* a task of a known namespace exits: time to look at its users */
	BPFTUNE_NETNS_UNUSED,   /* nobody but we (or not even we) use it any more; pid: the gate's own_users */
	BPFTUNE_NETNS_PLACED,	/* a task of a known namespace, or of the host's, is in that cgroup now; payload: bpftune_place */
	BPFTUNE_CGROUP_GONE,	/* payload: bpftune_place */
	BPFTUNE_SYSCTL_WRITTEN, /* somebody else writes a tuner's sysctl; payload: bpftune_written */
};

/* Where a task is. An id is that of its cgroup's directory (struct kernfs_node); 0: not known. */
struct bpftune_place {
	__u64 cgroup_id;	/* in cgroup2 */
	__u64 memory_cgroup_id; /* in the hierarchy with the memory controller: cgroup2 or one of cgroup1 */
	__u32 netns_inode;	/* of /proc/PID/ns/net */
	__u32 tid;		/* its thread's own id */
};

/* Which tunable of which tuner: the value of the owned-sysctls map, and part of payloads. */
struct bpftune_owner {
	__u16 tuner;
	__u16 tunable;
};

#define BPFTUNE_SYSCTL_NAME_BYTES 64
#define BPFTUNE_COMM_BYTES 16 /* TASK_COMM_LEN */

struct bpftune_written {
	struct bpftune_owner owner;
	char comm[BPFTUNE_COMM_BYTES];
	char value[64]; /* as written, cut */
};

_Static_assert(sizeof(struct bpftune_written) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

enum bpftune_order {
	BPFTUNE_GRANT,   /* the intent is in the ledger: write it; payload: bpftune_owner */
	BPFTUNE_REFUSE,  /* do not; payload: bpftune_owner */
	BPFTUNE_READ,    /* read it again and report its value; payload: bpftune_owner */
	BPFTUNE_RESTORE, /* put that value back if nobody else changed it; payload: bpftune_restore */
	BPFTUNE_ASKER_GONE, /* that instance has asked for a host-scoped change, and has ended; payload: its id */
	BPFTUNE_COUNT, /* read the counters of limits that were met, and report them */
};

struct bpftune_restore {
	struct bpftune_owner owner;
	char value[64]; /* BPFTUNE_VALUE_BYTES */
};

_Static_assert(sizeof(struct bpftune_restore) <= BPFTUNE_EVENT_PAYLOAD_BYTES, "fits an event");

/*
 * What supervisor and BPF programs share of each instance, by cookie: the supervisor writes,
 * the programs read. `tuners_off` drops a tuner's events at the source.
 */
struct bpftune_gate {
	__u64 tuners_off; /* bit n: the tuner of number n wants no events */
	__u64 verdicts;	  /* bit n: it has decided about something here */
	__u64 cgroup_id;  /* the cgroup paired with the namespace; 0: none */
	__u32 cgroup_level; /* how deep it is below the root */
	__u32 own_users;  /* references to the namespace that are our worker's: 0 or 1 */
	__u64 spent_to[BPFTUNE_GATE_RATES]; /* of the programs: up to when is spent what each tuner's events may cost */
};

/*
 * What a tuner's own BPF programs are to do about something, as its worker decided. Bytes that are not
 * used are zero; a value of zeros takes it back.
 */
struct bpftune_verdict {
	__u8 key[32]; /* about what: the tuner's own encoding */
	__u8 value[24];
	__u32 valid_until_s; /* for `status`, CLOCK_MONOTONIC: programs go by what the value says. 0: until it is taken back */
};

/*
 * The key of a tuner's map `verdicts` (a hash), whose value is a verdict's. The supervisor fills in whose
 * it is: `instance` is 0 but for a container in the host's namespace.
 */
struct bpftune_verdict_key {
	__u64 netns_cookie;
	__u64 instance;
	__u8 key[32];
};

#endif
