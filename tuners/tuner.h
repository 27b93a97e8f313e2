/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a tuner is: a shared object in $(pkglibdir)/tuners that exports one symbol,
 * `const struct bpftune_tuner bpftune_tuner`. The supervisor attaches its BPF programs once;
 * every worker runs its handlers. A handler never writes by itself: it proposes.
 */
#ifndef BPFTUNE_TUNERS_TUNER_H
#define BPFTUNE_TUNERS_TUNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/event.h"
#include "ipc/report.h"

#define BPFTUNE_ABI 2
#define BPFTUNE_API __attribute__((visibility("default")))
#define BPFTUNE_INTS_MAX 3
#define BPFTUNE_HOST_ID 1 /* the instance of the supervisor's own namespace */

struct bpf_object;

/* One network namespace being tuned. Instance 1 is the supervisor's own: the host. */
struct bpftune {
	uint64_t id;           /* never reused while the supervisor lives */
	uint64_t netns_cookie; /* SO_NETNS_COOKIE */
	uint32_t netns_inode;  /* of /proc/PID/ns/net */
	bool shares_netns;     /* a container in the host's namespace: it asks the host's worker, never writes */
	uint64_t cgroup_id;    /* inode of the cgroup directory; 0: not known */
	char *cgroup_path;     /* from the cgroup2 root, "/..."; never NULL */
	char *name;            /* what an operator calls it; never NULL */
	int ring_fd;           /* supervisor: the events ring buffer; -1 in a worker */
	int event_fd;          /* worker: its event pipe; -1 in the supervisor */
};

enum bpftune_scope {
	BPFTUNE_SCOPE_NETNS, /* each namespace has its own: the worker writes it */
	BPFTUNE_SCOPE_HOST,  /* one for the machine: only the host's worker writes it */
};

enum bpftune_kind {
	BPFTUNE_SYSCTL,   /* name as sysctl(8) writes it: net.ipv4.tcp_wmem, net.ipv4.conf.eth0/1.rp_filter */
	BPFTUNE_NEIGHTBL, /* arp_cache.thresh3, or ndisc_cache.eth0.queue_lenbytes: see worker/netlink.h */
};

struct bpftune_tunable {
	const char *name;
	enum bpftune_scope scope;
	unsigned int n_ints; /* 1 to 3 integers; 0: a string */
	const char *summary;
	enum bpftune_kind kind;
	long long min, max; /* what one integer may be; both 0: any int */
};

struct bpftune_scenario {
	const char *name;    /* one word: send_buffer_limited */
	const char *because; /* a sentence that explains it to an operator */
};

/* The supervisor's side of attaching; opaque. */
struct bpftune_host;

struct bpftune_tuner {
	uint32_t abi; /* BPFTUNE_ABI */
	const char *name, *summary;
	const struct bpftune_tunable *tunables;
	size_t n_tunables;
	const struct bpftune_scenario *scenarios;
	size_t n_scenarios;

	/*
	 * Supervisor: open the skeleton, put `number` in its read-only data, hand its object to
	 * bpftune_host_load(). Called again when programs were refused. 0 or -errno. NULL: a tuner without programs.
	 */
	int (*attach)(struct bpftune_host *host, uint16_t number);

	/* Worker, once an instance. 0 or -errno: then this tuner is off here. Optional. */
	int (*init)(struct bpftune *b, void **state);
	/* Worker: one of this tuner's events. */
	void (*event)(struct bpftune *b, void *state, const struct bpftune_event *event);
	/* Worker: about once a second while events come in, of whatever tuner, and once more after that. Optional. */
	void (*tick)(struct bpftune *b, void *state);
	/* Worker, at its end. Optional. */
	void (*fini)(struct bpftune *b, void *state);
};

/*
 * Loads an opened object with the shared maps (bpf/tuner.bpf.h) in place, then attaches each program by its section:
 * raw_tp/..., cgroup/...; a subscriber (ON_LOOK() and others there) joins the chain that an observer calls. A map `verdicts`
 * (VERDICTS()) gets what bpftune_learnt() decides. Takes `object`, also on error. A program that the kernel refuses is left
 * out and shown in `bpftune tuners` and `status`; the others work. 0, or -errno when nothing could be loaded.
 */
BPFTUNE_API int bpftune_host_load(struct bpftune_host *host, struct bpf_object *object);

/* SO_NETNS_COOKIE of the host's namespace, for programs that tell it from the containers'. */
BPFTUNE_API uint64_t bpftune_host_cookie(const struct bpftune_host *host);

/* The value of a tunable of the running tuner as last read or written; "" when unreadable. */
BPFTUNE_API const char *bpftune_value(const struct bpftune *b, unsigned int tunable);

/* The same as integers. 0, or -EINVAL when it is not n_ints integers. */
BPFTUNE_API int bpftune_value_ints(const struct bpftune *b, unsigned int tunable,
				   long long ret_ints[BPFTUNE_INTS_MAX]);

/*
 * The one way to a change: propose integers for a tunable of the running tuner. The reason is one
 * sentence with the figures that led to it. It is in the supervisor's ledger before it is written.
 * 0: on its way. -EALREADY: that is the value. -EBUSY: an earlier proposal for it is on its way.
 * -ERANGE: outside what the kernel takes. -EPERM: not this instance's to write.
 */
BPFTUNE_API int bpftune_propose(struct bpftune *b, unsigned int tunable, const long long *ints,
				unsigned int scenario, const struct bpftune_event *cause,
				const char *reason, ...) __attribute__((format(printf, 6, 7)));

/* The same for a string tunable. */
BPFTUNE_API int bpftune_propose_text(struct bpftune *b, unsigned int tunable, const char *text, unsigned int scenario,
				     const struct bpftune_event *cause, const char *reason, ...)
	__attribute__((format(printf, 6, 7)));

/*
 * What a container's worker does about a host-scoped tunable: its event goes to the same tuner in the host's
 * worker, which sees who asks in event->asker and decides with the whole machine in view. 0; -EINVAL: this
 * is the host's worker already.
 */
BPFTUNE_API int bpftune_request(struct bpftune *b, const struct bpftune_event *event);

/*
 * What the running tuner has learnt about something (a remote host, a port): `status` shows it as "about: text".
 * The newest text replaces the older one; a tuner has 64 in an instance, and the one least recently told
 * goes. `verdict`, or NULL, is put where the tuner's BPF programs find it; it is logged if both it and the text
 * differ from before. A dry run puts none there. 0; -EINVAL: nothing to tell about.
 */
BPFTUNE_API int bpftune_learnt(struct bpftune *b, const char *about, const struct bpftune_verdict *verdict,
			       const char *format, ...) __attribute__((format(printf, 4, 5)));

/* One counter of /proc/net/snmp or /proc/net/netstat: { "TcpExt", "ListenOverflows" }. */
struct bpftune_counter {
	const char *group, *name;
	uint64_t value; /* -1 of the kernel's is UINT64_MAX */
	bool found;     /* a kernel may not have it: then `value` stays as it was */
};

/*
 * Reads counters of the worker's own namespace. It opens two files: for a tick, not for each event. 0, -errno of
 * fopen(3), or -EBADMSG when a file is not what it should be.
 */
BPFTUNE_API int bpftune_counters(const struct bpftune *b, struct bpftune_counter *counters, size_t n);

/* Tells the operator something that is not a change. `severity` is a syslog(3) priority. */
BPFTUNE_API void bpftune_log(struct bpftune *b, int severity, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The end of a tuner's file NAME.c, whose programs are in NAME.bpf.c: its attach function and the symbol that it exports.
 * PREPARE(skeleton) sets what read-only data it has of its own; BPFTUNE_NOTHING_OWN: none. What follows are the other
 * members of struct bpftune_tuner.
 */
#define BPFTUNE_TUNER(NAME, PREPARE, ...)                                                                              \
	static int attach(struct bpftune_host *host, uint16_t number)                                                  \
	{                                                                                                              \
		struct NAME##_bpf *skel = NAME##_bpf__open();                                                          \
		struct bpf_object *object;                                                                             \
                                                                                                                       \
		if (!skel)                                                                                             \
			return -errno;                                                                                 \
		skel->rodata->tuner = number;                                                                          \
		skel->rodata->host_cookie = bpftune_host_cookie(host);                                                 \
		PREPARE(skel);                                                                                         \
		object = skel->obj;                                                                                    \
		skel->obj = NULL;                                                                                      \
		NAME##_bpf__destroy(skel);                                                                             \
		return bpftune_host_load(host, object);                                                                \
	}                                                                                                              \
                                                                                                                       \
	BPFTUNE_API const struct bpftune_tuner bpftune_tuner = {                                                       \
		.abi = BPFTUNE_ABI, .name = #NAME, .attach = attach, __VA_ARGS__                                       \
	}
#define BPFTUNE_NOTHING_OWN(skel) (void)(skel)

#endif
