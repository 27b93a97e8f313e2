/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a tuner is: a shared object in $(pkglibdir)/tuners that exports one symbol,
 * `const struct bpftune_tuner bpftune_tuner`. The supervisor attaches its BPF programs once;
 * every worker runs its handlers. A handler never writes by itself: it proposes.
 */
#ifndef BPFTUNE_TUNERS_TUNER_H
#define BPFTUNE_TUNERS_TUNER_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/event.h"
#include "ipc/report.h"

#define BPFTUNE_ABI 5
#define BPFTUNE_API __attribute__((visibility("default")))
#define BPFTUNE_INTS_MAX 3
#define BPFTUNE_REMEDIES_MAX 16 /* of a tuner */
#define BPFTUNE_HOST_ID 1 /* the instance of the supervisor's own namespace */

struct bpf_object;

/*
 * What the supervisor knows of a tuner's file before any code of the file runs: the ELF note of this owner and type, in
 * the section .note.bpftune. BPFTUNE_TUNER() writes the note.
 */
#define BPFTUNE_NOTE_OWNER "bpftune"
#define BPFTUNE_NOTE_TUNER 1
struct bpftune_note {
	uint32_t abi; /* BPFTUNE_ABI */
	char name[28];
};

struct bpftune_note_section {
	uint32_t owner_bytes, note_bytes, type; /* as Elf32_Nhdr and Elf64_Nhdr */
	char owner[sizeof(BPFTUNE_NOTE_OWNER)];
	struct bpftune_note note;
};

_Static_assert(sizeof(struct bpftune_note_section) == 52, "no padding");
#define BPFTUNE_NOTED __attribute__((section(".note.bpftune"), used, aligned(4)))

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
	/*
	 * Worker: the least memory.max of its cgroup and those above when the worker began, in pages; UINT64_MAX: TCP's
	 * memory has no such limit; 0: not known.
	 */
	uint64_t memory_pages;
};

enum bpftune_scope {
	BPFTUNE_SCOPE_NETNS, /* each namespace has its own: the worker writes it */
	BPFTUNE_SCOPE_HOST,  /* one for the machine: only the host's worker writes it */
};

struct bpftune_tunable {
	const char *name; /* as sysctl(8) writes it: net.ipv4.tcp_wmem, net.ipv4.conf.eth0/1.rp_filter */
	enum bpftune_scope scope;
	unsigned int n_ints; /* 1 to 3 integers; 0: a string */
	const char *summary;
	long long min, max; /* what one integer may be; both 0: any int */
	/*
	 * A new namespace has the host's value. Another value, when the supervisor first reads it, was written by somebody:
	 * the tuner steps aside there.
	 */
	bool is_inherited;
	/*
	 * For what other daemons set at their start (kube-proxy: nf_conntrack_max). If somebody else writes a higher value
	 * than the value before, it is the new initial value, and the tuner goes on from there. A lower value makes the
	 * tuner step aside.
	 */
	bool higher_is_base;
	bool may_be_absent; /* the file belongs to a module: while it is missing, nothing is logged; bpftune_read_again() */
};

struct bpftune_scenario {
	const char *name;    /* one word: send_buffer_limited */
	const char *because; /* a sentence that explains it to an operator */
};

/* One counter of /proc/net/snmp or /proc/net/netstat: { "TcpExt", "ListenOverflows" }. */
struct bpftune_counter {
	const char *group, *name;
	uint64_t value; /* -1 of the kernel's is UINT64_MAX */
	bool found;	/* a kernel may not have it: then `value` stays as it was */
};

enum bpftune_direction {
	BPFTUNE_UP,
	BPFTUNE_DOWN,
};

#define BPFTUNE_ALL_VALUES UINT32_MAX
#define BPFTUNE_WIDTH (UINT32_MAX - 1) /* of a range from the first integer to the second; the remedy has a `next` */

/*
 * This trouble, that tunable: the tunable's value is changed a step at a time, and a step is kept if there is less than
 * half the trouble per work after it; else it is undone, and held off for 1 s, 2 s ... 1 h (worker/trial.h). The frame
 * does that.
 *
 * Who counts the trouble, and who judges a step:
 *
 *   a counter    `trouble` has a group, or the tuner has a `count`; `work` has a group. The frame reads them about once a
 *                second while events come in. It makes a step if the trouble has grown and an event of the tuner has
 *                come meanwhile: so the tuner's programs emit at least twice a second while the trouble goes on.
 *   the tuner    `trouble` and `work` have only names, for the log. The tuner calls bpftune_try() when there is trouble,
 *                and bpftune_relieved() when there was none for a while. The frame judges by what they tell.
 *   nobody       `trouble` has no name: the remedy comes before the trouble. The tuner calls bpftune_try() and
 *                bpftune_take_back(), and no step is judged.
 *   a measure    The remedy `is_measured`: the tuner has another measure (a rate, say). It makes steps and goes back by
 *                bpftune_go_to(), and keeps a step by bpftune_keep_step(). bpftune_try() only says that the value is
 *                needed: it makes no step, but it brings back what has decayed.
 */
struct bpftune_remedy {
	/* Why the frame changes the value by itself. With bpftune_try() and other calls the tuner gives the scenario. */
	unsigned int scenario;
	unsigned int tunable;  /* of integers */
	/* The index of the integer; BPFTUNE_ALL_VALUES: the last, and the others in proportion; or BPFTUNE_WIDTH. */
	unsigned int value;
	enum bpftune_direction direction;
	unsigned int step_percent; /* of the value before: 150 to 400; 0: 200 */
	/*
	 * Makes the step itself, where neither a percentage nor `needed` of struct bpftune_measured can: `ints` is the value,
	 * and becomes one that is farther in the remedy's direction. False: there is no room for a step. Optional.
	 */
	bool (*next)(const struct bpftune *b, const void *state, long long ints[BPFTUNE_INTS_MAX]);
	struct bpftune_counter trouble,
		work;	  /* group and name only: { "Udp", "RcvbufErrors" } per { "Udp", "InDatagrams" } */
	/*
	 * A counter of another trouble, which the trouble's counter includes: it is subtracted. { "Ip", "ReasmTimeout" } of
	 * { "Ip", "ReasmFails" }. Optional.
	 */
	struct bpftune_counter besides;
	/* How much trouble the tuner has counted since the worker began; `trouble` then has only a name. Optional. */
	uint64_t (*count)(const struct bpftune *b, const void *state);
	bool is_lasting;  /* else ten minutes without trouble take a step back */
	bool is_measured; /* by the tuner, which judges each step: of one integer only */
	int64_t (*cap)(const struct bpftune *b, const void *state,
		       int64_t current); /* how far it may go; NULL: as far as the tunable */
	/*
	 * Of a host-scoped tunable: by how much all claims together may raise it (bpftune_claim()); those of a container may
	 * raise it by an equal share of that. NULL: a step needs no claim.
	 */
	int64_t (*whole)(const struct bpftune *b, const void *state);
	bool adds_up; /* the claims add up, as of a pool; else the largest claim is enough for all */
};

/* The supervisor's side of attaching; opaque. */
struct bpftune_host;

struct bpftune_tuner {
	const char *name, *summary;
	const struct bpftune_tunable *tunables;
	size_t n_tunables;
	const struct bpftune_scenario *scenarios;
	size_t n_scenarios;
	const struct bpftune_remedy *remedies; /* at most BPFTUNE_REMEDIES_MAX. Optional */
	size_t n_remedies;

	/*
	 * Supervisor: open the skeleton, put `number` in its read-only data, hand its object to
	 * bpftune_host_load(). Called again when programs were refused. 0 or -errno. NULL: a tuner without programs.
	 */
	int (*attach)(struct bpftune_host *host, uint16_t number);

	/* The size of what the handlers find in `state`: zeros at first. 0: `init` and `fini` see to it. */
	size_t state_size;
	/* Worker, once an instance. 0 or -errno: then this tuner is off here. Optional. */
	int (*init)(struct bpftune *b, void **state);
	/* Worker: one of this tuner's events. Optional. */
	void (*event)(struct bpftune *b, void *state, const struct bpftune_event *event);
	/* Worker: about once a second while events come in, of whatever tuner, and once more after that. Optional. */
	void (*tick)(struct bpftune *b, void *state);
	/* Worker: the time has come that the tuner asked for by bpftune_wake(). Optional. */
	void (*wake)(struct bpftune *b, void *state);
	/* Worker, at its end. Optional. */
	void (*fini)(struct bpftune *b, void *state);
};

/*
 * Loads an opened object with the shared maps (bpf/tuner.bpf.h) in place, then attaches each program by its section:
 * raw_tp/..., cgroup/...; a subscriber (ON_LOOK() and others there) joins the chain that an observer calls. Programs on
 * cgroup/bind4 and bind6 are attached when there is a verdict, on cgroup/recvmsg4 and recvmsg6 for a while when one is new. A map
 * `verdicts` (VERDICTS()) gets what bpftune_learnt() decides. Takes `object`, also on error. A program that the kernel refuses
 * is left out and shown in `bpftune tuners` and `status`; the others work. 0, or -errno when nothing could be loaded.
 */
BPFTUNE_API int bpftune_host_load(struct bpftune_host *host, struct bpf_object *object);

/* SO_NETNS_COOKIE of the host's namespace, for programs that tell it from the containers'. */
BPFTUNE_API uint64_t bpftune_host_cookie(const struct bpftune_host *host);

/* The value of a tunable of the running tuner as last read or written; "" when unreadable. */
BPFTUNE_API const char *bpftune_value(const struct bpftune *b, unsigned int tunable);

/* The same as integers. 0, or -EINVAL when it is not n_ints integers. */
BPFTUNE_API int bpftune_value_ints(const struct bpftune *b, unsigned int tunable,
				   long long ret_ints[BPFTUNE_INTS_MAX]);

/* Reads a tunable that may_be_absent, unless it was read before: its module may have been loaded since the start. */
BPFTUNE_API void bpftune_read_again(struct bpftune *b, unsigned int tunable);

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
 * worker, which sees who asks in event->asker and decides with the whole machine in view: on what the kernel counted, as
 * far as bpftune_claim() lets it, never on a number that the asker chose. 0; -EINVAL: this is the host's worker already.
 */
BPFTUNE_API int bpftune_request(struct bpftune *b, const struct bpftune_event *event);

/*
 * What the running tuner has learnt about something (a remote host, a port): `status` shows it as "about: text".
 * The newest text replaces the older one; a tuner has 64 in an instance, and past that the one least recently told goes,
 * of those without a verdict that holds if there are any. `verdict`, or NULL, is put where the tuner's BPF programs find it;
 * it is logged if both it and the text differ from before. A dry run puts none there. 0; -EINVAL: nothing to tell about.
 */
BPFTUNE_API int bpftune_learnt(struct bpftune *b, const char *about, const struct bpftune_verdict *verdict,
			       const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Nothing is known of it any more: `status` does not show it, and its verdict is taken back. */
BPFTUNE_API void bpftune_forget(struct bpftune *b, const char *about);

/* What a tuner has counted of a remedy's trouble and work since then (CLOCK_MONOTONIC). */
struct bpftune_measured {
	uint64_t since_ns, trouble, work;
	int64_t needed; /* the value that is enough: a step goes there; 0: not known, a step is the remedy's step_percent */
};

/*
 * There is trouble, now, that this remedy of the running tuner may help against, and its value is in effect. `measured`
 * is what a judgement goes by; NULL: there is none. The scenario and the reason are a proposal's. 0: a step is on its
 * way. -EAGAIN: not now, as the last step is being judged, is undone, or was of no use before. -ENOSPC: there is no
 * room for a step. Else as bpftune_propose(), or -EINVAL when the value is not one to go on from.
 */
BPFTUNE_API int bpftune_try(struct bpftune *b, unsigned int remedy, unsigned int scenario,
			    const struct bpftune_event *cause, const struct bpftune_measured *measured,
			    const char *reason, ...) __attribute__((format(printf, 6, 7)));

/*
 * There was no trouble of this remedy since `since_ns` (CLOCK_MONOTONIC). If the last step was made before that, it has
 * helped, and is kept. For a tuner that calls bpftune_try() with what it has measured, as no event tells that trouble is
 * over; where is_measured, bpftune_keep_step() says so.
 */
BPFTUNE_API void bpftune_relieved(struct bpftune *b, unsigned int remedy, uint64_t since_ns);

/*
 * Host's worker: the asker (event->asker; 0: the host itself) needs the value of a remedy with `whole` to be `more` than
 * it was before the first step. bpftune_try() goes as far as the claims do. A claim ends with its container, an hour
 * after it was last made, or by bpftune_disclaim(); then the frame takes back what the other claims do not need. `more` of
 * 0 renews the asker's claim, if there is one.
 */
BPFTUNE_API void bpftune_claim(struct bpftune *b, unsigned int remedy, const struct bpftune_event *event, int64_t more);

/*
 * Host's worker: the asker's claim was of no use. The claim ends, and the asker may claim nothing for 1 s, after the next
 * such claim for 2 s ... 1 h. The value goes back to the highest of its earlier values that the other claims need;
 * scenario and reason are those of that change. 0; -ENOENT: there is no such claim.
 */
BPFTUNE_API int bpftune_disclaim(struct bpftune *b, unsigned int remedy, unsigned int scenario,
				 const struct bpftune_event *event, const char *reason, ...)
	__attribute__((format(printf, 5, 6)));

/*
 * Has the running tuner's `wake` called after so many milliseconds, once; a later call replaces an earlier one. For what no
 * hook tells of: a worker that has nothing to do is to sleep.
 */
BPFTUNE_API void bpftune_wake(struct bpftune *b, uint32_t after_ms);

/*
 * Gives up all steps of a remedy: the value goes back to what it was before the first, unless somebody else has set it
 * since. There is no step for so many seconds. 0: on its way. -EALREADY: the value is not the remedy's. Else as
 * bpftune_propose().
 */
BPFTUNE_API int bpftune_take_back(struct bpftune *b, unsigned int remedy, unsigned int scenario,
				  const struct bpftune_event *cause, unsigned int hold_s, const char *reason, ...)
	__attribute__((format(printf, 6, 7)));

/*
 * For a remedy that is_measured. The integer becomes `to`: farther in the remedy's direction, a step, which the tuner is
 * to judge; nearer, its verdict: the value from before the step, or one in between, or from before the steps before it.
 * 0: on its way. -EALREADY: that is the value. Else as bpftune_propose().
 */
BPFTUNE_API int bpftune_go_to(struct bpftune *b, unsigned int remedy, long long to, unsigned int scenario,
			      const struct bpftune_event *cause, const char *reason, ...)
	__attribute__((format(printf, 6, 7)));

/*
 * Does a step wait for its verdict? 0: yes, and `ret_from` is what the stepped integer (of a range: the second) was before
 * it. -EAGAIN: no (a step that is refused, or not made in a dry run, is none). -EBUSY: a proposal is under way. -ENOENT:
 * there was no step yet, or somebody else has set the value since.
 */
BPFTUNE_API int bpftune_step_from(const struct bpftune *b, unsigned int remedy, long long *ret_from);

/* For a remedy that is_measured, the tuner's verdict on that step: it is kept. */
BPFTUNE_API void bpftune_keep_step(struct bpftune *b, unsigned int remedy);

/* The value from before a remedy's first step. 0; -ENOENT: the value is not the remedy's. */
BPFTUNE_API int bpftune_tried_from(const struct bpftune *b, unsigned int remedy, long long ret_ints[BPFTUNE_INTS_MAX]);

/*
 * Has the supervisor keep up to BPFTUNE_MEMORY_BYTES_MAX bytes of the running tuner's in this instance, in place of
 * what it had; size 0: nothing. They survive this worker and the supervisor, not the boot. Bytes that are the same are
 * not sent again; others are a line in the ledger's file, so this is for what is decided, not for each event. (What a
 * remedy's trial knows is kept by the frame.) 0; -E2BIG; -ENOMEM; -EPERM: a container in the host's namespace has no
 * memory.
 */
BPFTUNE_API int bpftune_remember(struct bpftune *b, uint32_t version, const void *data, size_t size);

/*
 * What was last remembered in this instance, by this worker or one before it; valid until the next bpftune_remember().
 * NULL: nothing, or of another version. The bytes may be a former build's: check what they say.
 */
BPFTUNE_API const void *bpftune_remembered(const struct bpftune *b, uint32_t version, size_t *ret_size);

/*
 * Reads counters of the worker's own namespace. It opens two files: for a tick, not for each event. 0, -errno of
 * fopen(3), or -EBADMSG when a file is not what it should be.
 */
BPFTUNE_API int bpftune_counters(const struct bpftune *b, struct bpftune_counter *counters, size_t n);

/*
 * The memory of the whole machine that could be had without swapping, in pages; 0: not known. The kernel's
 * nr_free_buffer_pages(), from which it sets limits at boot, is shown nowhere, and counts memory that others have by
 * now.
 */
BPFTUNE_API uint64_t bpftune_available_pages(void);

/* Tells the operator something that is not a change. `severity` is a syslog(3) priority. */
BPFTUNE_API void bpftune_log(struct bpftune *b, int severity, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same about an event: also in the log of the container that asked for something by it. */
BPFTUNE_API void bpftune_log_event(struct bpftune *b, const struct bpftune_event *event, int severity, const char *format,
				   ...) __attribute__((format(printf, 4, 5)));

/*
 * The end of a tuner's file NAME.c, whose programs are in NAME.bpf.c: its attach function, its note, and the symbol
 * that it exports. PREPARE(skeleton) sets what read-only data it has of its own; BPFTUNE_NOTHING_OWN: none. What
 * follows are the other members of struct bpftune_tuner.
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
	static const struct bpftune_note_section note BPFTUNE_NOTED = {                                                \
		sizeof(BPFTUNE_NOTE_OWNER), sizeof(struct bpftune_note),                                               \
		BPFTUNE_NOTE_TUNER,	    BPFTUNE_NOTE_OWNER,                                                        \
		{ BPFTUNE_ABI, #NAME },                                                                                \
	};                                                                                                             \
                                                                                                                       \
	BPFTUNE_API const struct bpftune_tuner bpftune_tuner = {                                                       \
		.name = #NAME, .attach = attach, __VA_ARGS__                                                           \
	}
#define BPFTUNE_NOTHING_OWN(skel) (void)(skel)

#endif
