// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/confine.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/cleanup.h"

enum { EVENT_FD = 3, REPORT_FD, NETNS_FD, FIRST_FREE_FD };

/* The supervisor may have had as many descriptors as it may have: then there is none to move to. */
static void close_others(int *const fds[], size_t n)
{
	unsigned int from = FIRST_FREE_FD, next;

	for (; from; from = next + 1) {
		next = ~0U;
		for (size_t i = 0; i < n; i++)
			if (*fds[i] >= 0 && (unsigned int)*fds[i] >= from && (unsigned int)*fds[i] < next)
				next = *fds[i];
		if (next > from)
			close_range(from, next == ~0U ? next : next - 1, 0);
	}
}

/* Moves a descriptor out of the way of the fixed numbers. */
static int lift(int *fd)
{
	int high;

	if (*fd < 0)
		return 0;
	high = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
	if (high < 0)
		return -errno;
	*fd = high;
	return 0;
}

static int place(int *fd, int number)
{
	if (*fd < 0) {
		close(number);
		return 0;
	}
	if (dup3(*fd, number, O_CLOEXEC) < 0)
		return -errno;
	*fd = number;
	return 0;
}

int confine_descriptors(int *event_fd, int *report_fd, int *netns_fd)
{
	int *fds[] = { event_fd, report_fd, netns_fd };
	int null_fd, err = 0;

	close_others(fds, ARRAY_SIZE(fds));
	for (size_t i = 0; i < ARRAY_SIZE(fds) && !err; i++)
		err = lift(fds[i]);
	for (size_t i = 0; i < ARRAY_SIZE(fds) && !err; i++)
		err = place(fds[i], EVENT_FD + i);
	if (err)
		return err;
	if (close_range(FIRST_FREE_FD, ~0U, 0) < 0)
		return -errno;
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0)
		return -errno;
	for (int fd = 0; fd <= 2; fd++)
		if (dup2(null_fd, fd) < 0)
			err = -errno;
	if (null_fd > 2)
		close(null_fd);
	return err;
}

void confine_bounds(void)
{
	if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
		return; /* no_new_privs, in each worker, closes that way too; and libcap-ng would complain to syslog */
	capng_clear(CAPNG_SELECT_BOUNDS);
	capng_apply(CAPNG_SELECT_BOUNDS);
}

/* By hand: libcap-ng would read /proc/self/status five times, in each worker. */
int confine_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct have[_LINUX_CAPABILITY_U32S_3], keep[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, have) < 0)
		return -errno;
	/* Without it root still writes the sysctls of namespaces that belong to the initial user namespace. */
	keep[0].permitted = keep[0].effective = have[0].permitted & 1U << CAP_NET_ADMIN;
	if (syscall(SYS_capset, &header, keep) < 0)
		return -errno;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return 0;
}
