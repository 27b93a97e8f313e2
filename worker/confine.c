// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/confine.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "ipc/watched.h"
#include "worker/filter.h"
#include "worker/landlock.h"

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
	if (close_fds(next, ~0U, 0) < 0)
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

static bool has_seccomp(void)
{
	/* EFAULT: it would have read a filter there. */
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0) < 0 && errno == EFAULT;
}

int confine_prepare(struct confinement *ret_confinement)
{
	const struct passwd *user = getpwnam(CONFINE_USER);
	struct confinement confinement = { .uid = CONFINE_NOBODY, .gid = CONFINE_NOBODY };
	int err = 0;

	if (user && user->pw_uid && user->pw_gid) {
		confinement.uid = user->pw_uid;
		confinement.gid = user->pw_gid;
	}
	if (!is_watched()) {
		confinement.landlock_abi = landlock_abi();
		err = has_seccomp() ? filter_make(&confinement.filter) : 0;
	}
	if (!err)
		*ret_confinement = confinement;
	return err;
}

void confine_release(struct confinement *confinement)
{
	free(confinement->filter.filter);
	confinement->filter = (struct sock_fprog){ 0 };
}

/* By hand: libcap-ng would read /proc/self/status five times, in each worker. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct have[_LINUX_CAPABILITY_U32S_3], keep[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, have) < 0)
		return -errno;
	keep[0].permitted = keep[0].effective = have[0].permitted & 1U << CAP_NET_ADMIN;
	return syscall(SYS_capset, &header, keep) < 0 ? -errno : 0;
}

static int become_user(uid_t uid, gid_t gid)
{
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		return -errno;
	return drop_capabilities();
}

int confine_worker(const struct confinement *confinement, pid_t supervisor, int sysctls_fd, int *ret_written_fd)
{
	int written_fd = -1, err = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (confinement->landlock_abi)
		err = landlock_confine(confinement->landlock_abi, sysctls_fd, &written_fd);
	if (!err)
		err = become_user(confinement->uid, confinement->gid);
	/* Only now: a change of credentials takes both back (kernel/cred.c: commit_creds()). */
	if (!err && (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0))
		err = -errno;
	if (!err && getppid() != supervisor)
		err = -ESRCH;
	if (!err && confinement->filter.len)
		err = filter_load(&confinement->filter);
	if (!err)
		*ret_written_fd = written_fd;
	else if (written_fd >= 0)
		close(written_fd);
	return err;
}
