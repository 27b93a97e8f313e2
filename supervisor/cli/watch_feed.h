/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `bpftune watch` asks the supervisor, and is told by it, on connections that wait for nothing. */
#ifndef BPFTUNE_SUPERVISOR_CLI_WATCH_FEED_H
#define BPFTUNE_SUPERVISOR_CLI_WATCH_FEED_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "ipc/varlink.h"
#include "supervisor/cli/cli.h"

struct watch_listener {
	void (*status)(void *arg, json_t *status);     /* GetStatus's reply */
	void (*instance)(void *arg, json_t *instance); /* of the listing, or one that was asked about */
	void (*listed)(void *arg);		       /* the listing is complete */
	void (*instance_ended)(void *arg, uint64_t id); /* one that was asked about */
	void (*answered)(void *arg);		       /* watch_feed_ask() may be called again */
	/* Of all logs, or of the one that is followed besides; `first`: those of the past. */
	void (*records)(void *arg, json_t *records, json_int_t missed, bool first);
	void (*followed)(void *arg, json_t *records, json_int_t missed);
	void (*ended)(void *arg); /* the one that is followed */
	/* The supervisor has ended, or cannot be talked to: an error number, 0 at its end. Nothing more comes. */
	void (*gone)(void *arg, int error);
};

struct watch_feed;

/* A connection. */
struct watch_channel {
	uv_pipe_t pipe;
	struct watch_feed *feed;
	struct varlink_reader reader;
	void (*got)(struct watch_feed *feed, json_t *message);
	bool is_open, is_closing;
	size_t replies; /* that came so far */
};

struct watch_feed {
	uv_loop_t *loop;
	const struct question *question;
	const struct watch_listener *listener;
	void *arg; /* of the listener */
	struct watch_channel calls, log, followed;
	size_t waits;	   /* for so many last replies, in the order of the calls */
	size_t listing;	   /* the listing is that many-th last reply from now; 0: none is under way */
	bool has_status;   /* the first of the replies is GetStatus's */
	bool is_gone;	   /* the supervisor, and the listener knows */
	uint64_t follow_next; /* once the connection that followed another is closed; 0: none */
};

/* Connects, and follows all logs: an exit status, which is said. */
int watch_feed_start(struct watch_feed *feed);

/* Asks for GetStatus and a listing if `list`, and about these instances. What there is to tell comes in this order. */
void watch_feed_ask(struct watch_feed *feed, bool list, const uint64_t *ids, size_t n);
bool watch_feed_is_busy(const struct watch_feed *feed);

/* Follows that instance's log, and no other's. 0: none's. */
void watch_feed_follow(struct watch_feed *feed, uint64_t id);

/* The loop is run to free what is left. */
void watch_feed_close(struct watch_feed *feed);

#endif
