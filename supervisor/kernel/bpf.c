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

#include "bpf/watch.skel.h"
#include "ipc/cleanup.h"

#define KERNEL_BTF "/sys/kernel/btf/vmlinux"

static const char *const shared_names[N_SHARED] = {
	[SHARED_EVENTS] = "events",
	[SHARED_GATES] = "gates",
	[SHARED_LOST] = "lost",
};

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
	int error = hook->error ? hook->error : hook->refusal;

	switch (error) {
	case 0:
		return NULL;
	case -EPERM:
	case -EACCES:
		if (!hook->error)
			return "refused: another program is attached there that allows none besides it";
		return "refused: needs CAP_SYS_ADMIN (or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN), or the kernel is locked down";
	case -E2BIG:
		return "too many programs are attached there";
	case -ENOENT:
		return "this kernel has no such tracepoint";
	default:
		return strerror(-error);
	}
}

/* --- load and attach ---------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && !strcmp(text + n - m, end);
}

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
		.tuner = host->loading,
		.of_containers = ends_with(program, "_container"),
	};
	if (asprintf(&hook->attach, "%s%s", section, hook->of_containers ? " (each container)" : "") < 0)
		hook->attach = NULL;
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
		struct bpf_map *map = bpf_object__find_map_by_name(object, shared_names[i]);

		if (map && host->shared_fds[i] >= 0)
			err = bpf_map__reuse_fd(map, host->shared_fds[i]);
	}
	bpf_object__for_each_program(program, object) {
		const char *name = bpf_program__name(program);
		struct hook *hook = is_hook(program) ? hook_get(host, name, bpf_program__section_name(program)) : NULL;

		if (host->trial)
			bpf_program__set_autoload(program, !strcmp(name, host->trial));
		else if (hook && hook->error)
			bpf_program__set_autoload(program, false);
	}
	return err;
}

static void attach(struct bpftune_host *host, struct bpf_program *program)
{
	const char *section = bpf_program__section_name(program);
	struct hook *hook = hook_get(host, bpf_program__name(program), section);
	bool on_cgroup = !strncmp(section, "cgroup/", 7) || !strcmp(section, "sockops");

	if (!hook || hook->error)
		return;
	hook->bpf_program = program;
	if (hook->of_containers)
		return;
	hook->link = on_cgroup ? bpf_program__attach_cgroup(program, host->cgroup_fd) : bpf_program__attach(program);
	if (!hook->link)
		hook->error = -errno;
}

int bpftune_host_load(struct bpftune_host *host, struct bpf_object *object)
{
	const struct bpf_map *verdicts = bpf_object__find_map_by_name(object, "verdicts");
	struct bpf_object **objects;
	struct bpf_program *program;
	int err;

	if (verdicts && (bpf_map__key_size(verdicts) != sizeof(struct bpftune_verdict_key) ||
			 bpf_map__value_size(verdicts) != sizeof(((struct bpftune_verdict *)0)->value))) {
		bpf_object__close(object);
		return -EINVAL;
	}
	err = prepare(host, object);
	if (!err)
		err = bpf_object__load(object);
	if (err || host->trial) {
		bpf_object__close(object);
		return err;
	}
	objects = realloc(host->objects, (host->n_objects + 1) * sizeof(*objects));
	if (!objects) {
		bpf_object__close(object);
		return -ENOMEM;
	}
	host->objects = objects;
	host->objects[host->n_objects++] = object;
	if (host->loading < BPFTUNE_TUNERS_MAX && verdicts)
		host->verdict_fds[host->loading] = bpf_map__fd(verdicts);
	bpf_object__for_each_program(program, object)
		if (is_hook(program))
			attach(host, program);
	for (size_t i = 0; i < host->n_hooks; i++)
		if (host->hooks[i].of_containers && host->hooks[i].tuner == host->loading)
			host->hooks[i].instance_ids_fd = bpf_object__find_map_fd_by_name(object, "instance_ids");
	return 0;
}

uint64_t bpftune_host_cookie(const struct bpftune_host *host)
{
	return host->cookie;
}

/* NULL, with errno. */
static struct bpf_link *attach_container(const struct hook *hook, int cgroup_fd, uint64_t cgroup_id, uint64_t instance)
{
	/* An attachment of its own kind: include/uapi/linux/bpf.h. */
	struct bpf_cgroup_storage_key key;
	struct bpf_link *link = bpf_program__attach_cgroup(hook->bpf_program, cgroup_fd);
	int err;

	memset(&key, 0, sizeof(key)); /* its padding is part of it */
	key.cgroup_inode_id = cgroup_id;
	key.attach_type = BPF_CGROUP_SOCK_OPS;
	err = link ? bpf_map_update_elem(hook->instance_ids_fd, &key, &instance, BPF_ANY) : 0;
	if (err < 0) {
		bpf_link__destroy(link);
		errno = -err;
		return NULL;
	}
	return link;
}

void bpf_attach_container(struct bpftune_host *host, int cgroup_fd, uint64_t instance, struct bpf_link ***ret_links,
			  size_t *ret_n, void (*refused)(void *arg, const struct hook *hook), void *arg)
{
	struct stat st;

	if (fstat(cgroup_fd, &st) < 0)
		return;
	for (size_t i = 0; i < host->n_hooks; i++) {
		struct hook *hook = &host->hooks[i];
		struct bpf_link *link, **links;
		int before = hook->refusal;

		if (!hook->of_containers || hook->error)
			continue;
		links = realloc(*ret_links, (*ret_n + 1) * sizeof(*links));
		if (links)
			*ret_links = links;
		link = links ? attach_container(hook, cgroup_fd, st.st_ino, instance) : NULL;
		if (link) {
			links[(*ret_n)++] = link;
			continue;
		}
		hook->refusals++;
		hook->refusal = -errno;
		if (hook->refusal != before)
			refused(arg, hook);
	}
}

void bpf_detach_container(struct bpf_link ***links, size_t *n)
{
	for (size_t i = 0; i < *n; i++)
		bpf_link__destroy((*links)[i]);
	free(*links);
	*links = NULL;
	*n = 0;
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

static int load_watch(struct bpftune_host *host, const void *arg)
{
	struct watch_bpf *skel = watch_bpf__open();
	struct bpf_object *object;
	int err;

	(void)arg;
	if (!skel)
		return -errno;
	skel->rodata->host_cookie = host->cookie;
	object = take_ptr(skel->obj);
	err = bpftune_host_load(host, object);
	watch_bpf__destroy(skel);
	if (err || host->trial)
		return err;
	for (int i = 0; i < N_SHARED; i++)
		host->shared_fds[i] = bpf_object__find_map_fd_by_name(object, shared_names[i]);
	host->netns_fd = bpf_object__find_map_fd_by_name(object, "netns");
	host->unsighted_fd = bpf_object__find_map_fd_by_name(object, "unsighted");
	host->host_cgroups_fd = bpf_object__find_map_fd_by_name(object, "host_cgroups");
	host->paired_fd = bpf_object__find_map_fd_by_name(object, "paired");
	host->owned_fd = bpf_object__find_map_fd_by_name(object, "owned_sysctls");
	host->own_pids_fd = bpf_object__find_map_fd_by_name(object, "own_pids");
	host->taken_fd = bpf_object__find_map_fd_by_name(object, "taken");
	host->sweep_fd = bpf_program__fd(bpf_object__find_program_by_name(object, "watch_sweep"));
	return 0;
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
	if (!err)
		return 0;
	hook = refused_hook(host);
	if (hook)
		return refuse(ret_refusal, err == -EPERM ? -EPERM : -EOPNOTSUPP, "cannot load %s (%s): %s", hook->attach,
			      hook->program, bpf_hook_error(hook));
	return refuse(ret_refusal, err == -EPERM ? -EPERM : -EOPNOTSUPP, "cannot load BPF programs: %s (try --debug)",
		      strerror(-err));
}

void bpf_close(struct bpftune_host *host)
{
	for (size_t i = 0; i < host->n_hooks; i++) {
		bpf_link__destroy(host->hooks[i].link);
		free(host->hooks[i].program);
		free(host->hooks[i].attach);
	}
	for (size_t i = host->n_objects; i > 0; i--)
		bpf_object__close(host->objects[i - 1]);
	free(host->hooks);
	free(host->objects);
	*host = (struct bpftune_host){ 0 };
}
