// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/survey.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "ipc/pipe.h"
#include "supervisor/kernel/nsfs.h"
#include "worker/worker.h"

#define TRIES 3 /* a task may end before it is followed into its namespace */

/* What the child tells of each namespace that it could enter. */
struct told {
	uint32_t inode, unused;
	uint64_t cookie;
};

static struct surveyed_netns *get(struct surveyed_netns **survey, uint32_t inode)
{
	struct surveyed_netns *netns;

	HASH_FIND_INT(*survey, &inode, netns);
	if (netns)
		return netns;
	netns = calloc(1, sizeof(*netns));
	if (!netns)
		return NULL;
	netns->inode = inode;
	HASH_ADD_INT(*survey, inode, netns);
	return netns;
}

static void found_mount(void *arg, uint32_t inode, const char *path)
{
	struct surveyed_netns *netns = get(arg, inode);

	if (netns && !netns->path)
		netns->path = strdup(path);
}

/* The first is the oldest, mostly. */
static void found_task(void *arg, uint32_t inode, pid_t tid)
{
	struct surveyed_netns *netns = get(arg, inode);

	if (netns && !netns->tid)
		netns->tid = tid;
}

int survey_open(const struct surveyed_netns *netns)
{
	int fd = netns->path ? nsfs_open_path(netns->path, netns->inode) : -ESRCH;

	return fd < 0 && netns->tid ? nsfs_open_pid(netns->tid, netns->inode) : fd;
}

/* Enters one after the other, and never comes back. */
static _Noreturn void scout(const struct surveyed_netns *survey, pid_t parent, int fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fd > STDERR_FILENO + 1)
		close_fds(STDERR_FILENO + 1, fd - 1, 0); /* the lock of a run directory, say */
	for (; survey && getppid() == parent; survey = survey->hh.next) {
		int netns_fd = survey->cookie ? -1 : survey_open(survey);
		struct told told = { .inode = survey->inode };

		if (netns_fd < 0)
			continue;
		if (setns(netns_fd, CLONE_NEWNET) == 0)
			told.cookie = worker_netns_cookie();
		close(netns_fd);
		if (told.cookie)
			record_write(fd, &told, sizeof(told));
	}
	_exit(EXIT_SUCCESS);
}

static void take_told(void *arg, const void *record)
{
	struct surveyed_netns *netns;
	const struct told *told = record;

	HASH_FIND_INT(*(struct surveyed_netns **)arg, &told->inode, netns);
	if (netns)
		netns->cookie = told->cookie;
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int listen_to(int fd, struct surveyed_netns **survey, long long deadline_ms)
{
	struct record_reader reader = { .size = sizeof(struct told) };
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	int n = 0;

	while (n >= 0) {
		long long left_ms = deadline_ms - now_ms();

		if (left_ms <= 0 || poll(&readable, 1, (int)left_ms) == 0)
			return -ETIMEDOUT;
		n = record_read(&reader, fd, SIZE_MAX, take_told, survey);
	}
	return n == -EPIPE ? 0 : n;
}

static int send_scout(struct surveyed_netns **survey, long long deadline_ms)
{
	pid_t parent = getpid(), pid;
	int fds[2], err;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (!pid)
		scout(*survey, parent, fds[1]);
	err = pid < 0 ? -errno : 0;
	close(fds[1]);
	if (!err) {
		err = listen_to(fds[0], survey, deadline_ms);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, err == -ETIMEDOUT ? WNOHANG : 0); /* one that hangs may not even die */
	}
	close(fds[0]);
	return err;
}

static bool is_whole(const struct surveyed_netns *survey)
{
	for (; survey; survey = survey->hh.next)
		if (!survey->cookie)
			return false;
	return true;
}

int survey_take(struct surveyed_netns **ret_survey)
{
	long long deadline_ms = now_ms() + SURVEY_MS;
	int err = 0;

	*ret_survey = NULL;
	for (int i = 0; i < TRIES && !err && (!i || !is_whole(*ret_survey)); i++) {
		for (struct surveyed_netns *netns = *ret_survey; netns; netns = netns->hh.next)
			netns->tid = netns->cookie ? netns->tid : 0;
		err = nsfs_each_mount(found_mount, ret_survey);
		if (!err)
			err = nsfs_each_task(found_task, ret_survey);
		if (!err)
			err = send_scout(ret_survey, deadline_ms);
	}
	return err;
}

void survey_free(struct surveyed_netns *survey)
{
	struct surveyed_netns *netns, *next;

	HASH_ITER (hh, survey, netns, next) {
		HASH_DEL(survey, netns);
		free(netns->path);
		free(netns);
	}
}

const struct surveyed_netns *survey_find(const struct surveyed_netns *survey, uint64_t cookie)
{
	for (; survey; survey = survey->hh.next)
		if (survey->cookie == cookie)
			return survey;
	return NULL;
}
