// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/bpf_maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bpf/watch.h"
#include "ipc/cleanup.h"
#include "worker/sysctl.h"

int bpf_sweep(struct bpftune_host *host, uint64_t netns_cookie, uint64_t round)
{
	uint64_t args[] = { netns_cookie, round };
	struct bpf_test_run_opts opts = { .sz = sizeof(opts), .ctx_in = args, .ctx_size_in = sizeof(args) };
	int err = bpf_prog_test_run_opts(host->sweep_fd, &opts);

	return !err && opts.retval ? -EAGAIN : err;
}

static void tell_all(struct bpftune_host *host)
{
	uint32_t zero = 0;

	bpf_map_update_elem(host->shared_fds[SHARED_CONTROL], &zero, &host->control, BPF_ANY);
}

int bpf_set_gate(struct bpftune_host *host, uint64_t netns_cookie, const struct bpftune_gate *gate)
{
	struct bpftune_gate next = *gate, now;

	if (gate->verdicts & ~host->control.verdicts) {
		host->control.verdicts |= gate->verdicts;
		tell_all(host);
	}
	/* What the programs note meanwhile is lost, which is an event or two. */
	if (bpf_map_lookup_elem(host->shared_fds[SHARED_GATES], &netns_cookie, &now) == 0)
		memcpy(next.spent_to, now.spent_to, sizeof(next.spent_to));
	return bpf_map_update_elem(host->shared_fds[SHARED_GATES], &netns_cookie, &next, BPF_ANY);
}

void bpf_forget(struct bpftune_host *host, uint64_t netns_cookie)
{
	bpf_map_delete_elem(host->shared_fds[SHARED_GATES], &netns_cookie);
	bpf_map_delete_elem(host->netns_fd, &netns_cookie);
	for (uint16_t tuner = 0; tuner < host->n_tuners; tuner++)
		bpf_untake(host, netns_cookie, tuner);
}

void bpf_turn_away(struct bpftune_host *host, uint64_t netns_cookie)
{
	const struct watch_move move = { .netns_cookie = netns_cookie };
	struct timespec now;
	uint64_t now_ns;

	clock_gettime(CLOCK_MONOTONIC, &now); /* bpf_ktime_get_ns() */
	now_ns = now.tv_sec * 1000000000ULL + now.tv_nsec;
	bpf_map_update_elem(host->moves_fd, &move, &now_ns, BPF_ANY);
	bpf_forget(host, netns_cookie);
}

void bpf_forget_cgroup(struct bpftune_host *host, uint64_t cgroup_id)
{
	bpf_map_delete_elem(host->host_cgroups_fd, &cgroup_id);
}

/* A map that is a set: its values are one byte. */
static void set_member(int map_fd, const void *key, bool is_member)
{
	uint8_t one = 1;

	if (is_member)
		bpf_map_update_elem(map_fd, key, &one, BPF_ANY);
	else
		bpf_map_delete_elem(map_fd, key);
}

/* What sockets are remembered to be of goes by the number in `sharers`: another one, and they are looked up again. */
static void change_sharers(struct bpftune_host *host, uint64_t before, uint64_t now)
{
	if (before == now)
		return;
	host->n_sharers += !!now - !!before;
	host->last_sharers += 1 + (host->last_sharers == UINT32_MAX);
	host->control.sharers = host->n_sharers ? host->last_sharers : 0;
	tell_all(host);
}

static uint64_t sharer_of(const struct bpftune_host *host, uint64_t cgroup_id)
{
	struct bpftune_pair pair;

	return bpf_map_lookup_elem(host->shared_fds[SHARED_PAIRED], &cgroup_id, &pair) < 0 ? 0 : pair.sharer;
}

void bpf_set_pair(struct bpftune_host *host, uint64_t cgroup_id, uint64_t sharer)
{
	const struct bpftune_pair pair = { .sharer = sharer };
	uint64_t before = sharer_of(host, cgroup_id);

	if (bpf_map_update_elem(host->shared_fds[SHARED_PAIRED], &cgroup_id, &pair, BPF_ANY) == 0)
		change_sharers(host, before, sharer);
}

void bpf_clear_pair(struct bpftune_host *host, uint64_t cgroup_id)
{
	uint64_t before = sharer_of(host, cgroup_id);

	if (bpf_map_delete_elem(host->shared_fds[SHARED_PAIRED], &cgroup_id) == 0)
		change_sharers(host, before, 0);
}

uint32_t bpf_last_tid(struct bpftune_host *host, uint64_t netns_cookie)
{
	struct watch_netns known;

	if (bpf_map_lookup_elem(host->netns_fd, &netns_cookie, &known) < 0)
		return 0;
	return known.tid;
}

int bpf_own_sysctl(struct bpftune_host *host, const char *name, const struct bpftune_owner *owner)
{
	char key[BPFTUNE_SYSCTL_NAME_BYTES] = "";
	int err = sysctl_path(name, key, sizeof(key));

	return err ? err : bpf_map_update_elem(host->owned_fd, key, owner, BPF_ANY);
}

void bpf_own_pid(struct bpftune_host *host, uint32_t pid, bool ours)
{
	set_member(host->own_pids_fd, &pid, ours);
}

bool bpf_is_taken(const struct bpftune_host *host, uint64_t netns_cookie, uint16_t tuner)
{
	struct watch_taken key = { .netns_cookie = netns_cookie, .tuner = tuner };
	uint8_t one;

	return bpf_map_lookup_elem(host->taken_fd, &key, &one) == 0;
}

bool bpf_is_unreported(const struct bpftune_host *host, uint64_t netns_cookie, uint16_t tuner)
{
	struct watch_taken key = { .netns_cookie = netns_cookie, .tuner = tuner };
	uint8_t state = WATCH_REPORTED;

	return bpf_map_lookup_elem(host->taken_fd, &key, &state) == 0 && state == WATCH_UNREPORTED;
}

void bpf_take(struct bpftune_host *host, uint64_t netns_cookie, uint16_t tuner)
{
	struct watch_taken key = { .netns_cookie = netns_cookie, .tuner = tuner };
	uint8_t state = WATCH_REPORTED;

	bpf_map_update_elem(host->taken_fd, &key, &state, BPF_NOEXIST);
}

void bpf_untake(struct bpftune_host *host, uint64_t netns_cookie, uint16_t tuner)
{
	struct watch_taken key = { .netns_cookie = netns_cookie, .tuner = tuner };

	bpf_map_delete_elem(host->taken_fd, &key);
}

void bpf_forget_write(struct bpftune_host *host, uint64_t netns_cookie, const struct bpftune_owner *owner)
{
	struct watch_write key = { .netns_cookie = netns_cookie, .tuner = owner->tuner, .tunable = owner->tunable };

	bpf_map_delete_elem(host->writes_fd, &key);
}

int bpf_set_verdict(struct bpftune_host *host, uint16_t tuner, const struct bpftune_verdict_key *key,
		    const struct bpftune_verdict *verdict)
{
	static const uint8_t zeros[sizeof(verdict->value)];
	uint8_t held[sizeof(verdict->value)];

	if (!host->verdict_fds[tuner])
		return -ENOENT;
	if (!memcmp(verdict->value, zeros, sizeof(zeros)))
		return bpf_map_delete_elem(host->verdict_fds[tuner], key);
	if (!bpf_map_lookup_elem(host->verdict_fds[tuner], key, held) && !memcmp(held, verdict->value, sizeof(held)))
		return 0; /* told again, with another text maybe */
	host->new_verdicts |= 1ULL << tuner;
	return bpf_map_update_elem(host->verdict_fds[tuner], key, verdict->value, BPF_ANY);
}

void bpf_forget_verdicts(struct bpftune_host *host, uint16_t tuner)
{
	host->control.verdicts &= ~(1ULL << tuner);
	tell_all(host);
}

void bpf_runs(const struct bpftune_host *host, enum bpftune_chain chain, uint16_t tuner, struct bpftune_runs *ret_runs)
{
	uint32_t key = chain * BPFTUNE_SLOTS_MAX + tuner;
	int n = libbpf_num_possible_cpus();
	struct bpftune_runs *of_cpus = n > 0 ? calloc(n, sizeof(*of_cpus)) : NULL;

	*ret_runs = (struct bpftune_runs){ 0 };
	if (of_cpus && bpf_map_lookup_elem(host->shared_fds[SHARED_RUNS], &key, of_cpus) == 0)
		for (int i = 0; i < n; i++) {
			ret_runs->runs += of_cpus[i].runs;
			ret_runs->timed += of_cpus[i].timed;
			ret_runs->ns += of_cpus[i].ns;
		}
	free(of_cpus);
}

void bpf_linked_runs(const struct hook *hook, struct bpftune_runs *ret_runs)
{
	struct bpf_link_info link = { 0 };
	struct bpf_prog_info program = { 0 };
	uint32_t link_size = sizeof(link), program_size = sizeof(program);
	int link_fd = hook->link ? bpf_link__fd(hook->link) : hook->late.link_fd;
	_cleanup_close_ int fd = -1;

	*ret_runs = (struct bpftune_runs){ 0 };
	if (link_fd <= 0 || bpf_obj_get_info_by_fd(link_fd, &link, &link_size) < 0)
		return;
	fd = bpf_prog_get_fd_by_id(link.prog_id);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &program, &program_size) < 0)
		return;
	*ret_runs = (struct bpftune_runs){ .timed = program.run_cnt, .ns = program.run_time_ns };
}

void bpf_time_runs(struct bpftune_host *host)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/sys/kernel/bpf_stats_enabled", "re");
	bool is_timed = file && fgetc(file) == '1';

	if (host->control.is_timed == is_timed)
		return;
	host->control.is_timed = is_timed;
	tell_all(host);
}

static uint64_t counter(int map_fd)
{
	uint32_t zero = 0;
	uint64_t count = 0;

	bpf_map_lookup_elem(map_fd, &zero, &count);
	return count;
}

uint64_t bpf_lost(const struct bpftune_host *host)
{
	return counter(host->shared_fds[SHARED_LOST]);
}

uint64_t bpf_unsighted(const struct bpftune_host *host)
{
	return counter(host->unsighted_fd);
}
