/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections to a remote, as tcp_cong sees them. */
#ifndef BPFTUNE_TESTS_UNIT_FAKE_CONG_H
#define BPFTUNE_TESTS_UNIT_FAKE_CONG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/decide_tcp_cong.h"

#define NSEC_PER_SEC 1000000000ULL

static const struct tcp_cong_verdict fresh = { 0 };
static const struct cong_offer offer = { .has_bbr = true, .standard = TCP_CONG_CUBIC };

/* A second of a connection with a round trip of 20 ms, and of its 1,000 segments so many lost, all without a queue. */
static inline struct tcp_cong_seen seen(unsigned int algorithm, double mbit, unsigned int lost)
{
	struct tcp_cong_seen one = {
		.acked_bytes = mbit * 1e6 / 8,
		.busy_us = 1000000,
		.segs = 1000,
		.retrans = lost,
		.clear_segs = 1000,
		.clear_retrans = lost,
		.min_rtt_us = 20000,
		.srtt_us = 20000,
	};

	snprintf(one.algorithm, sizeof(one.algorithm), "%s", cong_name(algorithm));
	return one;
}

static inline void learn(struct cong_remote *remote, unsigned int algorithm, double mbit, unsigned int lost,
		  unsigned int times)
{
	struct tcp_cong_seen one = seen(algorithm, mbit, lost);

	while (times--)
		cong_learn(remote, &offer, &one, remote->time_s);
}

static inline void assert_near(double value, double want)
{
	assert_float_equal(value, want, 1e-6 * (want > 1 ? want : 1));
}

/* The state after a decision. */
static inline enum cong_state decide(struct cong_remote *remote, uint64_t now_s)
{
	cong_decide(remote, &offer, now_s);
	return remote->state;
}

#endif
