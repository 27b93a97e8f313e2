// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/advise_known.h"

#include <fnmatch.h>
#include <stddef.h>
#include <string.h>

#include "ipc/cleanup.h"

struct known {
	const char *pattern; /* of fnmatch(3) */
	const char *text;
};

static const struct known obsolete[] = {
	{ "net.ipv4.tcp_tw_recycle",
	  "gone since Linux 4.12; it broke connections of clients behind address translation" },
	{ "net.ipv4.tcp_low_latency", "without effect since Linux 4.14" },
	{ "net.ipv4.tcp_fack", "without effect since Linux 4.15" },
	{ "net.ipv4.tcp_thin_dupack", "gone since Linux 4.11" },
	{ "net.ipv4.tcp_frto_response", "gone since Linux 3.10" },
	{ "net.ipv4.tcp_cookie_size", "gone since Linux 3.10" },
	{ "net.ipv4.tcp_abc", "gone" },
	{ "net.ipv4.tcp_max_ssthresh", "gone" },
	{ "net.ipv4.tcp_dma_copybreak", "gone" },
	{ "net.ipv4.inet_peer_gc_m??time", "gone" },
	{ "net.ipv4.ip_conntrack_*", "gone since Linux 4.9; net.netfilter.nf_conntrack_* took its place" },
	{ "net.ipv4.netfilter.ip_conntrack_*", "gone since Linux 4.9; net.netfilter.nf_conntrack_* took its place" },
	{ "net.netfilter.ip_conntrack_*", "not a key of any kernel; net.netfilter.nf_conntrack_* is meant" },
	{ "net.netfilter.nf_conntrack_helper", "gone since Linux 6.0" },
	{ "net.ipv4.route.max_size", "without effect since Linux 3.6, which has no route cache for IPv4" },
	{ "net.ipv4.route.gc_*", "without effect since Linux 3.6, which has no route cache for IPv4" },
	{ "net.ipv?.ip*frag_secret_interval", "without effect since Linux 3.17" },
	{ "net.ipv?.ip*frag_low_thresh", "without effect since Linux 4.17" },
	{ "net.ipv4.route.flush", "an action, not a setting" },
	{ "vm.drop_caches", "an action, not a setting" },
	{ "vm.compact_memory", "an action, not a setting" },
	{ "kernel.sched_latency_ns", "gone since Linux 5.13" },
	{ "kernel.sched_*_granularity_ns", "gone since Linux 5.13" },
	{ "kernel.sched_migration_cost_ns", "in debugfs since Linux 5.13, and no sysctl" },
	{ "kernel.sched_nr_migrate", "in debugfs since Linux 5.13, and no sysctl" },
	{ "kernel.sched_tunable_scaling", "in debugfs since Linux 5.13, and no sysctl" },
	{ "kernel.exec-shield", "a key of old Red Hat kernels only" },
	{ "fs.may_detach_mounts", "a key of RHEL 7's kernel only" },
};

static const struct known modules[] = {
	{ "net.bridge.*", "br_netfilter" },
	{ "net.netfilter.nf_conntrack_*", "nf_conntrack" },
	{ "net.nf_conntrack_max", "nf_conntrack" },
};

static const struct known namespaces[] = {
	{ "kernel.shm*", "IPC namespace" }, { "kernel.msg*", "IPC namespace" },
	{ "kernel.sem", "IPC namespace" },  { "kernel.sem_next_id", "IPC namespace" },
	{ "fs.mqueue.*", "IPC namespace" }, { "kernel.hostname", "UTS namespace" },
	{ "user.max_*", "user namespace" }, { "kernel.domainname", "UTS namespace" },
};

/* kubernetes.io, "Using sysctls in a Kubernetes Cluster": those of network namespaces. */
static const char *const safe_for_pods[] = {
	"net.ipv4.ip_local_port_range",
	"net.ipv4.ip_local_reserved_ports",
	"net.ipv4.ip_unprivileged_port_start",
	"net.ipv4.ping_group_range",
	"net.ipv4.tcp_fin_timeout",
	"net.ipv4.tcp_keepalive_intvl",
	"net.ipv4.tcp_keepalive_probes",
	"net.ipv4.tcp_keepalive_time",
	"net.ipv4.tcp_rmem",
	"net.ipv4.tcp_syncookies",
	"net.ipv4.tcp_wmem",
};

static const char *look_up(const struct known *known, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (fnmatch(known[i].pattern, key, 0) == 0)
			return known[i].text;
	return NULL;
}

const char *known_obsolete(const char *key)
{
	return look_up(obsolete, ARRAY_SIZE(obsolete), key);
}

const char *known_module(const char *key)
{
	return look_up(modules, ARRAY_SIZE(modules), key);
}

const char *known_namespace(const char *key)
{
	return look_up(namespaces, ARRAY_SIZE(namespaces), key);
}

bool known_safe_for_pods(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(safe_for_pods); i++)
		if (!strcmp(safe_for_pods[i], key))
			return true;
	return false;
}
