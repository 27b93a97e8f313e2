// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/filter.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/cleanup.h"

/*
 * After its start a worker waits in its loop, reads and writes pipes and sysctls, asks what sockets hold, and
 * allocates. Names that an architecture lacks are passed over.
 *
 * Not here, as they reach other processes of the same user: kill(2) and its like, and fcntl(2), which has a descriptor
 * send signals (F_SETOWN). So abort(3) ends a worker by SIGSEGV.
 */
static const int allowed[] = {
	/* the loop */
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigreturn),
	/* files and pipes */
	SCMP_SYS(_llseek),
	SCMP_SYS(close),
	SCMP_SYS(fstat),
	SCMP_SYS(fstat64),
	SCMP_SYS(fstatat64),
	SCMP_SYS(getdents64),
	SCMP_SYS(lseek),
	SCMP_SYS(newfstatat),
	SCMP_SYS(openat),
	SCMP_SYS(pread64),
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(statx),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	/* sock_diag(7), as libmnl speaks it */
	SCMP_SYS(bind),
	SCMP_SYS(getsockname),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(futex),
	SCMP_SYS(futex_time64),
	SCMP_SYS(getrandom),
	SCMP_SYS(madvise),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	/* what it is told of the machine, and its end */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_gettime64),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(getpid),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sysinfo),
	SCMP_SYS(time),
};

/*
 * With these arguments only. CAP_NET_ADMIN is that of the initial user namespace: by rtnetlink it changes devices in
 * other network namespaces, too (IFLA_NET_NS_PID). sock_diag(7) tells of the socket's own namespace only.
 */
static const struct {
	int call;
	unsigned int n;
	struct scmp_arg_cmp arguments[2];
} allowed_with[] = {
	/* tuners/sock_diag.c */
	{ SCMP_SYS(socket), 2, { { 0, SCMP_CMP_EQ, AF_NETLINK, 0 }, { 2, SCMP_CMP_EQ, NETLINK_SOCK_DIAG, 0 } } },
	/* no code but what is there already */
	{ SCMP_SYS(mmap), 1, { { 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0 } } },
	{ SCMP_SYS(mmap2), 1, { { 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0 } } },
	{ SCMP_SYS(mprotect), 1, { { 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0 } } },
};

static int add_rules(scmp_filter_ctx context)
{
	int err = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));

	if (!err)
		err = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a chain of comparisons */
	for (size_t i = 0; i < ARRAY_SIZE(allowed) && !err; i++)
		err = seccomp_rule_add_array(context, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(allowed_with) && !err; i++)
		err = seccomp_rule_add_array(context, SCMP_ACT_ALLOW, allowed_with[i].call, allowed_with[i].n,
					     allowed_with[i].arguments);
	return err;
}

static int read_program(int fd, struct sock_fprog *ret_program)
{
	_cleanup_free_ struct sock_filter *instructions = NULL;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size <= 0 || st.st_size > (off_t)(BPF_MAXINSNS * sizeof(*instructions)))
		return -EINVAL;
	instructions = malloc(st.st_size);
	if (!instructions)
		return -ENOMEM;
	if (pread(fd, instructions, st.st_size, 0) != st.st_size)
		return -EIO;
	ret_program->len = st.st_size / sizeof(*instructions);
	ret_program->filter = take_ptr(instructions);
	return 0;
}

int filter_make(struct sock_fprog *ret_program)
{
	_cleanup_close_ int fd = memfd_create("bpftune-filter", MFD_CLOEXEC);
	scmp_filter_ctx context;
	int err;

	if (fd < 0)
		return -errno;
	context = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!context)
		return -ENOMEM;
	err = add_rules(context);
	if (!err)
		err = seccomp_export_bpf(context, fd);
	seccomp_release(context);
	return err ? err : read_program(fd, ret_program);
}

int filter_load(const struct sock_fprog *program)
{
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) < 0 ? -errno : 0;
}
