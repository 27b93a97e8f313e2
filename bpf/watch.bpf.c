// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which network namespaces are in use: sighted when a task or socket of one turns up, left when a
 * task of one exits, unused when a sweep finds no reference but our worker's.
 */
#include "bpf/tuner.bpf.h"
#include "bpf/watch.h"

#include <linux/errno.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BPFTUNE_NETNS_MAX);
	__type(key, __u64); /* netns cookie */
	__type(value, struct watch_netns);
} netns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} unsighted SEC(".maps"); /* tasks and sockets of a namespace that is not in `netns`, which is full */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BPFTUNE_SYSCTLS_MAX);
	__type(key, char[BPFTUNE_SYSCTL_NAME_BYTES]); /* net/ipv4/tcp_wmem */
	__type(value, struct bpftune_owner);
} owned_sysctls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BPFTUNE_WORKERS_MAX);
	__type(key, __u32); /* our workers' pids */
	__type(value, __u8);
} own_pids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BPFTUNE_TAKEN_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC); /* most are never needed */
	__type(key, struct watch_taken);
	__type(value, __u8);
} taken SEC(".maps"); /* tuners that an administrator took over, per namespace */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BPFTUNE_RATES_MAX);
	__type(key, struct watch_move);
	__type(value, __u64); /* when it was told, or turned away */
} moves SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BPFTUNE_RATES_MAX);
	__type(key, __u64); /* cgroup id */
	__type(value, __u8);
} host_cgroups SEC(".maps"); /* where a program of the host's namespace was executed: told once */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BPFTUNE_RATES_MAX);
	__type(key, struct watch_write);
	__type(value, __u64); /* up to when what it may cost is spent */
} writes SEC(".maps");

/* What containers may cost in all, however many namespaces, tunables and cgroups they have; and tasks in the host's. */
enum budget {
	BUDGET_FIRST_WRITES,
	BUDGET_WRITES,
	BUDGET_PLACES,
	BUDGET_HOST_PLACES,
	N_BUDGETS
};
MAP(budgets, BPF_MAP_TYPE_ARRAY, N_BUDGETS, __u32, __u64);

#define MOVES_MIN_NS (100 * NSEC_PER_MSEC) /* the supervisor looks later than that after the last: PLACE_REPORTED_MS */
#define WRITES_NS \
	(50 * NSEC_PER_MSEC) /* for each more of a tunable; the worker looks again later than that: REREAD_MS */
#define WRITE_BURST 8
#define BUDGET_NS (2 * NSEC_PER_MSEC)
#define FIRST_WRITES_BURST 1024 /* sysctl(8) in many new containers at once */
#define WRITES_BURST 256
#define NETNS_PLACES_NS (20 * NSEC_PER_MSEC) /* of one namespace */
#define NETNS_PLACES_BURST 64
#define PLACES_BURST 512
#define HOST_PLACES_NS (200 * NSEC_PER_USEC) /* a service's start, or a login, is a few */
#define HOST_PLACES_BURST 4096

static __always_inline _Bool spend_of_budget(__u32 which, __u64 interval_ns, __u32 burst)
{
	__u64 *spent_to = bpf_map_lookup_elem(&budgets, &which);

	return spent_to && spend(spent_to, interval_ns, burst);
}

static __always_inline __u64 memory_cgroup_id(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup_subsys_state *css = NULL;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return 0;
	bpf_probe_read_kernel(&css, sizeof(css),
			      (void *)set + bpf_core_field_offset(struct css_set, subsys) +
				      sizeof(css) * bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id));
	return BPF_CORE_READ(css, cgroup, kn, id);
}

/* `pid` is the gate's own_users where there is no task (NULL). */
static __always_inline _Bool tell(__u64 cookie, __u16 what, struct task_struct *task, __u32 pid, __u32 inode)
{
	struct bpftune_event *event = event_reserve(cookie, what);
	struct bpftune_place *place;

	if (!event)
		return 0;
	place = (struct bpftune_place *)event->payload;
	place->netns_inode = inode;
	event->pid = pid;
	if (task) {
		event->pid = BPF_CORE_READ(task, tgid);
		place->tid = BPF_CORE_READ(task, pid);
		place->cgroup_id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
		place->memory_cgroup_id = memory_cgroup_id(task);
	}
	bpf_ringbuf_submit(event, 0);
	return 1;
}

static __always_inline void count_unsighted(void)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&unsighted, &zero);

	if (n)
		__sync_fetch_and_add(n, 1);
}

static __always_inline _Bool is_own(struct task_struct *task)
{
	__u32 pid = BPF_CORE_READ(task, tgid);

	return bpf_map_lookup_elem(&own_pids, &pid) != NULL;
}

static __always_inline _Bool is_turned_away(__u64 cookie)
{
	const struct watch_move move = { .netns_cookie = cookie };
	const __u64 *when = bpf_map_lookup_elem(&moves, &move);

	return when && bpf_ktime_get_ns() - *when < WATCH_TURNED_AWAY_NS;
}

static __always_inline struct watch_netns *sight(struct task_struct *task, __u64 *ret_cookie)
{
	struct net *net = BPF_CORE_READ(task, nsproxy, net_ns);
	__u64 cookie = net ? BPF_CORE_READ(net, net_cookie) : 0;
	struct watch_netns fresh = {}, *known;
	int err; /* before Linux 6.4 the kernel's function returns an int: as a long, -E2BIG would be 4294967289 */

	*ret_cookie = cookie;
	if (!cookie || cookie == host_cookie)
		return NULL;
	fresh.tid = BPF_CORE_READ(task, pid);
	known = bpf_map_lookup_elem(&netns, &cookie);
	if (known) {
		if (known->tid != fresh.tid)
			known->tid = fresh.tid;
		return known;
	}
	if (is_turned_away(cookie))
		return NULL;
	fresh.net = (__u64)net;
	fresh.inode = BPF_CORE_READ(net, ns.inum);
	err = bpf_map_update_elem(&netns, &cookie, &fresh, BPF_NOEXIST);
	if (!err && !tell(cookie, BPFTUNE_NETNS_SIGHTED, task, 0, fresh.inode))
		bpf_map_delete_elem(&netns, &cookie); /* the ring is full: the next task tells */
	if (err == -E2BIG)
		count_unsighted();
	return NULL;
}

SEC("raw_tp/task_newtask")
int watch_newtask(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 cookie;

	sight((struct task_struct *)ctx->args[0], &cookie);
	return 0;
}

/* A namespace's own limit comes first, so that it uses up what all may cost only slowly. */
static __always_inline _Bool may_tell_of_place(__u64 cookie)
{
	struct watch_netns *known;

	if (cookie == host_cookie)
		return spend_of_budget(BUDGET_HOST_PLACES, HOST_PLACES_NS, HOST_PLACES_BURST);
	known = bpf_map_lookup_elem(&netns, &cookie);
	return known && spend(&known->placed_to, NETNS_PLACES_NS, NETNS_PLACES_BURST) &&
	       spend_of_budget(BUDGET_PLACES, BUDGET_NS, PLACES_BURST);
}

/*
 * A task has executed a program, or was moved, outside of the cgroup that is paired with its namespace: clone3(2) and
 * setns(2) do that without moving. `moved_to` is the id of where it was moved; 0: it was not.
 */
static __always_inline void look_at_place(struct task_struct *task, __u64 cookie, __u32 inode, __u64 moved_to)
{
	const struct bpftune_gate *gate = bpf_map_lookup_elem(&gates, &cookie);
	struct watch_move move = { .netns_cookie = cookie, .cgroup_id = moved_to };

	if (!moved_to) {
		move.cgroup_id = bpf_get_current_cgroup_id();
		if (gate && gate->cgroup_id && bpf_get_current_ancestor_cgroup_id(gate->cgroup_level) == gate->cgroup_id)
			return;
	}
	if (rate_of_map_allows(&moves, &move, MOVES_MIN_NS) && may_tell_of_place(cookie))
		tell(cookie, BPFTUNE_NETNS_PLACED, task, 0, inode);
}

/* clone3(CLONE_INTO_CGROUP) moves nobody: a container that shares the host's namespace may begin so. */
static __always_inline void look_for_sharer(struct task_struct *task)
{
	__u64 cgroup_id = bpf_get_current_cgroup_id();
	__u8 one = 1;

	if (!bpf_map_lookup_elem(&host_cgroups, &cgroup_id) &&
	    !bpf_map_update_elem(&host_cgroups, &cgroup_id, &one, BPF_NOEXIST) &&
	    !(may_tell_of_place(host_cookie) && tell(host_cookie, BPFTUNE_NETNS_PLACED, task, 0, 0)))
		bpf_map_delete_elem(&host_cgroups, &cgroup_id);
}

SEC("raw_tp/sched_process_exec")
int watch_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	__u64 cookie;
	struct watch_netns *known = sight(task, &cookie);

	if (known)
		look_at_place(task, cookie, known->inode, 0);
	else if (cookie == host_cookie)
		look_for_sharer(task);
	return 0;
}

static __always_inline _Bool is_cgroup2(struct cgroup *cgroup)
{
	return BPF_CORE_READ(cgroup, root, hierarchy_id) == 0;
}

/*
 * trace_cgroup_attach_task(dst_cgrp, path, task, threadgroup): kernel/cgroup/cgroup.c. It fires for each hierarchy; those
 * of cgroup1 count by the memory controller's.
 */
SEC("raw_tp/cgroup_attach_task")
int watch_attach(struct bpf_raw_tracepoint_args *ctx)
{
	struct cgroup *cgroup = (struct cgroup *)ctx->args[0];
	struct task_struct *task = (struct task_struct *)ctx->args[2];
	__u64 cookie = BPF_CORE_READ(task, nsproxy, net_ns, net_cookie), cgroup_id = BPF_CORE_READ(cgroup, kn, id);

	if (cookie && (is_cgroup2(cgroup) || cgroup_id == memory_cgroup_id(task)))
		look_at_place(task, cookie, BPF_CORE_READ(task, nsproxy, net_ns, ns.inum), cgroup_id);
	return 0;
}

SEC("raw_tp/cgroup_rmdir")
int watch_rmdir(struct bpf_raw_tracepoint_args *ctx)
{
	struct cgroup *cgroup = (struct cgroup *)ctx->args[0];
	__u64 cgroup_id = BPF_CORE_READ(cgroup, kn, id);
	struct bpftune_event *event;

	if (!is_cgroup2(cgroup) || !bpf_map_lookup_elem(&paired, &cgroup_id))
		return 0;
	event = event_reserve(host_cookie, BPFTUNE_CGROUP_GONE);
	if (!event)
		return 0;
	((struct bpftune_place *)event->payload)->cgroup_id = cgroup_id;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/*
 * The context is the kernel's struct sock (net/ipv4/af_inet.c: inet_create()). A read of the structure costs less
 * than the call of a helper.
 */
static __always_inline __u64 cookie_of_new(struct bpf_sock *ctx)
{
	if (CAN_CAST)
		return CAST(struct sock, ctx)->__sk_common.skc_net.net->net_cookie;
	return bpf_get_netns_cookie(ctx);
}

SEC("cgroup/sock_create")
int watch_sock_create(struct bpf_sock *ctx)
{
	__u64 cookie;

	if (cookie_of_new(ctx) == host_cookie)
		return 1;
	sight((struct task_struct *)bpf_get_current_task(), &cookie);
	return 1;
}

/*
 * kernel/exit.c: do_exit() fires this before exit_task_namespaces(), so the task's references are
 * still held: the supervisor sweeps a little later. Also the first sighting of what `ip netns add`
 * unshares, since that neither forks nor executes in there.
 */
SEC("raw_tp/sched_process_exit")
int watch_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	__u64 cookie;
	struct watch_netns *known = sight(task, &cookie);

	/* The supervisor reaps a worker of ours, and looks then. */
	if (known && !known->left && !is_own(task)) {
		known->left = 1;
		if (!tell(cookie, BPFTUNE_NETNS_LEFT, NULL, 0, known->inode))
			known->left = 0; /* the ring is full: the next exit tells */
	}
	return 0;
}

static __always_inline __u32 netns_references(struct net *net)
{
	struct ns_common *ns = (void *)net + bpf_core_field_offset(struct net, ns);
	__u32 count = 0;

	/* refcount_t and atomic_t are one int inside */
	if (bpf_core_field_exists(struct ns_common___6_18, __ns_ref))
		bpf_core_read(&count, sizeof(count), &((struct ns_common___6_18 *)ns)->__ns_ref);
	else
		bpf_core_read(&count, sizeof(count), &((struct ns_common___6_17 *)ns)->count);
	return count;
}

/* False: the ring has no room to tell of it. Half of the ring is left to events that are told once only. */
static __always_inline _Bool look_at_users(__u64 cookie, struct watch_netns *known)
{
	const struct bpftune_gate *gate = bpf_map_lookup_elem(&gates, &cookie);
	__u32 own_users = gate ? gate->own_users : 0;
	struct net *net = (struct net *)known->net;

	known->left = 0;
	/* A freed struct net may be another's by now: cookies are never used twice. */
	if (BPF_CORE_READ(net, net_cookie) == cookie && netns_references(net) > own_users)
		return 1;
	return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) <= BPFTUNE_EVENTS_BYTES / 2 &&
	       tell(cookie, BPFTUNE_NETNS_UNUSED, NULL, own_users, known->inode);
}

struct bpf_map;

struct sweep {
	__u32 round;
	_Bool is_cut; /* the ring has no room for more */
};

static long sweep_one(struct bpf_map *map, const __u64 *cookie, struct watch_netns *known, struct sweep *sweep)
{
	if (known->round == sweep->round)
		return 0;
	sweep->is_cut = !look_at_users(*cookie, known);
	if (!sweep->is_cut)
		known->round = sweep->round;
	return sweep->is_cut;
}

/*
 * Never attached: the supervisor test-runs it when it wants to know, of one namespace by its cookie, or of all (0) that
 * were not looked at in this round. 1: the ring has no room for all that is to be told.
 */
SEC("raw_tp")
int watch_sweep(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 cookie = ctx->args[0];
	struct sweep sweep = { .round = ctx->args[1] };
	struct watch_netns *known = cookie ? bpf_map_lookup_elem(&netns, &cookie) : NULL;

	if (known)
		return !look_at_users(cookie, known);
	if (!cookie)
		bpf_for_each_map_elem(&netns, sweep_one, &sweep, 0);
	return sweep.is_cut;
}

/* Equal but for tabs and the last newline, which is how the kernel and sysctl(8) differ. */
static __always_inline _Bool same_value(const char *a, const char *b)
{
	for (int i = 0; i < (int)sizeof(((struct bpftune_written *)0)->value); i++) {
		char x = a[i] == '\t' ? ' ' : a[i] == '\n' ? 0 : a[i];
		char y = b[i] == '\t' ? ' ' : b[i] == '\n' ? 0 : b[i];

		if (x != y)
			return 0;
		if (!x)
			break;
	}
	return 1;
}

/*
 * The namespace whose table is written: a descriptor of /proc/sys/net may have been opened in another namespace than
 * the writer's. Where the kernel does not tell, the writer's own.
 */
static __always_inline struct net *net_of_table(struct bpf_sysctl *ctx, struct net *writers)
{
	struct ctl_table_header *head = NULL;
	struct ctl_table_set *set;

	if (!bpf_core_field_exists(struct bpf_sysctl_kern, head) || !bpf_core_field_exists(struct net, sysctls))
		return writers;
	bpf_probe_read_kernel(&head, sizeof(head), (void *)ctx + bpf_core_field_offset(struct bpf_sysctl_kern, head));
	set = BPF_CORE_READ(head, set);
	/* The tables of the whole machine have no is_seen(). */
	if (!set || BPF_CORE_READ(set, is_seen) != BPF_CORE_READ(writers, sysctls.is_seen))
		return writers;
	return (void *)set - bpf_core_field_offset(struct net, sysctls);
}

static __always_inline _Bool spend_of_write(const struct watch_write *write)
{
	__u64 *spent_to = bpf_map_lookup_elem(&writes, write), never = 0;

	if (!spent_to) {
		bpf_map_update_elem(&writes, write, &never, BPF_NOEXIST);
		spent_to = bpf_map_lookup_elem(&writes, write);
	}
	return !spent_to || spend(spent_to, WRITES_NS, WRITE_BURST);
}

/* The host's writes are its administrator's: no container uses up what they may cost. */
static __always_inline _Bool may_tell_of_write(const struct watch_taken *who, __u32 tunable, _Bool is_first)
{
	const struct watch_write write = { who->netns_cookie, who->tuner, tunable };

	if (!spend_of_write(&write))
		return 0;
	if (who->netns_cookie == host_cookie)
		return 1;
	return is_first ? spend_of_budget(BUDGET_FIRST_WRITES, BUDGET_NS, FIRST_WRITES_BURST)
			: spend_of_budget(BUDGET_WRITES, BUDGET_NS, WRITES_BURST);
}

static __always_inline void somebody_writes(struct bpf_sysctl *ctx, struct task_struct *task,
					    const struct watch_taken *who, const struct bpftune_owner *owner)
{
	char current_value[sizeof(((struct bpftune_written *)0)->value)] = {};
	struct bpftune_written written = { .owner = *owner };
	__u8 reported = WATCH_REPORTED, unreported = WATCH_UNREPORTED;
	struct bpftune_event *event = NULL;
	_Bool is_first;

	bpf_sysctl_get_current_value(ctx, current_value, sizeof(current_value));
	bpf_sysctl_get_new_value(ctx, written.value, sizeof(written.value));
	if (same_value(written.value, current_value))
		return;
	is_first = !bpf_map_update_elem(&taken, who, &reported, BPF_NOEXIST);
	if (may_tell_of_write(who, owner->tunable, is_first))
		event = event_reserve(who->netns_cookie, BPFTUNE_SYSCTL_WRITTEN);
	if (!event) {
		bpf_map_update_elem(&taken, who, &unreported, BPF_EXIST);
		return;
	}
	BPF_CORE_READ_STR_INTO(&written.comm, task, comm);
	event->pid = BPF_CORE_READ(task, tgid);
	*(struct bpftune_written *)event->payload = written;
	bpf_ringbuf_submit(event, 0);
}

/*
 * Before every sysctl access (kernel/bpf/cgroup.c: __cgroup_bpf_run_filter_sysctl()). A write by anybody
 * else takes the tuner over at once, here: from then on our own writes are refused, however far on their
 * way they are. 0 refuses with EPERM.
 */
SEC("cgroup/sysctl")
int watch_sysctl(struct bpf_sysctl *ctx)
{
	char name[BPFTUNE_SYSCTL_NAME_BYTES] = {};
	const struct bpftune_owner *owner;
	struct watch_taken who = {};
	struct net *net, *writers;
	struct task_struct *task;
	__u64 cookie;

	if (!ctx->write || bpf_sysctl_get_name(ctx, name, sizeof(name), 0) < 0)
		return 1;
	owner = bpf_map_lookup_elem(&owned_sysctls, name);
	if (!owner)
		return 1;
	task = (struct task_struct *)bpf_get_current_task();
	writers = BPF_CORE_READ(task, nsproxy, net_ns);
	net = net_of_table(ctx, writers);
	who.netns_cookie = BPF_CORE_READ(net, net_cookie);
	who.tuner = owner->tuner;
	if (is_own(task))
		return !bpf_map_lookup_elem(&taken, &who);
	if (net == writers)
		sight(task, &cookie); /* maybe the first that is seen of the namespace */
	/* In a namespace that is not known nobody tunes, and nobody would take the entry in `taken` away. */
	if (who.netns_cookie == host_cookie || bpf_map_lookup_elem(&netns, &who.netns_cookie))
		somebody_writes(ctx, task, &who, owner);
	return 1;
}
