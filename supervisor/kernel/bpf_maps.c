// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/bpf_maps.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "bpf/watch.h"
#include "worker/sysctl.h"

int bpf_sweep(struct bpftune_host *host, uint64_t netns_cookie)
{
	struct bpf_test_run_opts opts = {
		.sz = sizeof(opts),
		.ctx_in = &netns_cookie,
		.ctx_size_in = sizeof(netns_cookie),
	};

	return bpf_prog_test_run_opts(host->sweep_fd, &opts);
}

int bpf_set_gate(struct bpftune_host *host, uint64_t netns_cookie, const struct bpftune_gate *gate)
{
	return bpf_map_update_elem(host->shared_fds[SHARED_GATES], &netns_cookie, gate, BPF_ANY);
}

void bpf_forget(struct bpftune_host *host, uint64_t netns_cookie)
{
	bpf_map_delete_elem(host->shared_fds[SHARED_GATES], &netns_cookie);
	bpf_map_delete_elem(host->netns_fd, &netns_cookie);
	for (uint16_t tuner = 0; tuner < host->n_tuners; tuner++)
		bpf_untake(host, netns_cookie, tuner);
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

void bpf_set_paired(struct bpftune_host *host, uint64_t cgroup_id, bool is_paired)
{
	set_member(host->paired_fd, &cgroup_id, is_paired);
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

	return err ? err : bpf_map_update_elem(host->owned_fd, key, owner, BPF_NOEXIST);
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

int bpf_set_verdict(struct bpftune_host *host, uint16_t tuner, const struct bpftune_verdict_key *key,
		    const struct bpftune_verdict *verdict)
{
	static const uint8_t zeros[sizeof(verdict->value)];

	if (!host->verdict_fds[tuner])
		return -ENOENT;
	if (!memcmp(verdict->value, zeros, sizeof(zeros)))
		return bpf_map_delete_elem(host->verdict_fds[tuner], key);
	return bpf_map_update_elem(host->verdict_fds[tuner], key, verdict->value, BPF_ANY);
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
