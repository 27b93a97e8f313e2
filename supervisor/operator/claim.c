// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/operator/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "supervisor/operator/run_dir.h"

static bool take_run_dir(struct claim *claim, const char *run_dir)
{
	char why[PATH_MAX + 256];
	pid_t other = 0;
	int err = run_dir_lock(run_dir, &claim->run_dir_fd, &other, why, sizeof(why));

	if (err == -EALREADY)
		fprintf(stderr, "bpftune: a supervisor runs on %s already: pid %d (stop it)\n", run_dir, other);
	else if (err)
		fprintf(stderr, "bpftune: cannot use the run directory %s: %s (--run-dir names another)\n", run_dir,
			why);
	return !err;
}

/* 0; -EALREADY: somebody else has it, and `holder` is what the file says of whom; or another -errno. */
static int lock_machine(const char *run_dir, int *ret_fd, char holder[256])
{
	_cleanup_close_ int fd = -1;

	if (mkdir(CLAIM_MACHINE_DIR, 0711) < 0 && errno != EEXIST)
		return -errno;
	fd = open(CLAIM_MACHINE_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		ssize_t n = errno == EWOULDBLOCK ? pread(fd, holder, 255, 0) : -errno;

		if (n < 0)
			return n;
		holder[n] = '\0';
		holder[strcspn(holder, "\n")] = '\0';
		return -EALREADY;
	}
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "pid %d on %s\n", getpid(), run_dir) < 0)
		return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

static bool take_machine(struct claim *claim, const char *run_dir)
{
	char holder[256];
	int err = lock_machine(run_dir, &claim->machine_fd, holder);

	if (err == -EALREADY)
		fprintf(stderr,
			"bpftune: another supervisor tunes this machine: %s (stop it; only --dry-run goes beside it)\n",
			holder);
	else if (err)
		fprintf(stderr,
			"bpftune: cannot lock %s: %s (the directory must be root's, and writable for the supervisor)\n",
			CLAIM_MACHINE_LOCK, strerror(-err));
	return !err;
}

bool claim_take(struct claim *claim, const char *run_dir, bool dry_run)
{
	return take_run_dir(claim, run_dir) && (dry_run || take_machine(claim, run_dir));
}

void claim_drop(struct claim *claim)
{
	close_fdp(&claim->run_dir_fd);
	close_fdp(&claim->machine_fd);
}
