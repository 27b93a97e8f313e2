// SPDX-License-Identifier: GPL-2.0-or-later
/* Tuners come and go with their files. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "supervisor/kernel/kernel.h"

/* A file is opened when it is whole: closed by its writer, or moved here. A link is made whole. */
#define FILE_EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE)
#define DIR_EVENTS (IN_DELETE_SELF | IN_MOVE_SELF)

static void tell(const struct tuner_dir *dir, int severity, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void tell(const struct tuner_dir *dir, int severity, const char *format, ...)
{
	char text[3 * PATH_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	dir->tell(dir->arg, severity, text);
}

static void complain(void *arg, const char *text)
{
	tell(arg, LOG_WARNING, "%s", text);
}

/* --- what has news ------------------------------------------------------------------------------ */

static void note(struct tuner_dir *dir, const char *name)
{
	for (size_t i = 0; i < dir->n_names; i++)
		if (!strcmp(dir->names[i], name))
			return;
	if (dir->n_names < TUNER_DIR_NAMES_MAX)
		dir->names[dir->n_names] = strdup(name);
	if (dir->n_names < TUNER_DIR_NAMES_MAX && dir->names[dir->n_names])
		dir->n_names++;
	else
		dir->all = true;
}

static void forget_names(struct tuner_dir *dir)
{
	while (dir->n_names)
		free(dir->names[--dir->n_names]);
	dir->all = false;
}

static void note_files(struct tuner_dir *dir)
{
	_cleanup_closedir_ DIR *files = opendir(dir->path);
	const struct dirent *entry;

	while (files && (entry = readdir(files)))
		if (plugin_file_is_tuner(entry->d_name) && dir->n_names < TUNER_DIR_NAMES_MAX)
			note(dir, entry->d_name);
}

/* --- what is done about it ---------------------------------------------------------------------- */

static bool is_gone(const char *path, struct plugin_file *ret_file)
{
	int err = plugin_file_identify(path, ret_file);

	return err == -ENOENT || err == -ENOTDIR;
}

static uint64_t remove_tuners(struct tuner_dir *dir)
{
	const struct plugins *plugins = &dir->kernel->plugins;
	struct plugin_file file;
	uint64_t removed = 0;

	for (size_t i = 0; i < plugins->n; i++) {
		if (plugins_is_removed(plugins, i) || !is_gone(plugins->paths[i], &file))
			continue;
		kernel_remove_tuner(dir->kernel, i);
		removed |= 1ULL << i;
		tell(dir, LOG_NOTICE,
		     "tuner %s is removed, as %s is: its programs are detached; its values stay until 'bpftune rollback'",
		     plugins->tuners[i]->name, plugins->paths[i]);
	}
	return removed;
}

/* Whether it is a tuner more. */
static bool look_at(struct tuner_dir *dir, const char *name)
{
	struct plugins *plugins = &dir->kernel->plugins;
	struct plugin_file file;
	char path[PATH_MAX];
	int number;

	snprintf(path, sizeof(path), "%s/%s", dir->path, name);
	number = plugins_find_path(plugins, path);
	if (plugin_file_identify(path, &file) < 0) {
		plugins_forget_refused(plugins, path);
		return false;
	}
	if (number < 0) {
		if (!kernel_add_tuner(dir->kernel, dir->path, name, complain, dir))
			return false;
		tell(dir, LOG_NOTICE, "tuner %s is added: %s", plugins->tuners[plugins->n - 1]->name, path);
		return true;
	}
	if (plugins_compare(plugins, number, &file))
		tell(dir, LOG_NOTICE, "tuner %s goes on as it was loaded; %s: %s", plugins->tuners[number]->name, path,
		     plugins->whys[number] ? plugins->whys[number] : "the file is back");
	return false;
}

static int watch(struct tuner_dir *dir)
{
	int before = dir->watch, err;

	dir->watch = inotify_add_watch(dir->fd, dir->path, FILE_EVENTS | DIR_EVENTS | IN_ONLYDIR);
	err = dir->watch < 0 ? -errno : 0;
	if (before >= 0 && before != dir->watch)
		inotify_rm_watch(dir->fd, before);
	return err;
}

static void on_due(uv_timer_t *timer)
{
	struct tuner_dir *dir = timer->data;
	uint64_t added = 0, removed;
	int err = watch(dir); /* the same watch, unless it is another directory by now */

	if (err) {
		tell(dir, LOG_WARNING,
		     "the tuners' directory %s is gone (%s): tuners stay as they are until the next start", dir->path,
		     strerror(-err));
		forget_names(dir);
		return;
	}
	removed = remove_tuners(dir);
	if (dir->all || removed) /* what a removed one owned is free for another, that was refused */
		note_files(dir);
	for (size_t i = 0; i < dir->n_names; i++)
		if (look_at(dir, dir->names[i]))
			added |= 1ULL << (dir->kernel->plugins.n - 1);
	forget_names(dir);
	if (added | removed)
		dir->changed(dir->arg, added, removed);
}

/* --- events ------------------------------------------------------------------------------------- */

/* A new file is empty, until its writer closes it; a link to one is not. */
static bool is_link(const struct tuner_dir *dir, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir->path, name);
	return lstat(path, &st) == 0 && (S_ISLNK(st.st_mode) || st.st_nlink > 1);
}

static void take_event(struct tuner_dir *dir, const struct inotify_event *event)
{
	if (event->mask & (DIR_EVENTS | IN_Q_OVERFLOW | IN_IGNORED))
		dir->all = true;
	else if (event->len && plugin_file_is_tuner(event->name) &&
		 (!(event->mask & IN_CREATE) || is_link(dir, event->name)))
		note(dir, event->name);
}

static void on_events(uv_poll_t *poll, int status, int events)
{
	struct tuner_dir *dir = poll->data;
	char buffer[16 * (sizeof(struct inotify_event) + NAME_MAX + 1)]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *event;
	ssize_t n = read(dir->fd, buffer, sizeof(buffer));

	(void)status, (void)events;
	for (ssize_t at = 0; at < n; at += sizeof(*event) + event->len) {
		event = (const struct inotify_event *)(buffer + at);
		take_event(dir, event);
	}
	if ((dir->n_names || dir->all) && !uv_is_active((uv_handle_t *)&dir->due))
		uv_timer_start(&dir->due, on_due, TUNER_DIR_WAIT_MS, 0);
}

/* --- start and end ------------------------------------------------------------------------------ */

void tuner_dir_start(struct tuner_dir *dir)
{
	int err;

	dir->watch = -1;
	dir->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	err = dir->fd < 0 ? -errno : watch(dir);
	uv_timer_init(dir->loop, &dir->due);
	dir->due.data = dir;
	if (!err)
		err = uv_poll_init(dir->loop, &dir->poll, dir->fd);
	dir->poll.data = dir;
	if (!err)
		err = uv_poll_start(&dir->poll, UV_READABLE, on_events);
	if (err)
		tell(dir, LOG_WARNING, "cannot watch the tuners' directory %s: %s: tuners stay those of the start",
		     dir->path, strerror(-err));
}

static void close_if_open(uv_handle_t *handle)
{
	if (handle->loop && !uv_is_closing(handle))
		uv_close(handle, NULL);
}

void tuner_dir_stop(struct tuner_dir *dir)
{
	close_if_open((uv_handle_t *)&dir->poll);
	close_if_open((uv_handle_t *)&dir->due);
	forget_names(dir);
	close_fdp(&dir->fd);
}
