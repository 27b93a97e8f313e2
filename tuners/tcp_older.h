/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Senders that are older than the BPF programs: their callbacks cannot be turned on, so the worker asks the kernel
 * about them (tcp_diag.h). A walk finds those whose send buffer has grown to tcp_wmem[2]; one that it limits is
 * followed.
 */
#ifndef BPFTUNE_TUNERS_TCP_OLDER_H
#define BPFTUNE_TUNERS_TCP_OLDER_H

#include <linux/inet_diag.h>
#include <stdbool.h>
#include <stdint.h>

#include "tuners/decide_tcp_older.h"
#include "tuners/tuner.h"

#define TCP_OLDER_MAX 8

/* Begins as zeroes. */
struct tcp_older {
	struct {
		struct inet_diag_sockid id;
		uint8_t family;
		struct tcp_older_look look; /* the last one */
	} senders[TCP_OLDER_MAX];	    /* that fill the limit; the first is followed */
	unsigned int n;
	bool is_following;
	unsigned int glances; /* to come, until it is clear that none of them is limited */
	unsigned int in_vain; /* walks since the limit was last changed */
	uint64_t walk_ns;     /* how long the last one took */
	uint64_t since_ns;    /* the followed one, at this limit */
	uint64_t heard_ns;    /* when a BPF program last told of a sender */
	uint32_t limit_bytes;
	uint32_t turn, looks, limited; /* struct tcp_buffer_seen */
};

/* To be called once. The tuner is woken (bpftune_wake()) when there is something to do, never if there are no
 * connections. */
void tcp_older_begin(struct bpftune *b, struct tcp_older *older);

/* A BPF program tells of a sender in this namespace: that one decides for now. */
void tcp_older_heard(struct tcp_older *older, uint64_t time_ns);

/*
 * The tuner is woken, and tcp_wmem[2] is this. True: a look at a sender is in *ret_event, as if a BPF program told of
 * it; but what memory a container may use is of when the worker began, or not known: TCP_BUFFER_MEMORY_UNKNOWN.
 */
bool tcp_older_wake(struct bpftune *b, struct tcp_older *older, uint32_t limit_bytes, struct bpftune_event *ret_event);

#endif
