// SPDX-License-Identifier: GPL-2.0-or-later
/* The room's start and end, and the tuners' BPF programs. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/kernel/kernel.h"
#include "supervisor/kernel/precondition.h"

static void say_no_cgroups(const struct cgroupfs *fs, int err, struct bpf_refusal *ret_refusal)
{
	if (err == -EXDEV)
		snprintf(ret_refusal->text, sizeof(ret_refusal->text),
			 "%.80s shows a part of cgroup2 only, so containers elsewhere would not be seen (run it on the "
			 "host; mount -t cgroup2 none DIRECTORY shows all)", fs->mount ? fs->mount : "a mount");
	else
		snprintf(ret_refusal->text, sizeof(ret_refusal->text),
			 "no cgroup2 is mounted and mounting one failed: %s (the kernel must be built with CONFIG_CGROUPS; "
			 "mounting needs CAP_SYS_ADMIN)", strerror(-err));
}

int kernel_open(struct kernel *kernel, uint64_t host_cookie, struct bpf_refusal *ret_refusal)
{
	int err;

	if (!host_cookie) {
		snprintf(ret_refusal->text, sizeof(ret_refusal->text),
			 "cannot read SO_NETNS_COOKIE: %s (needs Linux 5.15 or newer)", strerror(errno));
		return -EOPNOTSUPP;
	}
	err = precondition_check(ret_refusal);
	if (err)
		return -EPERM;
	err = cgroupfs_open(&kernel->cgroupfs);
	if (!err)
		return bpf_open(&kernel->host, host_cookie, kernel->cgroupfs.fd, ret_refusal);
	say_no_cgroups(&kernel->cgroupfs, err, ret_refusal);
	return err == -EPERM || err == -EXDEV ? -EPERM : -EOPNOTSUPP;
}

/* --- tuners ------------------------------------------------------------------------------------- */

struct listener {
	void (*complain)(void *arg, const char *text);
	void *arg;
};

static void complain(const struct listener *listener, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void complain(const struct listener *listener, const char *format, ...)
{
	char text[3 * PATH_MAX]; /* a file's path, and another that is not root's */
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	listener->complain(listener->arg, text);
}

static const char *owner_name(const struct kernel *kernel, uint16_t number)
{
	return number < kernel->plugins.n ? kernel->plugins.tuners[number]->name : "watch";
}

static void say_refused_hooks(const struct kernel *kernel, uint16_t number, const struct listener *listener)
{
	for (size_t i = 0; i < kernel->host.n_hooks; i++) {
		const struct hook *hook = &kernel->host.hooks[i];

		if (hook->tuner == number && hook->error)
			complain(listener, "%s: cannot use %s (%s): %s", owner_name(kernel, number), hook->attach,
				 hook->program, bpf_hook_error(hook));
	}
}

static void own_sysctls(struct kernel *kernel, uint16_t number, const struct listener *listener)
{
	const struct bpftune_tuner *tuner = kernel->plugins.tuners[number];

	for (uint16_t i = 0; i < tuner->n_tunables; i++) {
		const struct bpftune_owner owner = { .tuner = number, .tunable = i };
		int err = bpf_own_sysctl(&kernel->host, tuner->tunables[i].name, &owner);

		if (err)
			complain(listener, "an administrator's writes of %s will not be noticed at once: %s",
				 tuner->tunables[i].name, strerror(-err));
	}
}

static void attach_tuner(struct kernel *kernel, uint16_t number, const struct listener *listener)
{
	int err;

	own_sysctls(kernel, number, listener);
	err = bpf_attach_tuner(&kernel->host, kernel->plugins.tuners[number], number);
	if (err)
		complain(listener, "cannot load the BPF programs of tuner %s: %s", owner_name(kernel, number), strerror(-err));
	say_refused_hooks(kernel, number, listener);
}

int kernel_open_tuners(struct kernel *kernel, const char *dir, void (*complain_to)(void *arg, const char *text), void *arg)
{
	const struct listener listener = { complain_to, arg };
	int err = plugins_open(&kernel->plugins, dir, complain_to, arg);

	if (err)
		return err;
	say_refused_hooks(kernel, BPFTUNE_FROM_WATCH, &listener);
	say_refused_hooks(kernel, BPFTUNE_FROM_OBSERVE, &listener);
	for (size_t i = 0; i < kernel->plugins.n; i++)
		attach_tuner(kernel, i, &listener);
	return 0;
}

bool kernel_add_tuner(struct kernel *kernel, const char *dir, const char *name,
		      void (*complain_to)(void *arg, const char *text), void *arg)
{
	const struct listener listener = { complain_to, arg };
	const char *wrong = plugins_add(&kernel->plugins, dir, name);

	if (wrong)
		complain(&listener, "cannot use tuner %s/%s: %s", dir, name, wrong);
	else
		attach_tuner(kernel, kernel->plugins.n - 1, &listener);
	return !wrong;
}

void kernel_remove_tuner(struct kernel *kernel, uint16_t number)
{
	bpf_detach_tuner(&kernel->host, number);
	bpf_forget_verdicts(&kernel->host, number);
	plugins_remove(&kernel->plugins, number);
}

void kernel_close(struct kernel *kernel)
{
	bpf_close(&kernel->host);
	plugins_close(&kernel->plugins);
	cgroupfs_close(&kernel->cgroupfs);
	procfs_close(&kernel->procfs);
}
