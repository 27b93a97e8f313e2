// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/confine.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int replace_standard(void)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), err = 0;

	if (null_fd < 0)
		return -errno;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (dup2(null_fd, fd) < 0)
			err = -errno;
	if (null_fd > STDERR_FILENO)
		close(null_fd);
	return err;
}

int confine_descriptors(int fds[], size_t n)
{
	int next = STDERR_FILENO + 1;

	/* They ascend: so no number is taken that one of the next has yet to leave. */
	for (size_t i = 0; i < n; i++) {
		if (fds[i] < 0)
			continue;
		if (fds[i] != next && dup3(fds[i], next, O_CLOEXEC) < 0)
			return -errno;
		fds[i] = next++;
	}
	if (close_range(next, ~0U, 0) < 0)
		return -errno;
	return replace_standard();
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
