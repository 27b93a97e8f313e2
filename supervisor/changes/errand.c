// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/errand.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "worker/worker.h"

#define ANSWER_MS 5000

static char everywhere[] = "/", nobody[] = "errand";

/* --- what it reports ---------------------------------------------------------------------------- */

static void on_report(void *arg, const void *record)
{
	struct bpftune_report report;
	struct errand *errand = arg;

	memcpy(&report, record, sizeof(report));
	report.to[sizeof(report.to) - 1] = report.text[sizeof(report.text) - 1] = '\0';
	switch (report.kind) {
	case BPFTUNE_VALUE:
		if (report.tunable < errand->n) {
			errand->values[report.tunable].error = report.error;
			memcpy(errand->values[report.tunable].value, report.to, sizeof(report.to));
		}
		break;
	case BPFTUNE_CHANGE:
		errand->change = report;
		errand->is_answered = true;
		break;
	case BPFTUNE_READY:
		errand->is_answered = true;
		break;
	case BPFTUNE_LOG:
		memcpy(errand->said, report.text, sizeof(errand->said));
		break;
	default:
		break;
	}
}

static int await_answer(struct errand *errand)
{
	struct pollfd readable = { .fd = errand->report_fd, .events = POLLIN };
	int n = 0;

	errand->is_answered = false;
	while (n >= 0 && !errand->is_answered) {
		if (poll(&readable, 1, ANSWER_MS) == 0)
			return -ETIMEDOUT;
		n = record_read(&errand->reader, errand->report_fd, SIZE_MAX, on_report, errand);
	}
	return n < 0 ? n : 0;
}

/* --- start -------------------------------------------------------------------------------------- */

/* worker_main() wants them to ascend. */
static void run(struct errand *errand, pid_t parent, int fds[N_WORKER_FDS])
{
	const struct bpftune_tuner *tuners[] = { &errand->tuner };
	struct worker_start start = {
		.instance = &errand->view,
		.tuners = tuners,
		.n_tuners = 1,
		.supervisor = parent,
		.confinement = errand->confinement,
	};
	int last = STDERR_FILENO;

	for (size_t i = 0; i < N_WORKER_FDS; i++) {
		last = fcntl(fds[i], F_DUPFD_CLOEXEC, last + 1);
		if (last < 0)
			_exit(EXIT_FAILURE);
		start.fds[i] = last;
	}
	worker_main(&start);
}

static int make_tuner(struct errand *errand)
{
	errand->tunables = calloc(errand->n, sizeof(*errand->tunables));
	if (!errand->tunables)
		return -ENOMEM;
	for (size_t i = 0; i < errand->n; i++)
		errand->tunables[i].name = errand->values[i].name;
	errand->tuner = (struct bpftune_tuner){ .name = nobody, .tunables = errand->tunables, .n_tunables = errand->n };
	return 0;
}

static int start_with(struct errand *errand, int fds[N_WORKER_FDS])
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid)
		run(errand, parent, fds);
	errand->pid = pid;
	return 0;
}

int errand_start(struct errand *errand, uint64_t netns_cookie, int netns_fd)
{
	_cleanup_close_ int sysctls_fd = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int events[2] = { -1, -1 }, reports[2] = { -1, -1 }, err;

	errand->event_fd = errand->report_fd = -1;
	errand->reader = (struct record_reader){ .size = sizeof(struct bpftune_report) };
	errand->view = (struct bpftune){
		.netns_cookie = netns_cookie, .cgroup_path = everywhere, .name = nobody, .ring_fd = -1, .event_fd = -1
	};
	err = make_tuner(errand);
	if (sysctls_fd < 0 || pipe2(events, O_CLOEXEC) < 0 || pipe2(reports, O_CLOEXEC) < 0 ||
	    fcntl(events[0], F_SETFL, O_NONBLOCK) < 0)
		err = -errno;
	if (!err)
		err = start_with(errand, (int[N_WORKER_FDS]){ [WORKER_EVENTS] = events[0],
							      [WORKER_REPORTS] = reports[1],
							      [WORKER_SYSCTLS] = sysctls_fd,
							      [WORKER_NETNS] = netns_fd });
	close_fdp(&events[0]);
	close_fdp(&reports[1]);
	errand->event_fd = events[1];
	errand->report_fd = reports[0];
	return err ? err : await_answer(errand);
}

/* --- what it is told ---------------------------------------------------------------------------- */

int errand_restore(struct errand *errand, size_t i, const char *value, char ret_value[BPFTUNE_VALUE_BYTES])
{
	struct bpftune_event event = { .tuner = BPFTUNE_FROM_SUPERVISOR, .scenario = BPFTUNE_RESTORE };
	struct bpftune_restore restore = { .owner = { .tunable = i } };
	int err;

	snprintf(restore.value, sizeof(restore.value), "%s", value);
	memcpy(event.payload, &restore, sizeof(restore));
	err = record_write(errand->event_fd, &event, sizeof(event));
	if (!err)
		err = await_answer(errand);
	if (err)
		return err;
	memcpy(ret_value, errand->change.to, BPFTUNE_VALUE_BYTES);
	return errand->change.error;
}

/* It has nothing left to do that its end in order would see to. */
void errand_end(struct errand *errand)
{
	close_fdp(&errand->event_fd);
	close_fdp(&errand->report_fd);
	free(errand->tunables);
	if (errand->pid <= 0)
		return;
	kill(errand->pid, SIGKILL);
	waitpid(errand->pid, NULL, 0);
}
