/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The slice of kernel types that our programs read. Offsets are relocated at load time (CO-RE)
 * from the running kernel's BTF; only names and kinds matter here. Kernel 5.15 and newer.
 * A name with ___ is a flavour: the same type as another kernel has it.
 */
#ifndef BPFTUNE_BPF_KERNEL_H
#define BPFTUNE_BPF_KERNEL_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define SOL_SOCKET_USERLOCK_SNDBUF 1 /* include/net/sock.h: SOCK_SNDBUF_LOCK */
#define SOL_SOCKET_USERLOCK_RCVBUF 2 /* SOCK_RCVBUF_LOCK */
#define SOL_SOCKET_USERLOCK_BINDPORT 8 /* SOCK_BINDPORT_LOCK: bind(2) named the port */

/* include/net/tcp_states.h */
enum { TCP_LISTEN = 10 };

#define SOCK_NOSPACE 2 /* include/linux/net.h: a bit of socket.flags */

/* include/linux/tcp.h: enum tcp_chrono; chrono_stat[] has no slot for UNSPEC */
enum { TCP_CHRONO_UNSPEC, TCP_CHRONO_BUSY, TCP_CHRONO_RWND_LIMITED, TCP_CHRONO_SNDBUF_LIMITED };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} refcount_t;

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	long counter;
} atomic_long_t;

struct ns_common___6_17 { /* up to 6.17 */
	refcount_t count;
};

struct ns_common___6_18 { /* from 6.18 */
	refcount_t __ns_ref;
};

struct ns_common {
	unsigned int inum;
};

struct netns_core {
	int sysctl_somaxconn;
};

struct local_ports { /* from 6.8 */
	__u32 range; /* the highest port << 16 | the lowest */
};

struct local_ports___6_7 { /* up to 6.7 */
	int range[2];
};

struct netns_ipv4___6_7 {
	struct local_ports___6_7 ip_local_ports;
};

struct net___6_7 {
	struct netns_ipv4___6_7 ipv4;
};

struct inet_timewait_death_row { /* in struct netns_ipv4 itself from 6.1 on */
	refcount_t tw_refcount; /* one more than there are sockets in TIME-WAIT */
	int sysctl_max_tw_buckets;
};

/* Fragments that wait for others. */
struct fqdir {
	long high_thresh; /* bytes, as the next one */
	atomic_long_t mem;
};

struct netns_ipv4 {
	struct fqdir *fqdir;
	struct inet_timewait_death_row tcp_death_row;
	__u8 sysctl_tcp_timestamps;
	struct local_ports ip_local_ports;
	int sysctl_max_syn_backlog;
	__u8 sysctl_tcp_syncookies;
	int sysctl_tcp_wmem[3];
	int sysctl_tcp_rmem[3];
	__u8 sysctl_tcp_moderate_rcvbuf;
};

struct netns_ipv6 { /* absent from a kernel without IPv6 */
	struct fqdir *fqdir;
};

struct ctl_table_set {
	/* Of the tables that each network namespace has: net/sysctl_net.c: is_seen(). */
	int (*is_seen)(struct ctl_table_set *set);
};

struct ctl_table_header {
	struct ctl_table_set *set;
};

/* What a struct bpf_sysctl is, seen from inside. */
struct bpf_sysctl_kern {
	struct ctl_table_header *head;
};

struct net {
	struct ctl_table_set sysctls;
	struct ns_common ns;
	struct netns_core core;
	struct netns_ipv4 ipv4;
	struct netns_ipv6 ipv6;
	__u64 net_cookie;
};

struct nsproxy {
	struct net *net_ns;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup_root {
	int hierarchy_id; /* 0: cgroup2's */
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct css_set {
	struct cgroup_subsys_state *subsys[16]; /* by enum cgroup_subsys_id */
	struct cgroup *dfl_cgrp;		/* in cgroup2 */
};

/* include/net/dropreason-core.h; include/net/dropreason.h, include/linux/skbuff.h before. The numbers are the running kernel's. */
enum skb_drop_reason {
	SKB_DROP_REASON_NOT_SPECIFIED,
	SKB_DROP_REASON_NETFILTER_DROP,
	SKB_DROP_REASON_CPU_BACKLOG,
};

enum cgroup_subsys_id {
	memory_cgrp_id = 1,
};

struct task_struct {
	struct css_set *cgroups;
	int pid;
	int tgid;
	char comm[16];
	struct nsproxy *nsproxy;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct device {
	struct device *parent; /* NULL: of no hardware */
};

struct net_device {
	unsigned int flags; /* IFF_... */
	possible_net_t nd_net;
	struct device dev;
};

struct sk_buff {
	struct net_device *dev; /* that it came in by */
	struct sock *sk;	/* that has sent it; NULL: it came from elsewhere, or was forwarded */
	unsigned char *head;
	__u16 network_header; /* from head on */
	__u16 protocol;	      /* in network byte order */
	unsigned long _nfct;  /* its entry in the table of connections, and three bits. Where the kernel has such a table */
};

struct proto {
	long *sysctl_mem; /* pages: low, pressure, high; global for TCP */
	atomic_long_t *memory_allocated; /* tcp_memory.bpf.h says in which unit; each CPU keeps a few more back */
	int *per_cpu_fw_alloc; /* since 6.0 */
};

struct page_counter {
	unsigned long max; /* pages */
	struct page_counter *parent;
};

struct mem_cgroup {
	struct page_counter memory;
};

struct in6_addr {
	union {
		__u32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	__u32 skc_daddr; /* it, and those up to skc_num: members of anonymous unions there */
	unsigned int skc_hash;
	__u32 skc_portpair; /* skc_dport and skc_num */
	__u16 skc_dport;
	__u16 skc_num; /* local port, in host order */
	unsigned short skc_family;
	volatile unsigned char skc_state;
	__u32 skc_rcv_saddr;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
	possible_net_t skc_net;
	struct proto *skc_prot;
	struct sock *skc_listener; /* of a request socket */
};

struct neigh_parms {
	int reachable_time; /* jiffies: about base_reachable_time */
};

struct neigh_table {
	int family;
	int gc_thresh1;
	int gc_thresh2;
	int gc_thresh3;
	atomic_t gc_entries; /* of all namespaces, but for permanent ones and such */
};

struct neighbour {
	struct neigh_table *tbl;
	struct neigh_parms *parms;
	__u8 nud_state;
	struct net_device *dev;
	__u8 primary_key[0]; /* the address: 4 or 16 bytes */
};

struct dst_metrics {
	__u32 metrics[17]; /* by RTAX_... less 1 */
};

struct dst_entry {
	unsigned long _metrics; /* a struct dst_metrics *, and flags in its lowest bits */
};

struct socket {
	unsigned long flags;
};

struct inode {
	unsigned long i_ino;
};

struct socket_alloc { /* what an application's socket is in */
	struct socket socket;
	struct inode vfs_inode;
};

struct sock_cgroup_data {
	struct cgroup *cgroup; /* in cgroup2 */
};

struct sock {
	struct sock_common __sk_common;
	struct sock_cgroup_data sk_cgrp_data;
	struct dst_entry *sk_dst_cache;
	struct socket *sk_socket;
	int sk_rcvbuf;
	int sk_sndbuf;
	int sk_wmem_queued;
	__u32 sk_ack_backlog; /* of a listener: connections that wait for accept(2) */
	__u32 sk_max_ack_backlog;
	unsigned long sk_max_pacing_rate; /* bytes a second; ~0UL: nobody has set it */
	unsigned char sk_userlocks;
	__u16 sk_protocol;
	struct mem_cgroup *sk_memcg; /* NULL in the root cgroup */
};

struct inet_sock {
	struct sock sk;
	__u16 inet_sport; /* local port, in network order; stays when the port is given back */
};

struct request_sock_queue {
	atomic_t qlen; /* handshakes under way */
};

struct tcp_congestion_ops {
	void (*cong_control)(void); /* NULL: the kernel sets the window after a loss, by ssthresh */
	char name[16]; /* TCP_CA_NAME_MAX */
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	struct request_sock_queue icsk_accept_queue;
	const struct tcp_congestion_ops *icsk_ca_ops;
	__u8 icsk_ca_state : 5;
	__u8 icsk_ca_setsockopt : 1; /* chosen for this socket, not the namespace's default */
	__u8 icsk_retransmits; /* timeouts in a row */
	struct {
		__u16 rcv_mss; /* the size of segments that come in */
	} icsk_ack;
};

struct minmax_sample {
	__u32 t, v;
};

struct minmax {
	struct minmax_sample s[3];
};

struct tcp_rack {
	__u32 rtt_us; /* of the segment sent latest of those that have arrived */
};

struct tcp_options_received {
	__u16 wscale_ok : 1;
	__u16 rcv_wscale : 4;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	struct minmax rtt_min; /* us */
	struct tcp_options_received rx_opt;
	__u32 snd_una;
	__u32 snd_nxt;
	__u32 write_seq;
	__u32 mss_cache;
	__u32 lsndtime; /* jiffies: the last data were sent */
	__u8 is_cwnd_limited : 1;
	__u64 bytes_acked;
	__u64 bytes_received;
	__u64 tcp_mstamp; /* us: when the latest packet came or went */
	__u32 srtt_us; /* eight times the smoothed round trip */
	struct tcp_rack rack;
	__u32 snd_cwnd_clamp;
	__u32 delivered;    /* segments that have arrived, as far as acknowledged or selectively acknowledged */
	__u8 scaling_ratio; /* of sk_rcvbuf, in 256ths, what is offered as a window. From 6.6 */
	__u32 lost;	   /* segments that were taken for lost */
	__u32 dsack_dups;  /* of those retransmitted, how many had arrived */
	__u32 rcv_ooopack; /* segments that came out of order */
	__u16 advmss;
	__u32 rcv_nxt;
	__u32 copied_seq;
	__u32 rcv_wnd;
	__u32 rcv_wup; /* rcv_nxt when the window was last told */
	__u32 rate_delivered;   /* segments, in the latest sample */
	__u32 rate_interval_us;
	__u8 chrono_type;
	__u32 chrono_start;   /* jiffies */
	__u32 chrono_stat[3]; /* jiffies */
	__u32 data_segs_out;  /* retransmissions included */
	__u32 total_retrans;
	__u32 app_limited;   /* 0: the application has kept the pipe full */
	struct {
		__u32 rtt_us; /* eight times */
		__u32 seq;
		__u64 time;
	} rcv_rtt_est;
	struct {
		__u32 space;
		__u32 seq;
		__u64 time; /* microseconds, CLOCK_MONOTONIC */
	} rcvq_space;
};

/* What a struct bpf_sock_addr is, seen from inside. */
struct bpf_sock_addr_kern {
	struct sock *sk;
};

/* What a struct bpf_sockopt is, seen from inside. */
struct bpf_sockopt_kern {
	struct sock *sk;
};

/* What a struct bpf_sock_ops is, seen from inside. */
struct bpf_sock_ops_kern {
	struct sock *sk; /* before a connection is set up, a request socket */
};

#pragma clang attribute pop

#endif
