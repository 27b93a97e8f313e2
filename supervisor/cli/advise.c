// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/advise.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "ipc/exit.h"
#include "ipc/log.h"
#include "supervisor/cli/ask.h"

/* sysctl.d(5): the earlier one has precedence. */
static const char *const directories[] = { "/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d",
					   "/usr/lib/sysctl.d", "/lib/sysctl.d" };
/* sysctl(8) reads it last; systemd only if a link of a directory leads there. */
static const char last_file[] = "/etc/sysctl.conf";

static int say_unread(const char *path, int error)
{
	char shown[4096];

	log_escape(path, shown, sizeof(shown));
	fprintf(stderr, "bpftune: cannot read %s: %s\n", shown, strerror(-error));
	return error;
}

/* /lib is a link to /usr/lib on most systems: the same directory is not looked at twice. */
static size_t count_directories(void)
{
	char path[4096];
	ssize_t n = readlink("/lib", path, sizeof(path));

	return ARRAY_SIZE(directories) - (n > 0);
}

static int find_installed(struct sysctl_files *files)
{
	const char *dir = "";
	int err = sysctl_files_find(files, directories, count_directories(), &dir);

	if (err)
		return say_unread(dir, err);
	if (access(last_file, F_OK) < 0 || sysctl_files_have(files, last_file))
		return 0;
	err = sysctl_files_add(files, last_file);
	return err ? say_unread(last_file, err) : 0;
}

static int find_given(struct sysctl_files *files, char *const *paths, int n)
{
	for (int i = 0; i < n; i++) {
		int err = sysctl_files_add(files, paths[i]);

		if (err)
			return say_unread(paths[i], err);
	}
	return 0;
}

static void say_shadowed(const struct sysctl_file *file)
{
	char shown[4096];

	log_escape(file->path, shown, sizeof(shown));
	printf("%s: note: not read: %s has a file of this name\n", shown, file->shadowed_by);
}

/* What can be read is said more about, if something else cannot. False: something could not. */
static bool read_files(struct sysctl_files *files)
{
	bool are_read = true;

	for (size_t i = 0; i < files->n_files; i++) {
		int err = 0;

		if (files->files[i].shadowed_by)
			say_shadowed(&files->files[i]);
		else
			err = sysctl_files_read(files, &files->files[i]);
		if (err)
			say_unread(files->files[i].path, err);
		are_read = are_read && !err;
	}
	return sysctl_files_compare(files) == 0 && are_read;
}

/* A malformed line has no key: none has this name. */
static struct sysctl_look *look_at(const struct sysctl_files *files)
{
	const char **keys = calloc(files->n_lines + 1, sizeof(*keys));
	struct sysctl_look *looks;

	if (!keys)
		return NULL;
	for (size_t i = 0; i < files->n_lines; i++)
		keys[i] = files->lines[i].setting.key ? files->lines[i].setting.key : "";
	looks = sysctl_look_at(keys, files->n_lines);
	free(keys);
	return looks;
}

static void take_instance(const struct question *question, json_t *reply, void *arg)
{
	(void)question;
	if (json_is_object(json_object_get(reply, "instance")))
		json_array_append(arg, json_object_get(reply, "instance"));
}

static int ask_instances(const struct question *question, json_t *instances)
{
	json_t *call = call_of(question, "io.bpftune.ListInstances");

	json_object_set_new(call, "more", json_boolean(!question->container));
	return ask(question, call, take_instance, instances);
}

static int say_all(struct advice *advice)
{
	size_t n_read = 0;

	for (size_t i = 0; i < advice->files.n_lines; i++)
		advise_line(advice, i);
	for (size_t i = 0; i < advice->files.n_files; i++)
		n_read += advice->files.files[i].is_read;
	printf("settings: %zu, files: %zu, errors: %u, warnings: %u\n", advice->files.n_lines, n_read, advice->n_errors,
	       advice->n_warnings);
	return fflush(stdout) == EOF || advice->n_errors || advice->n_warnings ? EXIT_FAILED : EXIT_DONE;
}

static int advise_files(const struct question *question)
{
	struct advice advice = { .instances = json_array(), .is_installed = !question->n_files };
	int err = advice.is_installed ? find_installed(&advice.files)
				      : find_given(&advice.files, question->files, question->n_files);
	bool are_read = !err && read_files(&advice.files);
	int status = EXIT_FAILED;

	advice.looks = err ? NULL : look_at(&advice.files);
	if (!err && !advice.looks)
		fprintf(stderr, "bpftune: cannot look at sysctls: %s\n", strerror(errno));
	if (advice.looks && ask_instances(question, advice.instances) != EXIT_DONE)
		fprintf(stderr, "bpftune: so nothing is known of what containers have\n");
	if (advice.looks)
		status = say_all(&advice);
	sysctl_look_free(advice.looks, advice.files.n_lines);
	sysctl_files_clear(&advice.files);
	json_decref(advice.instances);
	return are_read ? status : EXIT_FAILED;
}

static int advise_container(const struct question *question)
{
	json_t *instances = json_array();
	int status = ask_instances(question, instances);

	if (!status && !json_array_size(instances)) {
		fprintf(stderr, "bpftune: %s has just ended\n", question->container);
		status = EXIT_FAILED;
	}
	if (!status)
		status = advise_hints(json_array_get(instances, 0));
	json_decref(instances);
	return status;
}

int client_advise(const struct question *question)
{
	return question->container ? advise_container(question) : advise_files(question);
}
