// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/limits_met.h"

#include <stdio.h>

#include "ipc/cleanup.h"
#include "worker/procnet.h"

/* Which counters each consists of; where two are of one limit, the second is taken away from the first. */
static const struct term {
	enum limit_met limit;
	const char *group, *name;
} terms[] = {
	{ LIMIT_LISTEN_OVERFLOWS, "TcpExt", "ListenOverflows" },
	{ LIMIT_LISTEN_DROPS, "TcpExt", "ListenDrops" },
	{ LIMIT_REQ_Q_FULL_DROP, "TcpExt", "TCPReqQFullDrop" },
	{ LIMIT_REQ_Q_FULL_DO_COOKIES, "TcpExt", "TCPReqQFullDoCookies" },
	{ LIMIT_FASTOPEN_OVERFLOW, "TcpExt", "TCPFastOpenListenOverflow" },
	{ LIMIT_TCP_BACKLOG_DROP, "TcpExt", "TCPBacklogDrop" },
	{ LIMIT_TCP_RCV_Q_DROP, "TcpExt", "TCPRcvQDrop" },
	{ LIMIT_TCP_OFO_DROP, "TcpExt", "TCPOFODrop" },
	{ LIMIT_RCV_PRUNED, "TcpExt", "RcvPruned" },
	{ LIMIT_OFO_PRUNED, "TcpExt", "OfoPruned" },
	{ LIMIT_TCP_MEMORY_PRESSURES, "TcpExt", "TCPMemoryPressures" },
	{ LIMIT_TCP_ABORT_ON_MEMORY, "TcpExt", "TCPAbortOnMemory" },
	{ LIMIT_TIME_WAIT_OVERFLOW, "TcpExt", "TCPTimeWaitOverflow" },
	{ LIMIT_UDP_RCVBUF_ERRORS, "Udp", "RcvbufErrors" },
	{ LIMIT_UDP_SNDBUF_ERRORS, "Udp", "SndbufErrors" },
	{ LIMIT_UDP_MEM_ERRORS, "Udp", "MemErrors" },
	{ LIMIT_UDP6_RCVBUF_ERRORS, "snmp6", "Udp6RcvbufErrors" },
	{ LIMIT_UDP6_SNDBUF_ERRORS, "snmp6", "Udp6SndbufErrors" },
	{ LIMIT_UDP6_MEM_ERRORS, "snmp6", "Udp6MemErrors" },
	{ LIMIT_IP_REASM_OVERFLOWS, "Ip", "ReasmFails" },
	{ LIMIT_IP_REASM_OVERFLOWS, "Ip", "ReasmTimeout" },
	{ LIMIT_IP6_REASM_OVERFLOWS, "snmp6", "Ip6ReasmFails" },
	{ LIMIT_IP6_REASM_OVERFLOWS, "snmp6", "Ip6ReasmTimeout" },
	{ LIMIT_CONNTRACK_DROP, "nf_conntrack", "drop" },
	{ LIMIT_CONNTRACK_EARLY_DROP, "nf_conntrack", "early_drop" },
	{ LIMIT_ARP_TABLE_FULLS, "arp_cache", "table_fulls" },
	{ LIMIT_NDISC_TABLE_FULLS, "ndisc_cache", "table_fulls" },
	{ LIMIT_SOFTNET_DROPPED, "softnet", "dropped" },
	{ LIMIT_SOFTNET_TIME_SQUEEZE, "softnet", "time_squeeze" },
	{ LIMIT_SOFTNET_FLOW_LIMIT, "softnet", "flow_limit_count" },
	{ LIMIT_ORPHANS, "sockstat", "orphan" },
};

/* net/core/net-procfs.c: softnet_seq_show() writes no names; newer kernels add columns at the end. */
static const char softnet_columns[] =
	"processed dropped time_squeeze - - - - - cpu_collision received_rps flow_limit_count";

/* Tables of hexadecimal numbers, a line for each CPU. */
static const struct table {
	const char *path, *group;
	const char *columns; /* NULL: the first line has their names */
	bool is_hosts;
} tables[] = {
	{ "/proc/self/net/stat/nf_conntrack", "nf_conntrack", NULL, false },
	{ "/proc/self/net/stat/arp_cache", "arp_cache", NULL, true },
	{ "/proc/self/net/stat/ndisc_cache", "ndisc_cache", NULL, true },
	{ "/proc/self/net/softnet_stat", "softnet", softnet_columns, true },
};

static void read_orphans(struct bpftune_counter *counters, size_t n)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/self/net/sockstat", "re");
	char line[256];
	unsigned int orphans;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "TCP: inuse %*u orphan %u", &orphans) == 1)
			procnet_add(counters, n, "sockstat", "orphan", orphans);
}

/* A file that is not there, as the kernel lacks it, leaves its counters unknown. */
static void read_files(bool is_host, struct bpftune_counter *counters, size_t n)
{
	bpftune_counters(NULL, counters, n);
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		_cleanup_fclose_ FILE *file = is_host || !tables[i].is_hosts ? fopen(tables[i].path, "re") : NULL;

		if (file)
			procnet_table(file, tables[i].group, tables[i].columns, counters, n);
	}
	if (is_host)
		read_orphans(counters, n);
}

void limits_met_read(bool is_host, struct limits_met *ret_met)
{
	struct bpftune_counter counters[ARRAY_SIZE(terms)];

	for (size_t i = 0; i < ARRAY_SIZE(terms); i++)
		counters[i] = (struct bpftune_counter){ .group = terms[i].group, .name = terms[i].name };
	read_files(is_host, counters, ARRAY_SIZE(counters));
	for (size_t i = 0; i < N_LIMITS_MET; i++)
		ret_met->counts[i] = LIMITS_MET_UNKNOWN;
	for (size_t i = 0; i < ARRAY_SIZE(terms); i++) {
		uint64_t *count = &ret_met->counts[terms[i].limit];

		if (!counters[i].found)
			continue;
		if (*count == LIMITS_MET_UNKNOWN)
			*count = counters[i].value;
		else
			*count -= counters[i].value < *count ? counters[i].value : *count;
	}
}
