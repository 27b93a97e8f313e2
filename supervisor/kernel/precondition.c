// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/precondition.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ipc/cleanup.h"

/* The initial namespaces have these inodes (include/linux/proc_ns.h: PROC_PID_INIT_INO and others). */
static const struct {
	const char *path, *name, *why, *remedy;
	ino_t inode;
} namespaces[] = {
	{ "/proc/self/ns/pid", "PID", "the kernel's events name processes as the initial one does",
	  "run it on the host; in a container of Docker or Podman, with --pid=host", 0xEFFFFFFC },
	{ "/proc/self/ns/user", "user", "elsewhere root can neither load BPF programs nor enter containers",
	  "run it as root of the host, not in a rootless container", 0xEFFFFFFD },
	{ "/proc/self/ns/cgroup", "cgroup", "elsewhere /proc/PID/cgroup does not show whole paths",
	  "run it on the host; in a container of Docker or Podman, with --cgroupns=host", 0xEFFFFFFB },
};

int precondition_check(struct bpf_refusal *ret_refusal)
{
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
		if (stat(namespaces[i].path, &st) < 0) {
			int err = -errno;

			snprintf(ret_refusal->text, sizeof(ret_refusal->text),
				 "cannot look at %s: %s (procfs must be mounted on /proc)", namespaces[i].path,
				 strerror(-err));
			return err;
		}
		if (st.st_ino != namespaces[i].inode) {
			snprintf(ret_refusal->text, sizeof(ret_refusal->text),
				 "not in the initial %s namespace: %s (%s)", namespaces[i].name, namespaces[i].why,
				 namespaces[i].remedy);
			return -EPERM;
		}
	}
	return 0;
}
