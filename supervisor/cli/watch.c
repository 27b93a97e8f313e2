// SPDX-License-Identifier: GPL-2.0-or-later
/* `bpftune watch`: what the supervisor tells goes into a view, keys change the view, and the view goes to the terminal.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "ipc/exit.h"
#include "supervisor/cli/ask.h"
#include "supervisor/cli/watch_feed.h"
#include "supervisor/cli/watch_screen.h"
#include "supervisor/cli/watch_view.h"

#define ROUND_MS 2000	 /* between the end of a round of questions and the next */
#define RATE_MS 1100	 /* a rate is the difference to an answer at least a second ago */
#define DRAW_MS 200	 /* after something new, unless it was a key */
#define NICE 10		 /* events do not wait for a table to be sorted: nice(2) */
#define LISTING_SHARE 400 /* of the time, a listing is under way at most so many-th part: so that 99 % of events meet none */

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH };

struct watch {
	const struct question *question;
	uv_loop_t loop;
	struct watch_feed feed;
	struct watch_view view;
	struct watch_lines lines;
	bool on_screen; /* else the page is printed once, when the rates are known */
	uv_timer_t round, draw;
	uv_poll_t keys;
	uv_signal_t signals[ARRAY_SIZE(signals)];
	unsigned int rounds;			 /* that were answered */
	double listing_began_s, listing_ended_s; /* of the last listing */
	int status;				 /* exit status */
};

static double clock_s(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void end(struct watch *watch, int status)
{
	watch->status = status;
	uv_stop(&watch->loop);
}

/* --- the page ----------------------------------------------------------------------------------- */

static void draw(struct watch *watch)
{
	int height = 0;

	watch->lines.width = INT_MAX;
	if (watch->on_screen)
		screen_size(&watch->lines.width, &height);
	watch_view_lines(&watch->view, &watch->lines, height, clock_s(CLOCK_REALTIME));
	if (watch->on_screen)
		screen_show(&watch->lines);
}

static void on_draw(uv_timer_t *timer)
{
	draw(timer->data);
}

static void draw_soon(struct watch *watch)
{
	if (watch->on_screen && !uv_is_active((uv_handle_t *)&watch->draw))
		uv_timer_start(&watch->draw, on_draw, DRAW_MS, 0);
}

static void print_page(struct watch *watch)
{
	draw(watch);
	for (size_t i = 0; i < watch->lines.n; i++)
		puts(watch->lines.items[i].text);
	end(watch, EXIT_DONE);
}

/* --- what the supervisor is asked --------------------------------------------------------------- */

/* A table of thousands takes the supervisor a while: then it is asked less often. The log tells of changes meanwhile.
 */
static bool is_listing_due(const struct watch *watch)
{
	double took_s = watch->listing_ended_s - watch->listing_began_s;

	return !watch->view.is_only &&
	       (!watch->rounds || clock_s(CLOCK_MONOTONIC) >= watch->listing_ended_s + LISTING_SHARE * took_s);
}

static void ask_round(struct watch *watch)
{
	_cleanup_free_ uint64_t *ids = calloc(watch->view.rows.n_shown + 1, sizeof(*ids));
	bool list = is_listing_due(watch);
	size_t n = ids ? watch_view_asked(&watch->view, ids) : 0;

	if (list) {
		watch->listing_began_s = clock_s(CLOCK_MONOTONIC);
		watch_rows_begin(&watch->view.rows);
	}
	watch_feed_ask(&watch->feed, list, ids, n);
	if (!list && !n)
		uv_timer_start(&watch->round, watch->round.timer_cb, ROUND_MS, 0);
}

static void on_round(uv_timer_t *timer)
{
	struct watch *watch = timer->data;

	if (!watch_feed_is_busy(&watch->feed))
		ask_round(watch);
}

/* --- what it tells ------------------------------------------------------------------------------ */

static void on_status(void *arg, json_t *status)
{
	struct watch *watch = arg;

	watch_view_status(&watch->view, status, clock_s(CLOCK_REALTIME));
}

static void on_instance(void *arg, json_t *instance)
{
	struct watch *watch = arg;

	watch_view_instance(&watch->view, instance, clock_s(CLOCK_REALTIME));
}

static void on_listed(void *arg)
{
	struct watch *watch = arg;

	watch->listing_ended_s = clock_s(CLOCK_MONOTONIC);
	watch_rows_end(&watch->view.rows);
}

static void on_instance_ended(void *arg, uint64_t id)
{
	struct watch *watch = arg;

	watch_rows_forget(&watch->view.rows, id);
	draw(watch);
}

/* The first round lists, the next reads limits, and from then on there are rates. */
static void on_answered(void *arg)
{
	struct watch *watch = arg;
	bool is_opened_unknown = watch->view.opened.id && !watch->view.opened.instance;
	unsigned int enough = watch->view.is_only ? 2 : 3;

	watch->rounds++;
	if (!watch->on_screen && watch->rounds >= enough) {
		if (!watch->view.is_only || watch->view.opened.records)
			print_page(watch);
		return;
	}
	draw(watch);
	uv_timer_start(&watch->round, on_round,
		       watch->rounds + 1 < enough || is_opened_unknown ? 0
		       : watch->rounds < enough			       ? RATE_MS
								       : ROUND_MS,
		       0);
}

static void on_records(void *arg, json_t *records, json_int_t missed, bool first)
{
	struct watch *watch = arg;
	json_t *record;
	size_t i;

	(void)missed; /* the next listing has what they said of values */
	/* Of `watch CONTAINER` there is no listing, which would tell that another has ended. */
	json_array_foreach (records, i, record)
		watch_rows_record(&watch->view.rows, record, !first && !watch->view.is_only);
	draw_soon(watch);
}

static void on_followed(void *arg, json_t *records, json_int_t missed)
{
	struct watch *watch = arg;

	watch_view_records(&watch->view, records, missed);
	if (!watch->on_screen && !watch_feed_is_busy(&watch->feed) && watch->rounds > 1)
		print_page(watch);
	draw_soon(watch);
}

static void on_ended(void *arg)
{
	struct watch *watch = arg;

	watch->view.opened.has_ended = true;
	draw_soon(watch);
}

static void on_gone(void *arg, int error)
{
	struct watch *watch = arg;

	if (watch->on_screen)
		screen_close();
	watch->on_screen = false;
	fprintf(stderr, "bpftune: the supervisor of %s %s%s\n", watch->question->run_dir,
		error ? "cannot be asked any more: " : "has ended", error ? strerror(error) : "");
	end(watch, error ? EXIT_FAILED : EXIT_NOT_RUNNING);
}

static const struct watch_listener listener = {
	.status = on_status,
	.instance = on_instance,
	.listed = on_listed,
	.instance_ended = on_instance_ended,
	.answered = on_answered,
	.records = on_records,
	.followed = on_followed,
	.ended = on_ended,
	.gone = on_gone,
};

/* --- the user ----------------------------------------------------------------------------------- */

static void take_key(struct watch *watch, uint32_t key)
{
	uint64_t opened = watch->view.opened.id;

	if (!watch_view_key(&watch->view, key)) {
		end(watch, EXIT_DONE);
		return;
	}
	if (opened == watch->view.opened.id)
		return;
	watch_feed_follow(&watch->feed, watch->view.opened.id);
	if (!watch_feed_is_busy(&watch->feed))
		ask_round(watch);
}

static void on_keys(uv_poll_t *poll, int status, int events)
{
	struct watch *watch = poll->data;
	int waiting = 0;
	uv_os_fd_t fd;
	uint32_t key;

	(void)events;
	if (status < 0 || uv_fileno((const uv_handle_t *)poll, &fd) < 0 || ioctl(fd, FIONREAD, &waiting) < 0 ||
	    !waiting) {
		end(watch, EXIT_DONE); /* the terminal is gone */
		return;
	}
	while (screen_key(&key))
		take_key(watch, key);
	draw(watch);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct watch *watch = handle->data;

	if (number != SIGWINCH)
		end(watch, EXIT_DONE);
	else if (watch->on_screen)
		draw(watch);
}

/* An open file of its own: libuv makes it non-blocking, which the terminal of the shell must not be. -errno. */
static int open_terminal(void)
{
	int fd = -ENOTTY;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return fd;
	fd = open("/proc/self/fd/0", O_RDONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) /* it is another user's, as after su(1) */
		fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* --- start and end ------------------------------------------------------------------------------ */

static void take_only(const struct question *question, json_t *reply, void *arg)
{
	json_t *instance = json_object_get(reply, "instance");
	struct watch *watch = arg;

	(void)question;
	if (!json_is_object(instance))
		return; /* it has just ended */
	watch_view_open(&watch->view, number_of(instance, "id"));
	on_instance(watch, instance);
}

/* Of `watch CONTAINER`: an exit status, which is said. */
static int open_only(struct watch *watch)
{
	int status = ask(watch->question, call_of(watch->question, "io.bpftune.ListInstances"), take_only, watch);

	if (!status && !watch->view.opened.id) {
		fprintf(stderr, "bpftune: %s has just ended\n", watch->question->container);
		status = EXIT_FAILED;
	}
	watch->view.is_only = true;
	return status;
}

static void start(struct watch *watch, int terminal)
{
	uv_timer_init(&watch->loop, &watch->round);
	uv_timer_init(&watch->loop, &watch->draw);
	watch->round.data = watch->draw.data = watch;
	/* Before ncurses looks which are handled. */
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		uv_signal_init(&watch->loop, &watch->signals[i]);
		watch->signals[i].data = watch;
		uv_signal_start(&watch->signals[i], on_signal, signals[i]);
	}
	watch->on_screen = terminal >= 0 && screen_open(terminal) == 0;
	if (watch->on_screen && uv_poll_init(&watch->loop, &watch->keys, terminal) == 0) {
		watch->keys.data = watch;
		uv_poll_start(&watch->keys, UV_READABLE, on_keys);
	}
	if (watch->view.is_only)
		watch_feed_follow(&watch->feed, watch->view.opened.id);
	ask_round(watch);
	if (watch->on_screen)
		draw(watch);
}

static void close_handle(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static int run(struct watch *watch)
{
	_cleanup_close_ int terminal = open_terminal();
	int status = watch_feed_start(&watch->feed);

	if (!status) {
		start(watch, terminal);
		uv_run(&watch->loop, UV_RUN_DEFAULT);
		if (watch->on_screen)
			screen_close();
		status = watch->status;
	}
	watch_feed_close(&watch->feed);
	uv_walk(&watch->loop, close_handle, NULL);
	uv_run(&watch->loop, UV_RUN_DEFAULT);
	return status;
}

int client_watch(const struct question *question)
{
	struct watch watch = { .question = question };
	int status;

	if (uv_loop_init(&watch.loop) < 0) {
		fprintf(stderr, "bpftune: cannot wait for the supervisor: not enough memory or descriptors\n");
		return EXIT_FAILED;
	}
	nice(NICE);
	watch.feed =
		(struct watch_feed){ .loop = &watch.loop, .question = question, .listener = &listener, .arg = &watch };
	status = question->container ? open_only(&watch) : EXIT_DONE;
	if (!status)
		status = run(&watch);
	uv_loop_close(&watch.loop);
	watch_view_clear(&watch.view);
	watch_lines_cut(&watch.lines, 0);
	return status;
}
