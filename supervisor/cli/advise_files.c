// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/advise_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/cleanup.h"

static const char *base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int sysctl_files_add(struct sysctl_files *files, const char *path)
{
	struct sysctl_file *more = realloc(files->files, (files->n_files + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	files->files = more;
	more[files->n_files] = (struct sysctl_file){ .path = strdup(path) };
	if (!more[files->n_files].path)
		return -ENOMEM;
	files->n_files++;
	return 0;
}

/* The directory of the first `n` ones that has a file of this name. */
static const char *find_shadow(const char *name, const char *const *dirs, size_t n)
{
	char path[4096];
	struct stat status;

	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
		if (lstat(path, &status) == 0)
			return dirs[i];
	}
	return NULL;
}

static bool is_conf(const char *name)
{
	size_t n = strlen(name);

	return name[0] != '.' && n > 5 && !strcmp(name + n - 5, ".conf");
}

static int find_in(struct sysctl_files *files, const char *const *dirs, size_t i)
{
	_cleanup_closedir_ DIR *dir = opendir(dirs[i]);
	const struct dirent *entry;
	char path[4096];

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(dir))) {
		if (!is_conf(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dirs[i], entry->d_name);
		if (sysctl_files_add(files, path) < 0)
			return -ENOMEM;
		files->files[files->n_files - 1].shadowed_by = find_shadow(entry->d_name, dirs, i);
	}
	return 0;
}

static int compare_names(const void *one, const void *other)
{
	const struct sysctl_file *a = one, *b = other;
	int order = strcmp(base(a->path), base(b->path));

	return order ? order : strcmp(a->path, b->path);
}

int sysctl_files_find(struct sysctl_files *files, const char *const *dirs, size_t n_dirs, const char **ret_dir)
{
	for (size_t i = 0; i < n_dirs; i++) {
		int err = find_in(files, dirs, i);

		if (err) {
			*ret_dir = dirs[i];
			return err;
		}
	}
	if (files->n_files)
		qsort(files->files, files->n_files, sizeof(*files->files), compare_names);
	return 0;
}

bool sysctl_files_have(const struct sysctl_files *files, const char *path)
{
	struct stat this, other;

	if (stat(path, &this) < 0)
		return false;
	for (size_t i = 0; i < files->n_files; i++)
		if (!files->files[i].shadowed_by && stat(files->files[i].path, &other) == 0 &&
		    this.st_dev == other.st_dev && this.st_ino == other.st_ino)
			return true;
	return false;
}

static int add_line(struct sysctl_files *files, const char *path, unsigned int number, struct setting *setting)
{
	struct sysctl_line *more = files->lines;

	if (!(files->n_lines & (files->n_lines - 1))) /* a power of two is full */
		more = realloc(files->lines, (files->n_lines ? 2 * files->n_lines : 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	files->lines = more;
	more[files->n_lines++] = (struct sysctl_line){ .setting = *setting, .path = path, .number = number };
	*setting = (struct setting){ 0 };
	return 0;
}

static int take_line(struct sysctl_files *files, const char *path, unsigned int number, const char *text, size_t n)
{
	struct setting setting = { 0 };
	int err = setting_parse(text, n, &setting);

	if (!err && (setting.key || setting.malformed))
		err = add_line(files, path, number, &setting);
	setting_clear(&setting);
	return err;
}

/* A FIFO that nobody writes to is empty, and nobody is waited for. */
static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	fcntl(fd, F_SETFL, 0); /* who has it open to write to it is waited for */
	return fd;
}

/* Returns how many bytes there are. */
static ssize_t read_all(int fd, char *text, size_t size)
{
	size_t n = 0;

	while (n < size) {
		ssize_t more = read(fd, text + n, size - n);

		if (more < 0 && errno == EINTR)
			continue;
		if (more < 0)
			return -errno;
		if (!more)
			return n;
		n += more;
	}
	return -EFBIG;
}

static int take_lines(struct sysctl_files *files, const char *path, const char *text, size_t n)
{
	int err = 0;

	for (unsigned int number = 1; !err && n; number++) {
		const char *end = memchr(text, '\n', n);
		size_t length = end ? (size_t)(end - text) : n, taken = length + (end != NULL);

		err = take_line(files, path, number, text, length);
		text += taken;
		n -= taken;
	}
	return err;
}

int sysctl_files_read(struct sysctl_files *files, struct sysctl_file *file)
{
	_cleanup_close_ int fd = open_file(file->path);
	_cleanup_free_ char *text = NULL;
	ssize_t n;

	if (fd < 0)
		return fd;
	text = malloc(SYSCTL_FILE_BYTES + 1);
	if (!text)
		return -ENOMEM;
	n = read_all(fd, text, SYSCTL_FILE_BYTES + 1);
	if (n < 0)
		return (int)n;
	file->is_read = true;
	return take_lines(files, file->path, text, n);
}

/* By key, the earlier line first. */
static int compare_lines(const void *one, const void *other)
{
	const struct sysctl_line *const *a = one, *const *b = other;
	int order = strcmp((*a)->setting.key, (*b)->setting.key);

	return order ? order : *a < *b ? -1 : *a > *b;
}

int sysctl_files_compare(struct sysctl_files *files)
{
	struct sysctl_line **sorted = calloc(files->n_lines + 1, sizeof(struct sysctl_line *));
	const struct sysctl_line *last = NULL;
	size_t n = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < files->n_lines; i++)
		if (files->lines[i].setting.value)
			sorted[n++] = &files->lines[i];
	qsort(sorted, n, sizeof(struct sysctl_line *), compare_lines);
	while (n--) {
		if (last && !strcmp(last->setting.key, sorted[n]->setting.key))
			sorted[n]->overridden_by = last;
		else
			last = sorted[n];
	}
	free(sorted);
	return 0;
}

void sysctl_files_clear(struct sysctl_files *files)
{
	for (size_t i = 0; i < files->n_files; i++)
		free(files->files[i].path);
	for (size_t i = 0; i < files->n_lines; i++)
		setting_clear(&files->lines[i].setting);
	free(files->files);
	free(files->lines);
	*files = (struct sysctl_files){ 0 };
}
