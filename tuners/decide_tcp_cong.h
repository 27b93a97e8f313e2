/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of tcp_cong: what is remembered of a remote host, and which algorithm suits it. */
#ifndef BPFTUNE_TUNERS_DECIDE_TCP_CONG_H
#define BPFTUNE_TUNERS_DECIDE_TCP_CONG_H

#include <stdbool.h>
#include <stdint.h>

#include "tuners/tcp_cong.h"

/* What an algorithm gave with one remote host. All of it fades. */
struct cong_outcome {
	double reports; /* how much it was tried: one for each full report */
	double bytes;
	double busy_us;
	double srtt_us; /* times busy_us */
};

struct cong_remote {
	double segs, retrans; /* of all connections */
	uint64_t min_rtt_s;   /* when `min_rtt_us` was seen */
	uint64_t time_s;      /* when anything was */
	struct cong_outcome outcomes[TCP_CONG_N];
	uint32_t min_rtt_us;
	uint32_t worse; /* bit n: algorithm n was measurably worse than the choice when that was last decided */
	bool lossy;	/* by the rule of loss, as last decided */
	uint8_t choice; /* as last decided: 1 + algorithm; 0: the default */
	uint8_t zero[6];
};

_Static_assert(sizeof(struct cong_remote) == (4 + 4 * TCP_CONG_N) * 8 + 16, "no padding: it is kept as bytes");

/* What there is to choose from. */
struct cong_offer {
	uint32_t usable;  /* bit n: algorithm n is there and allowed */
	uint8_t standard; /* the namespace's default, an algorithm */
};

struct cong_decision {
	uint8_t choice; /* 1 + algorithm; 0: the default */
	bool switches;	/* established connections that lose too much follow */
	uint8_t one_in; /* so many new connections one tries one of `trials`; 0: none of its own */
	uint32_t trials;
	double mbit; /* what the choice gave; 0: not known */
};

/* The algorithm of a name that is cut at TCP_CONG_NAME_BYTES; TCP_CONG_N: none that may be chosen. */
unsigned int cong_algorithm(const char *name);
const char *cong_name(unsigned int algorithm);

/* The bits of those named in a list as the kernel writes it: "reno cubic". */
uint32_t cong_set(const char *list);

/* Adds what a connection has seen. `algorithm` may be TCP_CONG_N: its loss still counts. Seconds of any clock. */
void cong_learn(struct cong_remote *remote, const struct tcp_cong_seen *seen, unsigned int algorithm, uint64_t now_s);

/*
 * The decision for a remote, remembered in it. The default, unless loss asks for BBR or another algorithm gave
 * measurably more; where some loss is seen, BBR is tried once before anything is known of it. What was found to be
 * measurably worse is tried again only when nothing else is left, and rarely, until that has faded.
 */
struct cong_decision cong_decide(struct cong_remote *remote, const struct cong_offer *offer);

/* For remotes without a decision of their own: one connection in twenty tries another than the default. */
struct cong_decision cong_explore(const struct cong_offer *offer);

/* Loss in percent, rate in Mbit/s and round trip in ms; 0 when nothing is known. */
double cong_loss_percent(const struct cong_remote *remote);
double cong_rate_mbit(const struct cong_outcome *outcome);
double cong_srtt_ms(const struct cong_outcome *outcome);

/* It was tried enough to be compared. */
bool cong_tried(const struct cong_outcome *outcome);

/* `outcome` is measurably better than `other`: the less they were tried, the more it takes. */
bool cong_beats(const struct cong_outcome *outcome, const struct cong_outcome *other, bool incumbent);

/*
 * As the BPF programs read it; all zero when there is nothing to decide. The `last` one stays what it was as long as it
 * serves: one that differs from it is logged if its text does, too.
 */
struct tcp_cong_verdict cong_verdict(const struct cong_decision *decision, const struct tcp_cong_verdict *last,
				     uint64_t now_ns);

#endif
