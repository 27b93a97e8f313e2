// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/off_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "ipc/unshared.h"
#include "supervisor/changes/ledger_file.h"

#define FILE_BYTES_MAX (4 << 20)

/* --- rules -------------------------------------------------------------------------------------- */

static json_t *table_of(const struct off_rules *rules, const char *scope)
{
	return strcmp(scope, OFF_ALL) && strcmp(scope, OFF_HOST) ? rules->boot : rules->lasting;
}

bool off_rules_are_empty(const struct off_rules *rules)
{
	return !json_object_size(rules->boot) && !json_object_size(rules->lasting);
}

bool off_rules_has(const struct off_rules *rules, const char *scope, const char *tuner)
{
	return json_object_get(json_object_get(table_of(rules, scope), scope), tuner) != NULL;
}

static void note_change(struct off_rules *rules, const char *scope)
{
	if (table_of(rules, scope) == rules->boot)
		rules->boot_changed = true;
	else
		rules->lasting_changed = true;
}

void off_rules_add(struct off_rules *rules, const char *scope, const char *tuner)
{
	json_t *table = table_of(rules, scope);

	note_change(rules, scope);
	if (!json_object_get(table, scope))
		json_object_set_new(table, scope, json_object());
	json_object_set_new(json_object_get(table, scope), tuner, json_true());
}

void off_rules_remove(struct off_rules *rules, const char *scope, const char *tuner)
{
	json_t *tuners = json_object_get(table_of(rules, scope), scope);

	if (json_object_del(tuners, tuner) == 0)
		note_change(rules, scope);
	if (!json_object_size(tuners))
		json_object_del(table_of(rules, scope), scope);
}

bool off_rules_remove_scope(struct off_rules *rules, const char *scope)
{
	if (json_object_del(table_of(rules, scope), scope) < 0)
		return false;
	note_change(rules, scope);
	return true;
}

json_t *off_rules_scopes(const struct off_rules *rules)
{
	json_t *scopes = json_array(), *tuners;
	const char *scope;

	json_object_foreach(rules->boot, scope, tuners)
		json_array_append_new(scopes, json_string(scope));
	json_object_foreach(rules->lasting, scope, tuners)
		json_array_append_new(scopes, json_string(scope));
	return scopes;
}

/* --- files -------------------------------------------------------------------------------------- */

static bool is_table(json_t *table)
{
	const char *scope, *tuner;
	json_t *tuners, *value;

	json_object_foreach(table, scope, tuners) {
		if (!json_is_object(tuners))
			return false;
		json_object_foreach(tuners, tuner, value)
			if (!json_is_true(value))
				return false;
	}
	return json_is_object(table);
}

/* Takes the table out of a file's text. `boot_id` NULL: of any boot. */
static int parse(json_t *file, const char *boot_id, json_t **ret_table)
{
	const char *boot = json_string_value(json_object_get(file, "boot"));
	json_t *table = json_object_get(file, "off");

	if (!is_table(table) || (boot_id && !boot))
		return -EBADMSG;
	*ret_table = boot_id && strcmp(boot, boot_id) != 0 ? json_object() : json_incref(table);
	return *ret_table ? 0 : -ENOMEM;
}

static int read_table(const char *path, const char *boot_id, json_t **ret_table)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	json_t *file;
	int err;

	if (fd < 0 && errno == ENOENT) {
		*ret_table = json_object();
		return *ret_table ? 0 : -ENOMEM;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return -EPERM;
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX)
		return -EBADMSG;
	file = json_loadfd(fd, JSON_REJECT_DUPLICATES, NULL);
	err = parse(file, boot_id, ret_table);
	json_decref(file);
	return err;
}

int off_rules_open(struct off_rules *rules, const char *run_dir, const char *state_dir, const char **ret_path)
{
	char boot_id[64];
	int err;

	*rules = (struct off_rules){ 0 };
	*ret_path = run_dir;
	if (asprintf(&rules->boot_path, "%s/off", run_dir) < 0)
		rules->boot_path = NULL;
	if (asprintf(&rules->lasting_path, "%s/off-always", state_dir) < 0)
		rules->lasting_path = NULL;
	if (!rules->boot_path || !rules->lasting_path)
		return -ENOMEM;
	err = ledger_file_read_boot_id(boot_id);
	if (err)
		return err;
	*ret_path = rules->boot_path;
	err = read_table(rules->boot_path, boot_id, &rules->boot);
	if (err)
		return err;
	*ret_path = rules->lasting_path;
	return read_table(rules->lasting_path, NULL, &rules->lasting);
}

void off_rules_close(struct off_rules *rules)
{
	free(rules->boot_path);
	free(rules->lasting_path);
	json_decref(rules->boot);
	json_decref(rules->lasting);
	*rules = (struct off_rules){ 0 };
}

/* The directory of that file, and those above. What cannot be made shows when the file is opened. */
static void make_directories(const char *path)
{
	char directory[4096];

	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path);
		mkdir(directory, 0755);
	}
}

static int write_text(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	size_t size = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, size);
	if (n != (ssize_t)size)
		return n < 0 ? -errno : -ENOSPC;
	/* Else a machine that loses power may find the new name without the text. Nobody waits but who called "off". */
	return fsync(fd) < 0 ? -errno : 0;
}

/* A new file takes the place of the old one, at once or not at all. Takes the reference. */
static int write_file(const char *path, json_t *file)
{
	_cleanup_json_text_ char *text = file ? json_dumps(file, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
	char new_path[4096];
	int err;

	json_decref(file);
	if (!text)
		return -ENOMEM;
	if ((size_t)snprintf(new_path, sizeof(new_path), "%s.new", path) >= sizeof(new_path))
		return -ENAMETOOLONG;
	make_directories(path);
	unlink(new_path); /* whatever it is, nothing is written through it */
	err = write_text(new_path, text);
	if (!err && rename(new_path, path) < 0)
		err = -errno;
	if (err)
		unlink(new_path);
	return err;
}

static int save(const char *path, json_t *table, const char *boot_id)
{
	if (!json_object_size(table))
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	return write_file(path, json_pack("{s:s* s:O}", "boot", boot_id, "off", table));
}

int off_rules_save(struct off_rules *rules, const char **ret_path)
{
	char boot_id[64];
	int err = ledger_file_read_boot_id(boot_id), lasting_err = 0;

	if (!err && rules->boot_changed)
		err = save(rules->boot_path, rules->boot, boot_id);
	if (rules->lasting_changed)
		lasting_err = save(rules->lasting_path, rules->lasting, NULL);
	rules->boot_changed &= err != 0;
	rules->lasting_changed &= lasting_err != 0;
	*ret_path = err ? rules->boot_path : rules->lasting_path;
	return err ? err : lasting_err;
}
