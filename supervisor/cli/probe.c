// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ipc/exit.h"
#include "supervisor/kernel/kernel.h"
#include "worker/worker.h"

static void complain(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "bpftune: %s\n", text);
}

static int print_hooks(const struct bpftune_host *host, const struct plugins *plugins)
{
	int refused = 0;

	for (size_t i = 0; i < host->n_hooks; i++) {
		const struct hook *hook = &host->hooks[i];
		const char *tuner = hook->tuner < plugins->n ? plugins->tuners[hook->tuner]->name : "watch";

		printf("%-12s %-30s %s\n", tuner, hook->attach, hook->error ? bpf_hook_error(hook) : "ok");
		refused += hook->error < 0;
	}
	return refused;
}

int probe_run(const char *plugin_dir)
{
	struct kernel kernel = { 0 };
	struct bpf_refusal refusal;
	struct utsname system;
	uint64_t cookie = worker_netns_cookie();
	int err, refused;

	if (geteuid() != 0) {
		fprintf(stderr, "bpftune: cannot probe: not root (use sudo)\n");
		return EXIT_FAILED;
	}
	uname(&system);
	printf("%-12s %s\n%-12s %s\n", "kernel", system.release, "netns cookie", cookie ? "ok" : strerror(errno));
	bpf_set_debug(false);
	err = kernel_open(&kernel, cookie, &refusal);
	if (err) {
		kernel_close(&kernel);
		fflush(stdout);
		fprintf(stderr, "bpftune: %s\n", refusal.text);
		return err == -EPERM ? EXIT_FAILED : EXIT_UNSUPPORTED;
	}
	printf("%-12s %s\n%-12s %s\n", "kernel BTF", "ok", "cgroup2", kernel.cgroupfs.mount);
	err = plugins_open(&kernel.plugins, plugin_dir, complain, NULL);
	if (err)
		fprintf(stderr, "bpftune: cannot read the tuners' directory %s: %s (--plugin-dir names another)\n",
			plugin_dir, strerror(-err));
	for (size_t i = 0; i < kernel.plugins.n; i++)
		bpf_attach_tuner(&kernel.host, kernel.plugins.tuners[i], i);
	refused = print_hooks(&kernel.host, &kernel.plugins);
	kernel_close(&kernel);
	return refused ? EXIT_UNSUPPORTED : err ? EXIT_FAILED : cookie ? EXIT_DONE : EXIT_UNSUPPORTED;
}
