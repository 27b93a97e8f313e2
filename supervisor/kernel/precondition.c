// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/precondition.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/capability.h>
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

/* Those of bpftune.service. */
static const struct {
	unsigned int number;
	const char *text;
} capabilities[] = {
	{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN is missing: workers cannot enter network namespaces, so nothing is tuned" },
	{ CAP_NET_ADMIN, "CAP_NET_ADMIN is missing: workers cannot write sysctls, so nothing is tuned" },
	{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE is missing: containers of other users than root are not found" },
	{ CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH is missing: cgroups cannot be opened by id, so new containers are not recognised" },
	{ CAP_SETUID, "CAP_SETUID is missing: workers cannot become ordinary users, so none starts" },
	{ CAP_SETGID, "CAP_SETGID is missing: workers cannot become ordinary users, so none starts" },
	{ CAP_KILL, "CAP_KILL is missing: a worker that hangs cannot be ended, and outlives the supervisor" },
};

size_t precondition_check_capabilities(void (*complain)(void *arg, const char *text), void *arg)
{
	size_t n_missing = 0;

	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
		if (capng_have_capability(CAPNG_EFFECTIVE, capabilities[i].number))
			continue;
		complain(arg, capabilities[i].text);
		n_missing++;
	}
	return n_missing;
}
