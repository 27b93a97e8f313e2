// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/cleanup.h"

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE LANDLOCK_ACCESS_FS_WRITE_FILE

/* struct landlock_ruleset_attr, which grows: what older headers lack, too. */
struct ruleset {
	uint64_t files;	 /* LANDLOCK_ACCESS_FS_... */
	uint64_t net;	 /* version 4: TCP's bind(2) and connect(2) */
	uint64_t scoped; /* version 6: abstract sockets of others, and signals to them */
};

int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

/* All that this version of the kernel's can refuse; later versions add bits at the end. */
static int make_ruleset(int abi)
{
	static const unsigned char n_file_rights[] = { 0, 13, 14, 15, 15, 16 };
	const struct ruleset ruleset = {
		.files = (1ULL << n_file_rights[abi < 5 ? abi : 5]) - 1,
		.net = abi >= 4 ? 3 : 0,
		.scoped = abi >= 6 ? 3 : 0,
	};
	size_t size = abi >= 6	 ? sizeof(ruleset)
		      : abi >= 4 ? offsetof(struct ruleset, scoped)
				 : offsetof(struct ruleset, net);
	long fd = syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);

	return fd < 0 ? -errno : (int)fd;
}

static int allow(int ruleset_fd, int dir_fd, uint64_t rights)
{
	const struct landlock_path_beneath_attr rule = { .allowed_access = rights, .parent_fd = dir_fd };

	return syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
}

int landlock_confine(int abi, int sysctls_fd, int *ret_written_fd)
{
	_cleanup_close_ int ruleset_fd = make_ruleset(abi), proc_fd = -1, written_fd = -1;
	int err;

	if (ruleset_fd < 0)
		return ruleset_fd;
	proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc_fd < 0)
		return -errno;
	written_fd = open("/proc/sys/net", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (written_fd < 0)
		return -errno;
	err = allow(ruleset_fd, proc_fd, READ);
	if (!err)
		err = allow(ruleset_fd, sysctls_fd, READ);
	if (!err)
		err = allow(ruleset_fd, written_fd, READ | WRITE);
	if (!err && syscall(SYS_landlock_restrict_self, ruleset_fd, 0) < 0)
		err = -errno;
	if (!err)
		*ret_written_fd = take_fd(&written_fd);
	return err;
}
