// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/mount.h"

#include <errno.h>
#include <linux/mount.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/cleanup.h"

int mount_privately(const char *type, const char *option, const char *value, unsigned int attributes)
{
	_cleanup_close_ int context = syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
	int fd;

	if (context < 0 || (option && syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, option, value, 0) < 0) ||
	    syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
	return fd < 0 ? -errno : fd;
}
