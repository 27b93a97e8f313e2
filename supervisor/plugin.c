// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/plugin.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* NULL: taken; else what is wrong with it. */
static const char *open_one(struct plugins *plugins, const char *path)
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
		char path[4096], text[8192];
		const char *wrong;

		snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
		wrong = open_one(plugins, path);
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
