// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>

#include "ipc/cleanup.h"
#include "supervisor/kernel/mount.h"

/*
 * Nothing is written there, nor are processes to be seen: a service manager may have taken away from /proc what this
 * mount would give back.
 */
static int open_sysctls(void)
{
	_cleanup_close_ int mount =
		mount_privately("proc", "hidepid", "invisible",
				MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	int fd = -1;

	if (mount >= 0)
		fd = openat(mount, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fd = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int procfs_sysctls(struct procfs *procfs)
{
	size_t i = procfs->n_given / PROCFS_WORKERS % PROCFS_MAX;

	if (i == procfs->n) {
		int fd = open_sysctls();

		if (fd < 0)
			return fd;
		procfs->fds[procfs->n++] = fd;
	}
	procfs->n_given++;
	return procfs->fds[i];
}

void procfs_close(struct procfs *procfs)
{
	while (procfs->n)
		close_fdp(&procfs->fds[--procfs->n]);
}
