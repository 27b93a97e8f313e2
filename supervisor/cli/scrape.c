// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/scrape.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <uthash.h>

#include "ipc/cleanup.h"
#include "ipc/unshared.h"
#include "ipc/varlink.h"
#include "supervisor/cli/ask.h"

/* Of an instance that has metrics of its own and a worker that is ready, in the order in which they are listed. */
struct scrape_limits {
	json_int_t instance;
	char *name;
	char *samples;	    /* NULL: not read yet */
	unsigned int round; /* when it was listed last */
	UT_hash_handle hh;
};

/* --- calls -------------------------------------------------------------------------------------- */

struct session {
	int fd;
	int64_t deadline_ms;
	struct varlink_reader reader;
};

/* Of one call. */
struct answer {
	void (*take)(void *arg, json_t *parameters);
	void *arg;
	bool is_complete;
};

int64_t scrape_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* An error is an answer without a word: the container that was asked about may have ended. */
static void on_reply(void *arg, json_t *message)
{
	struct answer *answer = arg;

	answer->is_complete = !json_is_true(json_object_get(message, "continues"));
	if (!json_object_get(message, "error"))
		answer->take(answer->arg, json_object_get(message, "parameters"));
}

static int wait_until_readable(const struct session *session)
{
	struct pollfd pollfd = { .fd = session->fd, .events = POLLIN };
	int64_t left_ms = session->deadline_ms - scrape_now_ms();
	int n = left_ms > 0 ? poll(&pollfd, 1, (int)left_ms) : 0;

	return n > 0 ? 0 : n < 0 ? -errno : -ETIMEDOUT;
}

static int call(struct session *session, json_t *message, void (*take)(void *arg, json_t *parameters), void *arg)
{
	struct answer answer = { .take = take, .arg = arg };
	char bytes[65536];
	size_t size = 0;
	_cleanup_json_text_ char *text = varlink_encode(message, &size);
	int err;

	if (!text)
		return -ENOMEM;
	/* It is short, and the supervisor has answered all that came before: there is room for it. */
	if (send(session->fd, text, size, MSG_NOSIGNAL) != (ssize_t)size)
		return -EIO;
	while (!answer.is_complete) {
		ssize_t n;

		err = wait_until_readable(session);
		if (err == -EINTR)
			continue;
		if (err)
			return err;
		n = recv(session->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		err = varlink_feed(&session->reader, bytes, n, on_reply, &answer);
		if (err)
			return err;
	}
	return 0;
}

/* --- instances ---------------------------------------------------------------------------------- */

struct listing {
	struct scrape *scrape;
	struct metrics *metrics;
};

static void drop(struct scrape *scrape, struct scrape_limits *limits)
{
	HASH_DEL(scrape->limits, limits);
	free(limits->name);
	free(limits->samples);
	free(limits);
}

void scrape_forget(struct scrape *scrape)
{
	struct scrape_limits *limits, *next;

	HASH_ITER (hh, scrape->limits, limits, next)
		drop(scrape, limits);
}

/* Without memory its limits are not told. */
static void keep(struct scrape *scrape, json_t *instance)
{
	json_int_t id = number_of(instance, "id");
	struct scrape_limits *limits;

	HASH_FIND(hh, scrape->limits, &id, sizeof(id), limits);
	if (limits && strcmp(limits->name, text_of(instance, "name")) != 0) {
		drop(scrape, limits);
		limits = NULL;
	}
	if (!limits) {
		limits = calloc(1, sizeof(*limits));
		if (!limits)
			return;
		limits->instance = id;
		limits->name = strdup(text_of(instance, "name"));
		if (!limits->name) {
			free(limits);
			return;
		}
		HASH_ADD(hh, scrape->limits, instance, sizeof(limits->instance), limits);
	}
	limits->round = scrape->round;
}

static void take_status(void *arg, json_t *status)
{
	metrics_add_status(arg, status);
}

/* What shares the host's namespace has the host's counters. */
static void take_instance(void *arg, json_t *reply)
{
	struct listing *listing = arg;
	json_t *instance = json_object_get(reply, "instance");

	if (json_is_object(instance) && metrics_add_instance(listing->metrics, instance) &&
	    !json_is_true(json_object_get(json_object_get(instance, "netns"), "shared")) &&
	    !strcmp(text_of(json_object_get(instance, "worker"), "state"), "ready"))
		keep(listing->scrape, instance);
}

/* --- limits ------------------------------------------------------------------------------------- */

/* Not of an instance that was renamed since it was listed: in one answer it has one name. */
static void take_limits(void *arg, json_t *reply)
{
	struct scrape_limits *limits = arg;
	json_t *instance = json_object_get(reply, "instance");

	if (strcmp(text_of(instance, "name"), limits->name) != 0 || !json_is_array(json_object_get(instance, "limits_met")))
		return;
	free(limits->samples);
	limits->samples = metrics_of_limits(instance);
}

static void read_limits(struct scrape *scrape, struct session *session)
{
	struct scrape_limits *limits = scrape->limits;
	int64_t end_ms = scrape_now_ms() + scrape->limits_ms;

	while (limits && limits->instance <= scrape->limits_last)
		limits = limits->hh.next;
	for (unsigned int left = HASH_COUNT(scrape->limits); left && scrape_now_ms() < end_ms; left--) {
		limits = limits ? limits : scrape->limits;
		scrape->limits_last = limits->instance;
		if (call(session,
			 json_pack("{s:s s:{s:o s:b}}", "method", "io.bpftune.ListInstances", "parameters", "container",
				   container_json(limits->instance), "brief", true),
			 take_limits, limits) < 0)
			return;
		limits = limits->hh.next;
	}
}

static void tell_limits(struct scrape *scrape, struct metrics *metrics)
{
	struct scrape_limits *limits;

	for (limits = scrape->limits; limits; limits = limits->hh.next)
		if (limits->samples)
			metrics_put_text(metrics, METRIC_LIMITS_MET, limits->samples);
}

static void drop_ended(struct scrape *scrape)
{
	struct scrape_limits *limits, *next;

	HASH_ITER (hh, scrape->limits, limits, next)
		if (limits->round != scrape->round)
			drop(scrape, limits);
}

/* --- all of it ---------------------------------------------------------------------------------- */

static int gather(struct scrape *scrape, struct session *session, struct metrics *metrics)
{
	struct listing listing = { .scrape = scrape, .metrics = metrics };
	json_t *list = json_pack("{s:s s:b s:{s:b}}", "method", "io.bpftune.ListInstances", "more", true, "parameters",
				 "brief", true);
	int err = call(session, json_pack("{s:s}", "method", "io.bpftune.GetStatus"), take_status, metrics);

	scrape->round++;
	if (!err)
		err = call(session, json_incref(list), take_instance, &listing);
	json_decref(list);
	if (err)
		return err;
	metrics_add_totals(metrics);
	drop_ended(scrape);
	read_limits(scrape, session);
	tell_limits(scrape, metrics);
	return 0;
}

static struct metrics *metrics_of_none(void)
{
	struct metrics *metrics = metrics_new();

	if (metrics)
		metrics_put(metrics, METRIC_UP, 0, NULL);
	return metrics;
}

struct metrics *scrape_metrics(struct scrape *scrape, int *ret_error)
{
	struct session session = {
		.fd = ask_connect(scrape->run_dir),
		.deadline_ms = scrape_now_ms() + scrape->timeout_ms,
		.reader.max = VARLINK_MESSAGE_MAX,
	};
	_cleanup_close_ int fd = session.fd;
	struct metrics *metrics = metrics_new();

	if (!metrics)
		return NULL;
	*ret_error = fd < 0 ? fd : gather(scrape, &session, metrics);
	varlink_reader_clear(&session.reader);
	if (*ret_error) {
		metrics_free(metrics);
		metrics = metrics_of_none();
	}
	if (metrics && !metrics_complete(metrics)) {
		metrics_free(metrics);
		metrics = NULL;
	}
	return metrics;
}
