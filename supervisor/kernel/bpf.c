// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/bpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf/observe.skel.h"
#include "bpf/watch.skel.h"
#include "ipc/cleanup.h"
#include "supervisor/kernel/chain.h"

#define KERNEL_BTF "/sys/kernel/btf/vmlinux"

static const char *const shared_names[SHARED_CHAINS] = {
	[SHARED_EVENTS] = "events",
	[SHARED_GATES] = "gates",
	[SHARED_LOST] = "lost",
	[SHARED_RATES] = "rates",
	[SHARED_SHARERS_RATES] = "sharers_rates",
	[SHARED_PAIRED] = "paired",
	[SHARED_CONTROL] = "control",
	[SHARED_NOTICED] = "noticed",
	[SHARED_RUNS] = "runs",
	[SHARED_FLOWS] = "flows",
	[SHARED_UDP_DROPS] = "udp_drops",
};

static const char *shared_name(int map)
{
	return map < SHARED_CHAINS ? shared_names[map] : chain_map(map - SHARED_CHAINS);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

__attribute__((format(printf, 2, 0)))
static int loud(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	return vfprintf(stderr, format, args);
}

void bpf_set_debug(bool on)
{
	libbpf_set_print(on ? loud : quiet);
}

const char *bpf_hook_error(const struct hook *hook)
{
	switch (hook->error) {
	case 0:
		return NULL;
	case -EACCES:
		return "refused: this kernel's BPF verifier does not accept the program ('bpftune run --debug' shows why)";
	case -EPERM:
		return "refused: needs CAP_SYS_ADMIN (or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN), or the kernel is locked down";
	case -E2BIG:
		return "too many programs are attached there; an observer calls the first 16 tuners since the start";
	case -ENOENT:
		return "this kernel has no such tracepoint";
	default:
		return strerror(-hook->error);
	}
}

/* --- load and attach ---------------------------------------------------------------------------- */

static struct hook *hook_get(struct bpftune_host *host, const char *program, const char *section)
{
	struct hook *hook;

	for (size_t i = 0; i < host->n_hooks; i++)
		if (host->hooks[i].tuner == host->loading && !strcmp(host->hooks[i].program, program))
			return &host->hooks[i];
	hook = realloc(host->hooks, (host->n_hooks + 1) * sizeof(*hook));
	if (!hook)
		return NULL;
	host->hooks = hook;
	hook += host->n_hooks++;
	*hook = (struct hook){
		.program = strdup(program),
		.attach = strdup(section),
		.tuner = host->loading,
		.chain = host->loading < BPFTUNE_TUNERS_MAX ? chain_of(section) : -1,
	};
	return hook;
}

/* The sweep is run, not attached: it is no hook. */
static bool is_hook(const struct bpf_program *program)
{
	return strcmp(bpf_program__section_name(program), "raw_tp") != 0;
}

static int prepare(struct bpftune_host *host, struct bpf_object *object)
{
	struct bpf_program *program;
	int err = 0;

	for (int i = 0; i < N_SHARED && !err; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(object, shared_name(i));

		if (map && host->shared_fds[i] >= 0)
			err = bpf_map__reuse_fd(map, host->shared_fds[i]);
	}
	bpf_object__for_each_program(program, object) {
		const char *name = bpf_program__name(program);
		struct hook *hook = is_hook(program) ? hook_get(host, name, bpf_program__section_name(program)) : NULL;

		if (hook && hook->chain >= 0)
			chain_prepare(program, hook->chain);
		if (host->trial)
			bpf_program__set_autoload(program, !strcmp(name, host->trial));
		else if (hook && hook->error)
			bpf_program__set_autoload(program, false);
	}
	return err;
}

/* Why nobody would call the programs of a chain: 0: somebody does. */
static int observer_error(const struct bpftune_host *host, enum bpftune_chain chain)
{
	for (size_t i = 0; i < host->n_hooks; i++)
		if (host->hooks[i].tuner == BPFTUNE_FROM_OBSERVE && !strcmp(host->hooks[i].program, chain_observer(chain)))
			return host->hooks[i].error;
	return -ENOENT;
}

static void attach(struct bpftune_host *host, struct bpf_program *program)
{
	const char *section = bpf_program__section_name(program);
	struct hook *hook = hook_get(host, bpf_program__name(program), section);
	bool on_cgroup = !strncmp(section, "cgroup/", 7) || !strcmp(section, "sockops");

	if (!hook || hook->error)
		return;
	if (hook->chain >= 0) {
		hook->error = observer_error(host, hook->chain);
		if (!hook->error)
			hook->error = chain_join(host->shared_fds[SHARED_CHAINS + hook->chain], hook->tuner, program);
		return;
	}
	if (late_is_section(section)) {
		hook->error = late_keep(&hook->late, program, host->cgroup_fd);
		return;
	}
	hook->link = on_cgroup ? bpf_program__attach_cgroup(program, host->cgroup_fd) : bpf_program__attach(program);
	if (!hook->link)
		hook->error = -errno;
}

static int load(struct bpftune_host *host, struct bpf_object *object)
{
	struct bpf_program *program;
	int err = prepare(host, object);

	if (!err)
		err = bpf_object__load(object);
	if (err || host->trial)
		return err;
	bpf_object__for_each_program(program, object)
		if (is_hook(program))
			attach(host, program);
	return 0;
}

/* What was attached stays; of a tuner's object only the verdicts are written to later. */
int bpftune_host_load(struct bpftune_host *host, struct bpf_object *object)
{
	const struct bpf_map *verdicts = bpf_object__find_map_by_name(object, "verdicts");
	int err = -EINVAL;

	if (!verdicts || (bpf_map__key_size(verdicts) == sizeof(struct bpftune_verdict_key) &&
			  bpf_map__value_size(verdicts) == sizeof(((struct bpftune_verdict *)0)->value)))
		err = load(host, object);
	if (!err && !host->trial && verdicts)
		host->verdict_fds[host->loading] = fcntl(bpf_map__fd(verdicts), F_DUPFD_CLOEXEC, 3);
	bpf_object__close(object);
	return err;
}

uint64_t bpftune_host_cookie(const struct bpftune_host *host)
{
	return host->cookie;
}

/*
 * Loads through `open_and_load`; when the kernel takes not all of it, finds the programs that it
 * refuses, one by one, and loads the rest.
 */
static int load_what_works(struct bpftune_host *host, uint16_t number,
			   int (*open_and_load)(struct bpftune_host *host, const void *arg), const void *arg)
{
	size_t refused = 0, programs = 0;
	int err, whole;

	host->loading = number;
	whole = open_and_load(host, arg);
	if (!whole)
		return 0;
	for (size_t i = 0; i < host->n_hooks; i++) {
		if (host->hooks[i].tuner != number)
			continue;
		host->trial = host->hooks[i].program;
		err = open_and_load(host, arg);
		host->hooks[i].error = err;
		refused += err < 0;
		programs++;
	}
	host->trial = NULL;
	if (refused && refused < programs)
		whole = open_and_load(host, arg);
	for (size_t i = 0; whole && i < host->n_hooks; i++)
		if (host->hooks[i].tuner == number && !host->hooks[i].error)
			host->hooks[i].error = whole;
	return whole;
}

static int load_tuner(struct bpftune_host *host, const void *arg)
{
	const struct bpftune_tuner *tuner = arg;

	return tuner->attach(host, host->loading);
}

int bpf_attach_tuner(struct bpftune_host *host, const struct bpftune_tuner *tuner, uint16_t number)
{
	host->n_tuners = number + 1;
	return tuner->attach ? load_what_works(host, number, load_tuner, tuner) : 0;
}

static void free_hook(struct hook *hook)
{
	bpf_link__destroy(hook->link);
	late_free(&hook->late);
	free(hook->program);
	free(hook->attach);
}

void bpf_detach_tuner(struct bpftune_host *host, uint16_t number)
{
	size_t kept = 0;

	for (size_t i = 0; i < host->n_hooks; i++) {
		struct hook *hook = &host->hooks[i];

		if (hook->tuner != number) {
			host->hooks[kept++] = *hook;
			continue;
		}
		if (hook->chain >= 0 && !hook->error)
			chain_leave(host->shared_fds[SHARED_CHAINS + hook->chain], number);
		free_hook(hook);
	}
	host->n_hooks = kept;
	if (host->verdict_fds[number] > 0)
		close(host->verdict_fds[number]);
	host->verdict_fds[number] = 0;
}

/* One of the supervisor's own objects, which it keeps. */
static int load_own(struct bpftune_host *host, struct bpf_object *object, size_t place)
{
	int err = load(host, object);

	if (err || host->trial)
		bpf_object__close(object);
	else
		host->own[place] = object;
	return err;
}

static int load_watch(struct bpftune_host *host, const void *arg)
{
	struct watch_bpf *skel = watch_bpf__open();
	struct bpf_object *object;
	int err;

	(void)arg;
	if (!skel)
		return -errno;
	skel->rodata->tuner = BPFTUNE_FROM_WATCH;
	skel->rodata->host_cookie = host->cookie;
	object = take_ptr(skel->obj);
	watch_bpf__destroy(skel);
	err = load_own(host, object, 0);
	if (err || host->trial)
		return err;
	for (int i = 0; i < N_SHARED; i++)
		host->shared_fds[i] = bpf_object__find_map_fd_by_name(object, shared_name(i));
	host->netns_fd = bpf_object__find_map_fd_by_name(object, "netns");
	host->unsighted_fd = bpf_object__find_map_fd_by_name(object, "unsighted");
	host->moves_fd = bpf_object__find_map_fd_by_name(object, "moves");
	host->host_cgroups_fd = bpf_object__find_map_fd_by_name(object, "host_cgroups");
	host->owned_fd = bpf_object__find_map_fd_by_name(object, "owned_sysctls");
	host->own_pids_fd = bpf_object__find_map_fd_by_name(object, "own_pids");
	host->taken_fd = bpf_object__find_map_fd_by_name(object, "taken");
	host->writes_fd = bpf_object__find_map_fd_by_name(object, "writes");
	host->sweep_fd = bpf_program__fd(bpf_object__find_program_by_name(object, "watch_sweep"));
	return 0;
}

/* A quarter of the limit that new namespaces get, until connections of theirs show another. */
static uint32_t rcvbuf_bound(void)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/sys/net/ipv4/tcp_rmem", "re");
	unsigned int max;

	return file && fscanf(file, "%*u %*u %u", &max) == 1 ? max / 4 : 0;
}

static int load_observe(struct bpftune_host *host, const void *arg)
{
	struct observe_bpf *skel = observe_bpf__open();
	struct bpf_object *object;

	(void)arg;
	if (!skel)
		return -errno;
	skel->rodata->tuner = BPFTUNE_FROM_OBSERVE;
	skel->rodata->host_cookie = host->cookie;
	skel->data->rcvbuf_bound = rcvbuf_bound();
	object = take_ptr(skel->obj);
	observe_bpf__destroy(skel);
	return load_own(host, object, 1);
}

static int refuse(struct bpf_refusal *refusal, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(struct bpf_refusal *refusal, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(refusal->text, sizeof(refusal->text), format, args);
	va_end(args);
	return error;
}

/* Which of the watch hooks, if any, the kernel refused. */
static const struct hook *refused_hook(const struct bpftune_host *host)
{
	for (size_t i = 0; i < host->n_hooks; i++)
		if (host->hooks[i].error)
			return &host->hooks[i];
	return NULL;
}

int bpf_open(struct bpftune_host *host, uint64_t host_cookie, int cgroup_fd, struct bpf_refusal *ret_refusal)
{
	const struct hook *hook;
	int err;

	*host = (struct bpftune_host){ .cookie = host_cookie, .cgroup_fd = cgroup_fd, .sweep_fd = -1, .netns_fd = -1 };
	for (int i = 0; i < N_SHARED; i++)
		host->shared_fds[i] = -1;
	if (access(KERNEL_BTF, R_OK) < 0)
		return refuse(ret_refusal, -EOPNOTSUPP,
			      "cannot read %s: %s (the kernel must be built with CONFIG_DEBUG_INFO_BTF)",
			      KERNEL_BTF, strerror(errno));
	err = load_what_works(host, BPFTUNE_FROM_WATCH, load_watch, NULL);
	if (!err) {
		load_what_works(host, BPFTUNE_FROM_OBSERVE, load_observe, NULL);
		return 0;
	}
	hook = refused_hook(host);
	if (hook)
		return refuse(ret_refusal, err == -EPERM ? -EPERM : -EOPNOTSUPP, "cannot load %s (%s): %s", hook->attach,
			      hook->program, bpf_hook_error(hook));
	return refuse(ret_refusal, err == -EPERM ? -EPERM : -EOPNOTSUPP, "cannot load BPF programs: %s (try --debug)",
		      strerror(-err));
}

void bpf_close(struct bpftune_host *host)
{
	for (size_t i = 0; i < host->n_hooks; i++)
		free_hook(&host->hooks[i]);
	for (size_t i = 0; i < BPFTUNE_TUNERS_MAX; i++)
		if (host->verdict_fds[i] > 0)
			close(host->verdict_fds[i]);
	for (size_t i = ARRAY_SIZE(host->own); i > 0; i--)
		bpf_object__close(host->own[i - 1]);
	free(host->hooks);
	*host = (struct bpftune_host){ 0 };
}
