// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/plugin.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/sysctl.h"

static int is_shared_object(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return n > 3 && !strcmp(entry->d_name + n - 3, ".so");
}

/* Names are what status and logs are made of. */
static bool is_complete(const struct bpftune_tuner *tuner)
{
	bool complete = tuner->name && tuner->summary && tuner->event;

	for (size_t i = 0; complete && i < tuner->n_tunables; i++)
		complete = tuner->tunables[i].name && tuner->tunables[i].n_ints <= BPFTUNE_INTS_MAX;
	for (size_t i = 0; complete && i < tuner->n_scenarios; i++)
		complete = tuner->scenarios[i].name && tuner->scenarios[i].because;
	return complete;
}

/* Two names of one sysctl: net.ipv4.tcp_wmem, net/ipv4/tcp_wmem. */
static bool is_same(const struct bpftune_tunable *a, const struct bpftune_tunable *b)
{
	char path_a[256], path_b[256];

	if (a->kind != b->kind)
		return false;
	if (a->kind != BPFTUNE_SYSCTL || sysctl_path(a->name, path_a, sizeof(path_a)) < 0 ||
	    sysctl_path(b->name, path_b, sizeof(path_b)) < 0)
		return !strcmp(a->name, b->name);
	return !strcmp(path_a, path_b);
}

const struct bpftune_tunable *plugins_find_owned(const struct plugins *plugins, const struct bpftune_tuner *tuner,
						 const struct bpftune_tuner **ret_owner)
{
	for (size_t i = 0; i < plugins->n; i++)
		for (size_t j = 0; j < plugins->tuners[i]->n_tunables; j++)
			for (size_t k = 0; k < tuner->n_tunables; k++)
				if (is_same(&plugins->tuners[i]->tunables[j], &tuner->tunables[k])) {
					*ret_owner = plugins->tuners[i];
					return &tuner->tunables[k];
				}
	return NULL;
}

static bool has_name(const struct plugins *plugins, const char *name)
{
	for (size_t i = 0; i < plugins->n; i++)
		if (!strcmp(plugins->tuners[i]->name, name))
			return true;
	return false;
}

/* One tunable, one owner: the first that claims it; and one name a tuner. NULL: it is the first. */
static const char *find_conflict(const struct plugins *plugins, const struct bpftune_tuner *tuner, char *text, size_t size)
{
	const struct bpftune_tuner *owner;
	const struct bpftune_tunable *tunable = plugins_find_owned(plugins, tuner, &owner);

	if (has_name(plugins, tuner->name))
		snprintf(text, size, "there is a tuner %s already; remove one of them", tuner->name);
	else if (tunable)
		snprintf(text, size, "tuner %s would own %s, which tuner %s owns; remove one of them", tuner->name,
			 tunable->name, owner->name);
	else
		return NULL;
	return text;
}

/* NULL: taken; else what is wrong with it. */
static const char *open_one(struct plugins *plugins, const char *path, char *text, size_t size)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const struct bpftune_tuner *tuner = handle ? dlsym(handle, "bpftune_tuner") : NULL;
	const char *wrong = NULL;

	if (!tuner)
		wrong = dlerror();
	else if (tuner->abi != BPFTUNE_ABI)
		wrong = "built for another version of bpftune; rebuild it against the installed headers";
	else if (!is_complete(tuner))
		wrong = "its name, a summary, its event handler, or the name of a tunable or scenario is missing";
	else if (plugins->n == BPFTUNE_TUNERS_MAX)
		wrong = "too many tuners";
	else
		wrong = find_conflict(plugins, tuner, text, size);
	if (wrong)
		return wrong; /* dlerror()'s text lives in the handle's error state: it is left open */
	plugins->tuners[plugins->n] = tuner;
	plugins->handles[plugins->n] = handle;
	plugins->paths[plugins->n++] = strdup(path);
	return NULL;
}

int plugins_open(struct plugins *plugins, const char *dir, void (*complain)(void *arg, const char *text), void *arg)
{
	struct dirent **entries;
	int n = scandir(dir, &entries, is_shared_object, alphasort);

	*plugins = (struct plugins){ 0 };
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		char path[4096], text[8192], conflict[1024];
		const char *wrong;

		snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
		wrong = open_one(plugins, path, conflict, sizeof(conflict));
		if (wrong) {
			snprintf(text, sizeof(text), "cannot use tuner %s: %s", path, wrong);
			complain(arg, text);
		}
		free(entries[i]);
	}
	free(entries);
	return 0;
}

void plugins_close(struct plugins *plugins)
{
	for (size_t i = 0; i < plugins->n; i++) {
		free(plugins->paths[i]);
		dlclose(plugins->handles[i]);
	}
	*plugins = (struct plugins){ 0 };
}
