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

static const char *owner_of(const struct hook *hook, const struct plugins *plugins)
{
	return hook->tuner < plugins->n ? plugins->tuners[hook->tuner]->name : "watch";
}

static int print_hooks(const struct bpftune_host *host, const struct plugins *plugins)
{
	int refused = 0;

	for (size_t i = 0; i < host->n_hooks; i++) {
		const struct hook *hook = &host->hooks[i];

		printf("%-12s %-30s %s\n", owner_of(hook, plugins), hook->attach, hook->error ? bpf_hook_error(hook) : "ok");
		refused += hook->error < 0;
	}
	return refused;
}

static void print_refused_owners(const struct bpftune_host *host, const struct plugins *plugins)
{
	const char *last = "";

	for (size_t i = 0; i < host->n_hooks; i++) {
		const char *owner = owner_of(&host->hooks[i], plugins);

		if (host->hooks[i].error >= 0 || !strcmp(last, owner))
			continue;
		printf("%s %s", *last ? "," : "", owner);
		last = owner;
	}
}

/* The last line: what all the others come to. */
static void print_verdict(const struct bpftune_host *host, const struct plugins *plugins, int refused, size_t n_missing)
{
	putchar('\n');
	if (!plugins->n) {
		puts("bpftune would run here, and tune nothing: it has no tuners.");
	} else if (!refused && n_missing) {
		printf("bpftune would run here, but do less: it lacks %zu of the capabilities that it needs.\n", n_missing);
	} else if (!refused) {
		printf("bpftune can do all of its work here: %zu tuners, and the kernel takes all of their %zu programs.\n",
		       plugins->n, host->n_hooks);
	} else {
		printf("bpftune would run here, but do less: the kernel refuses %d of %zu programs, of", refused,
		       host->n_hooks);
		print_refused_owners(host, plugins);
		puts(".");
	}
}

int probe_run(const char *plugin_dir)
{
	struct kernel kernel = { 0 };
	struct bpf_refusal refusal;
	struct utsname system;
	uint64_t cookie = worker_netns_cookie();
	size_t n_missing;
	int err, refused;

	if (geteuid() != 0) {
		fprintf(stderr, "bpftune: cannot probe: not root (use sudo)\n");
		return EXIT_FAILED;
	}
	uname(&system);
	printf("%-12s %s\n%-12s %s\n", "kernel", system.release, "netns cookie", cookie ? "ok" : strerror(errno));
	n_missing = precondition_check_capabilities(complain, NULL);
	bpf_set_debug(false);
	err = kernel_open(&kernel, cookie, &refusal);
	if (err) {
		kernel_close(&kernel);
		fflush(stdout);
		fprintf(stderr, "bpftune: %s\n", refusal.text);
		printf("\nbpftune cannot run here%s.\n", err == -EPERM ? " with the rights that it has now" : "");
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
	print_verdict(&kernel.host, &kernel.plugins, refused, n_missing);
	kernel_close(&kernel);
	return refused ? EXIT_UNSUPPORTED : err || n_missing ? EXIT_FAILED : cookie ? EXIT_DONE : EXIT_UNSUPPORTED;
}
