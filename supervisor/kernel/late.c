// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/late.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool late_is_per_call(const char *section)
{
	return !strcmp(section, "cgroup/recvmsg4") || !strcmp(section, "cgroup/recvmsg6");
}

bool late_is_section(const char *section)
{
	return late_is_per_call(section) || !strcmp(section, "cgroup/bind4") || !strcmp(section, "cgroup/bind6");
}

int late_attach(struct late *late, int cgroup_fd)
{
	int fd = bpf_link_create(late->program_fd, cgroup_fd, late->type, NULL);

	if (fd < 0)
		return fd;
	late->link_fd = fd;
	return 0;
}

void late_detach(struct late *late)
{
	if (late->link_fd > 0)
		close(late->link_fd);
	late->link_fd = 0;
}

/* It is attached once, as the kernel may refuse that. */
int late_keep(struct late *late, const struct bpf_program *program, int cgroup_fd)
{
	int fd = fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 3), err;

	if (fd < 0)
		return -errno;
	*late = (struct late){ .program_fd = fd, .type = bpf_program__expected_attach_type(program) };
	err = late_attach(late, cgroup_fd);
	late_detach(late);
	return err;
}

void late_free(struct late *late)
{
	late_detach(late);
	if (late->program_fd > 0)
		close(late->program_fd);
	late->program_fd = 0;
}
