// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/workers/kit.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK_BYTES (256 * 1024)

/* At the end of the mapping, above the stack. */
struct kit {
	char *mapping;
	size_t bytes;
	const void *parents_stack;
	unsigned int n_fds; /* what is not below is another's */
	struct worker_start start;
	struct bpftune view;
	struct bpftune_memory memories[]; /* of the tuners by number, of each by kind; then texts, and what memories have */
};

static struct bpftune_memory remembered(const struct child *child, size_t i)
{
	const struct workers *workers = child->workers;

	return workers->listener.remembered(workers->arg, &child->instance->view, i / N_BPFTUNE_MEMORY_KINDS,
					    i % N_BPFTUNE_MEMORY_KINDS);
}

static void *copy(char **at, const void *data, size_t bytes)
{
	char *from = *at;

	*at += bytes;
	return bytes ? memcpy(from, data, bytes) : from;
}

static void fill(struct kit *kit, const struct child *child, size_t n)
{
	const struct bpftune *view = &child->instance->view;
	char *at = (char *)(kit->memories + n);

	kit->view = *view;
	kit->view.name = copy(&at, view->name, strlen(view->name) + 1);
	kit->view.cgroup_path = copy(&at, view->cgroup_path, strlen(view->cgroup_path) + 1);
	kit->view.memory_pages = cgroupfs_memory_pages(&child->workers->kernel->cgroupfs, view->cgroup_path);
	for (size_t i = 0; i < n; i++) {
		kit->memories[i] = remembered(child, i);
		kit->memories[i].data = copy(&at, kit->memories[i].data, kit->memories[i].size);
	}
}

static struct kit *map(size_t bytes)
{
	size_t page = sysconf(_SC_PAGESIZE), stack = page + STACK_BYTES, whole = stack + (bytes + page - 1) / page * page;
	char *mapping = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK,
			     -1, 0);
	struct kit *kit = (struct kit *)(mapping + stack);

	if (mapping == MAP_FAILED)
		return NULL;
	mprotect(mapping, page, PROT_NONE); /* no stack grows into what is below */
	kit->mapping = mapping;
	kit->bytes = whole;
	return kit;
}

struct kit *kit_new(const struct child *child, bool enters)
{
	const struct workers *workers = child->workers;
	const struct bpftune *view = &child->instance->view;
	const int *fds = child->slot->fds;
	size_t n = workers->kernel->plugins.n * N_BPFTUNE_MEMORY_KINDS;
	size_t bytes = sizeof(struct kit) + n * sizeof(struct bpftune_memory) + strlen(view->name) + 1 +
		       strlen(view->cgroup_path) + 1;
	struct kit *kit;

	for (size_t i = 0; i < n; i++)
		bytes += remembered(child, i).size;
	kit = map(bytes);
	if (!kit)
		return NULL;
	fill(kit, child, n);
	kit->parents_stack = workers->stack;
	kit->n_fds = fds[N_WORKER_FDS - 1] + 1;
	kit->start = (struct worker_start){
		.instance = &kit->view,
		.tuners = workers->kernel->plugins.tuners,
		.n_tuners = workers->kernel->plugins.n,
		.fds = { fds[WORKER_EVENTS], fds[WORKER_REPORTS], fds[WORKER_SYSCTLS], enters ? fds[WORKER_NETNS] : -1 },
		.supervisor = getpid(),
		.confinement = &workers->confinement,
		.memories = kit->memories,
		.dry_run = workers->dry_run,
	};
	return kit;
}

static void run(void *arg)
{
	const struct kit *kit = arg;

	worker_main(&kit->start);
}

pid_t kit_start(struct kit *kit)
{
	const struct task_stack stack = { kit, kit->parents_stack };
	pid_t pid = task_start(kit->n_fds, &stack, run, kit);

	return pid < 0 ? -errno : pid;
}

void kit_free(struct kit *kit)
{
	munmap(kit->mapping, kit->bytes);
}
