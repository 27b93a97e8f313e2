// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_listen.h"

#define FLOOD_MIN 32  /* fewer SYNs than this are nobody's flood */
#define FLOOD_RATIO 4 /* SYNs in vain for each handshake */

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

struct listen_counts listen_grown(const struct listen_counts *before, const struct listen_counts *now)
{
	return (struct listen_counts){
		.handshakes = less(now->handshakes, before->handshakes),
		.overflows = less(now->overflows, before->overflows),
		.drops = less(now->drops, before->drops),
		.cookies_sent = less(now->cookies_sent, before->cookies_sent),
		.cookies_recv = less(now->cookies_recv, before->cookies_recv),
	};
}

uint64_t listen_refused(const struct listen_counts *lately)
{
	return less(lately->drops, lately->overflows);
}

uint64_t listen_turned_away(const struct listen_counts *lately)
{
	return lately->overflows + listen_refused(lately) + lately->cookies_sent;
}

uint32_t listen_needed(const struct listen_queue *queue, const struct listen_counts *grown)
{
	uint64_t came = queue->accept_len + grown->overflows;
	uint32_t needed = 1;

	while (needed < came && needed <= LISTEN_MAX)
		needed *= 2;
	return needed < LISTEN_MAX ? needed : LISTEN_MAX;
}

/* SYNs that nobody meant: in so many seconds they were answered or dropped, and hardly a handshake was completed. */
static bool is_flood(const struct listen_counts *lately, const struct listen_queue *queue, unsigned int seconds)
{
	uint64_t unanswered = less(lately->cookies_sent, lately->cookies_recv);
	uint64_t refused = listen_refused(lately);

	if (unanswered >= FLOOD_MIN && unanswered / FLOOD_RATIO > lately->handshakes)
		return true;
	/* Of those that were let in, most would complete at once; how many are refused says nothing by itself. */
	return refused >= FLOOD_MIN && seconds * (uint64_t)queue->syn_len / FLOOD_RATIO > lately->handshakes;
}

/* At least a quarter of what the queue holds, or of what it lost, are handshakes that completed. */
static bool is_in_demand(uint64_t lost, uint64_t handshakes, uint32_t queue_len)
{
	return lost && handshakes && handshakes >= (lost < queue_len ? lost : queue_len) / 4;
}

enum listen_decision listen_decide(const struct listen_counts *grown, const struct listen_counts *lately,
				   const struct listen_queue *queue, bool suspected)
{
	bool cut = queue->max_len >= queue->somaxconn; /* by listen(2), or wanted to be just that */
	bool syn_queue_full = queue->syn_len && queue->syn_len >= queue->max_len - queue->max_len / 4;
	uint64_t refused = listen_refused(lately);

	if (is_flood(lately, queue, suspected ? 2 : 1))
		return suspected ? LISTEN_RESIST : LISTEN_SUSPECT;
	if (cut && queue->accept_len > queue->max_len && /* net/sock.h: sk_acceptq_is_full() */
	    is_in_demand(grown->overflows, grown->handshakes, queue->max_len))
		return LISTEN_RAISE_SOMAXCONN;
	/* Where the SYN queue is full, cookies stand in, which lose the client's TCP options: no lasting remedy. */
	if (cut && syn_queue_full &&
	    is_in_demand(queue->syncookies ? lately->cookies_recv : refused, lately->handshakes, queue->max_len))
		return LISTEN_RAISE_SOMAXCONN;
	if (!queue->syncookies && queue->max_syn_backlog <= queue->max_len &&
	    is_in_demand(refused, lately->handshakes, queue->max_syn_backlog))
		return LISTEN_RAISE_SYN_BACKLOG;
	return LISTEN_HOLD;
}
