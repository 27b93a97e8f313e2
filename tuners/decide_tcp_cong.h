/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The arithmetic of tcp_cong: what is remembered of a remote host, and whether bbr suits it better than the default.
 * Connections lose segments though nothing queues: bbr is tried. It gives more, and the path loses no more: it is
 * chosen.
 */
#ifndef BPFTUNE_TUNERS_DECIDE_TCP_CONG_H
#define BPFTUNE_TUNERS_DECIDE_TCP_CONG_H

#include <stdbool.h>
#include <stdint.h>

#include "tuners/tcp_cong.h"

/* What an algorithm gave with one remote host. All of it fades. */
struct cong_outcome {
	double segs, retrans, clear_segs, clear_retrans; /* as in struct tcp_cong_seen */
	double reports;					 /* by which the rate is known: one for each full report */
	double bytes;
	double busy_us;
	double srtt_us; /* times busy_us */
};

enum cong_state {
	CONG_DEFAULT, /* the namespace's default for all; till `held_until_s`, whatever is lost */
	CONG_TRIAL,   /* and now and then a connection has bbr */
	CONG_BBR,     /* bbr, and now and then a connection has the default */
};

struct cong_remote {
	struct cong_outcome standard, bbr;
	uint64_t min_rtt_s; /* when `min_rtt_us` was seen */
	uint64_t time_s;    /* when anything was */
	uint64_t trial_until_s;
	uint64_t held_until_s;
	uint32_t min_rtt_us;
	uint32_t hold_s;   /* the latest hold; 0: none */
	uint8_t algorithm; /* the default that `standard` is about: enum tcp_cong_algorithm */
	uint8_t state;	   /* enum cong_state */
	uint8_t zero[6];
};

_Static_assert(sizeof(struct cong_remote) == (2 * 8 + 4) * 8 + 16, "no padding: it is kept as bytes");

/* What there is to choose from. */
struct cong_offer {
	bool has_bbr;	  /* it is there and allowed */
	uint8_t standard; /* the namespace's default: reno or cubic */
};

/* The algorithm of a name that is cut at TCP_CONG_NAME_BYTES; TCP_CONG_N: none of ours. */
unsigned int cong_algorithm(const char *name);
const char *cong_name(unsigned int algorithm);

/* A list as the kernel writes it, "reno cubic", names it. */
bool cong_is_in(const char *list, const char *name);

/* Adds what a connection has seen. Seconds of any clock. */
void cong_learn(struct cong_remote *remote, const struct cong_offer *offer, const struct tcp_cong_seen *seen,
		uint64_t now_s);

/* Decides about the remote. The decision is its `state`. */
void cong_decide(struct cong_remote *remote, const struct cong_offer *offer, uint64_t now_s);

/* Enough was seen of it to say that it needs no bbr. */
bool cong_needs_nothing(const struct cong_remote *remote);

/* It loses segments though nothing queues. */
bool cong_is_lossy(const struct cong_remote *remote);

/* Loss in percent, rate in Mbit/s and round trip in ms; 0 when nothing is known. */
double cong_loss_percent(const struct cong_outcome *outcome);
double cong_clear_percent(const struct cong_outcome *outcome); /* while nothing queued; at most what is lost in all */
double cong_rate_mbit(const struct cong_outcome *outcome);
double cong_srtt_ms(const struct cong_outcome *outcome);

/* Its rate is known well enough to be compared. */
bool cong_is_known(const struct cong_outcome *outcome);

/*
 * The decision as the BPF programs read it; all zero for the default. The `last` one stays what it was as long as it
 * serves: one that differs from it is logged if its text does, too.
 */
struct tcp_cong_verdict cong_verdict(const struct cong_remote *remote, const struct tcp_cong_verdict *last,
				     uint64_t now_ns);

#endif
