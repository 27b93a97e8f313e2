// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/plugin.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/cleanup.h"
#include "ipc/log.h"
#include "worker/sysctl.h"

#define OTHER_ABI "built for another version of bpftune; rebuild it against the installed headers"

static int is_shared_object(const struct dirent *entry)
{
	return plugin_file_is_tuner(entry->d_name);
}

/* Names are what status and logs are made of. */
static bool is_complete(const struct bpftune_tuner *tuner)
{
	bool complete = tuner->name && tuner->summary;

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

	if (sysctl_path(a->name, path_a, sizeof(path_a)) < 0 || sysctl_path(b->name, path_b, sizeof(path_b)) < 0)
		return !strcmp(a->name, b->name);
	return !strcmp(path_a, path_b);
}

bool plugins_is_removed(const struct plugins *plugins, uint16_t number)
{
	return plugins->states[number] == PLUGIN_REMOVED;
}

bool plugins_is_owner(const struct plugins *plugins, uint16_t number, size_t tunable)
{
	const struct bpftune_tunable *mine = &plugins->tuners[number]->tunables[tunable];

	if (!plugins_is_removed(plugins, number))
		return true;
	for (size_t i = number + 1; i < plugins->n; i++)
		for (size_t j = 0; j < plugins->tuners[i]->n_tunables; j++)
			if (is_same(&plugins->tuners[i]->tunables[j], mine))
				return false;
	return true;
}

const struct bpftune_tunable *plugins_find_owned(const struct plugins *plugins, const struct bpftune_tuner *tuner,
						 const struct bpftune_tuner **ret_owner)
{
	for (size_t i = 0; i < plugins->n; i++)
		for (size_t j = 0; !plugins_is_removed(plugins, i) && j < plugins->tuners[i]->n_tunables; j++)
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
		if (!plugins_is_removed(plugins, i) && !strcmp(plugins->tuners[i]->name, name))
			return true;
	return false;
}

/* One tunable, one owner: the first that claims it; and one name a tuner. NULL: it is the first. */
static const char *find_conflict(const struct plugins *plugins, const struct bpftune_tuner *tuner, char *text,
				 size_t size)
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

/* --- refused files ------------------------------------------------------------------------------ */

static void free_refused(struct plugin_refused *refused)
{
	free(refused->path);
	free(refused->why);
}

void plugins_forget_refused(struct plugins *plugins, const char *path)
{
	for (size_t i = 0; i < plugins->n_refused; i++) {
		struct plugin_refused *refused = &plugins->refused[i];

		if (strcmp(refused->path, path) != 0)
			continue;
		free_refused(refused);
		*refused = plugins->refused[--plugins->n_refused];
		return;
	}
}

static const char *refuse(struct plugins *plugins, const char *path, const char *why)
{
	struct plugin_refused *grown = realloc(plugins->refused, (plugins->n_refused + 1) * sizeof(*grown));
	struct plugin_refused refused = { strdup(path), strdup(why) };

	if (grown)
		plugins->refused = grown;
	if (!grown || !refused.path || !refused.why) {
		free_refused(&refused);
		return strerror(ENOMEM);
	}
	plugins->refused[plugins->n_refused++] = refused;
	return refused.why;
}

/* --- files -------------------------------------------------------------------------------------- */

/* What is loaded is a copy: a file may be written over, and then what is mapped of it changes, or ends. */
static int open_copy(const char *path, struct plugin_file *ret_file, char *ret_why, size_t size)
{
	_cleanup_close_ int fd = plugin_file_open(path, ret_file, ret_why, size);
	const char *slash = strrchr(path, '/');
	int copy = fd < 0 ? -1 : plugin_file_copy(fd, slash ? slash + 1 : path);

	return copy >= 0 || fd < 0 ? copy : take_fd(&fd);
}

/* What can be said before any code of the file runs. NULL: it is a tuner for this supervisor. */
static const char *check_file(int fd, struct bpftune_note *ret_note)
{
	switch (plugin_file_note(fd, ret_note)) {
	case 0:
		return ret_note->abi == BPFTUNE_ABI ? NULL : OTHER_ABI;
	case -ENOENT:
		return "it has no note of bpftune's: it is no tuner, or " OTHER_ABI;
	default:
		return "it is no whole shared object for this machine";
	}
}

static const char *check_tuner(const struct plugins *plugins, const struct bpftune_tuner *tuner,
			       const struct bpftune_note *note, char *text, size_t size)
{
	if (!is_complete(tuner))
		return "its name, a summary, or the name of a tunable or scenario is missing";
	if (strcmp(tuner->name, note->name) != 0)
		return "the tuner has another name than its note says";
	return find_conflict(plugins, tuner, text, size);
}

/* By a name that no other file has while the descriptor is open: the linker looks a name up among what it has loaded.
 */
static void *load(int fd, char *ret_why, size_t size)
{
	char name[64];
	void *handle;

	snprintf(name, sizeof(name), "/proc/%d/fd/%d", getpid(), fd);
	handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		const char *error = dlerror();
		size_t n = strlen(name);

		log_escape(strncmp(error, name, n) ? error : error + n + strspn(error + n, ": "), ret_why, size);
	}
	return handle;
}

/* NULL: taken; else what is wrong with it. What was loaded stays so: nobody knows what its code has begun. */
static const char *open_one(struct plugins *plugins, const char *path, char *text, size_t size)
{
	struct plugin_file file;
	struct bpftune_note note;
	_cleanup_close_ int fd = open_copy(path, &file, text, size);
	const struct bpftune_tuner *tuner;
	const char *wrong;
	void *handle;
	char *kept;

	if (fd < 0)
		return text;
	wrong = check_file(fd, &note);
	if (!wrong && plugins->n == BPFTUNE_TUNERS_MAX)
		wrong = "64 tuners were loaded since the supervisor's start, the most there may be";
	if (wrong)
		return wrong;
	handle = load(fd, text, size);
	tuner = handle ? dlsym(handle, "bpftune_tuner") : NULL;
	wrong = tuner ? check_tuner(plugins, tuner, &note, text, size) : handle ? "it exports no bpftune_tuner" : text;
	kept = wrong ? NULL : strdup(path);
	if (!kept) {
		if (handle)
			take_fd(&fd);
		return wrong ? wrong : strerror(ENOMEM);
	}
	plugins->tuners[plugins->n] = tuner;
	plugins->handles[plugins->n] = handle;
	plugins->files[plugins->n] = file;
	plugins->fds[plugins->n] = take_fd(&fd);
	plugins->paths[plugins->n++] = kept;
	return NULL;
}

const char *plugins_add(struct plugins *plugins, const char *dir, const char *name)
{
	char path[PATH_MAX], text[PATH_MAX + 256];
	const char *wrong;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	plugins_forget_refused(plugins, path);
	wrong = open_one(plugins, path, text, sizeof(text));
	return wrong ? refuse(plugins, path, wrong) : NULL;
}

int plugins_open(struct plugins *plugins, const char *dir, void (*complain)(void *arg, const char *text), void *arg)
{
	struct dirent **entries;
	int n = scandir(dir, &entries, is_shared_object, alphasort);

	*plugins = (struct plugins){ 0 };
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		const char *wrong = plugins_add(plugins, dir, entries[i]->d_name);
		char text[3 * PATH_MAX];

		if (wrong) {
			snprintf(text, sizeof(text), "cannot use tuner %s/%s: %s", dir, entries[i]->d_name, wrong);
			complain(arg, text);
		}
		free(entries[i]);
	}
	free(entries);
	return 0;
}

/* --- what becomes of them ----------------------------------------------------------------------- */

const char *plugin_state_name(enum plugin_state state)
{
	static const char *const names[] = {
		[PLUGIN_ACTIVE] = "active",
		[PLUGIN_REPLACED] = "replaced",
		[PLUGIN_REMOVED] = "removed",
		[PLUGIN_REFUSED] = "refused",
	};

	return names[state];
}

int plugins_find_path(const struct plugins *plugins, const char *path)
{
	for (size_t i = 0; i < plugins->n; i++)
		if (!plugins_is_removed(plugins, i) && !strcmp(plugins->paths[i], path))
			return i;
	return -1;
}

void plugins_remove(struct plugins *plugins, uint16_t number)
{
	const struct bpftune_tuner *tuner = plugins->tuners[number];

	plugins->states[number] = PLUGIN_REMOVED;
	plugins->whys[number] = "its file was removed; 'bpftune rollback' puts its values back";
	plugins->husks[number] = (struct bpftune_tuner){
		.name = tuner->name,
		.summary = tuner->summary,
		.tunables = tuner->tunables,
		.n_tunables = tuner->n_tunables,
	};
	plugins->tuners[number] = &plugins->husks[number];
}

/* What is wrong with the file that is in a tuner's place; NULL: nothing. */
static const char *check_replacement(const char *path)
{
	char why[PATH_MAX + 256];
	struct plugin_file file;
	struct bpftune_note note;
	_cleanup_close_ int fd = plugin_file_open(path, &file, why, sizeof(why));

	return fd < 0 ? "replaced on disk by a file that is not root's alone, or cannot be opened"
		      : check_file(fd, &note);
}

bool plugins_compare(struct plugins *plugins, uint16_t number, const struct plugin_file *now)
{
	enum plugin_state before = plugins->states[number];
	const char *why = plugins->whys[number], *wrong;

	if (plugin_file_is_same(&plugins->files[number], now)) {
		plugins->states[number] = PLUGIN_ACTIVE;
		plugins->whys[number] = NULL;
		return before != PLUGIN_ACTIVE;
	}
	wrong = check_replacement(plugins->paths[number]);
	plugins->states[number] = PLUGIN_REPLACED;
	plugins->whys[number] = wrong ? wrong : "replaced on disk: the new one is loaded at the next start";
	return before != PLUGIN_REPLACED || plugins->whys[number] != why;
}

void plugins_close(struct plugins *plugins)
{
	for (size_t i = 0; i < plugins->n; i++) {
		free(plugins->paths[i]);
		dlclose(plugins->handles[i]);
		close(plugins->fds[i]);
	}
	for (size_t i = 0; i < plugins->n_refused; i++)
		free_refused(&plugins->refused[i]);
	free(plugins->refused);
	*plugins = (struct plugins){ 0 };
}
