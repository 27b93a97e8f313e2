// SPDX-License-Identifier: GPL-2.0-or-later
#include "ipc/limits_met.h"

#include <stddef.h>

const struct limit_met_kind limit_met_kinds[N_LIMITS_MET] = {
	[LIMIT_LISTEN_OVERFLOWS] = { "TcpExtListenOverflows", "listen", false },
	[LIMIT_LISTEN_DROPS] = { "TcpExtListenDrops", "listen", false },
	[LIMIT_REQ_Q_FULL_DROP] = { "TcpExtTCPReqQFullDrop", "listen", false },
	[LIMIT_REQ_Q_FULL_DO_COOKIES] = { "TcpExtTCPReqQFullDoCookies", "listen", false },
	[LIMIT_FASTOPEN_OVERFLOW] = { "TcpExtTCPFastOpenListenOverflow", NULL, false },
	[LIMIT_TCP_BACKLOG_DROP] = { "TcpExtTCPBacklogDrop", NULL, false },
	[LIMIT_TCP_RCV_Q_DROP] = { "TcpExtTCPRcvQDrop", NULL, false },
	[LIMIT_TCP_OFO_DROP] = { "TcpExtTCPOFODrop", NULL, false },
	[LIMIT_RCV_PRUNED] = { "TcpExtRcvPruned", NULL, false },
	[LIMIT_OFO_PRUNED] = { "TcpExtOfoPruned", NULL, false },
	[LIMIT_TCP_MEMORY_PRESSURES] = { "TcpExtTCPMemoryPressures", "tcp_mem", false },
	[LIMIT_TCP_ABORT_ON_MEMORY] = { "TcpExtTCPAbortOnMemory", NULL, false },
	[LIMIT_TIME_WAIT_OVERFLOW] = { "TcpExtTCPTimeWaitOverflow", "ports", false },
	[LIMIT_UDP_RCVBUF_ERRORS] = { "UdpRcvbufErrors", "udp", false },
	[LIMIT_UDP_SNDBUF_ERRORS] = { "UdpSndbufErrors", NULL, false },
	[LIMIT_UDP_MEM_ERRORS] = { "UdpMemErrors", "udp", false },
	[LIMIT_UDP6_RCVBUF_ERRORS] = { "Udp6RcvbufErrors", "udp", false },
	[LIMIT_UDP6_SNDBUF_ERRORS] = { "Udp6SndbufErrors", NULL, false },
	[LIMIT_UDP6_MEM_ERRORS] = { "Udp6MemErrors", "udp", false },
	[LIMIT_IP_REASM_OVERFLOWS] = { "IpReasmOverflows", "frag", false },
	[LIMIT_IP6_REASM_OVERFLOWS] = { "Ip6ReasmOverflows", "frag", false },
	[LIMIT_CONNTRACK_DROP] = { "nf_conntrack_drop", "conntrack", false },
	[LIMIT_CONNTRACK_EARLY_DROP] = { "nf_conntrack_early_drop", "conntrack", false },
	[LIMIT_ARP_TABLE_FULLS] = { "arp_cache_table_fulls", "neigh", false },
	[LIMIT_NDISC_TABLE_FULLS] = { "ndisc_cache_table_fulls", "neigh", false },
	[LIMIT_SOFTNET_DROPPED] = { "softnet_dropped", "backlog", false },
	[LIMIT_SOFTNET_TIME_SQUEEZE] = { "softnet_time_squeeze", NULL, false },
	[LIMIT_SOFTNET_FLOW_LIMIT] = { "softnet_flow_limit", NULL, false },
	[LIMIT_ORPHANS] = { "sockstat_orphan", NULL, true },
};
