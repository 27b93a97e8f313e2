// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/sysctl.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/cleanup.h"

static bool has_parent_component(const char *path)
{
	for (const char *p = path; (p = strstr(p, "..")); p += 2)
		if ((p == path || p[-1] == '/') && (p[2] == '/' || !p[2]))
			return true;
	return false;
}

int sysctl_path(const char *name, char *ret_path, size_t size)
{
	size_t n = strlen(name);

	if (n == 0 || name[0] == '.' || name[0] == '/' || name[n - 1] == '.' || strstr(name, ".."))
		return -EINVAL;
	if (n >= size)
		return -ENAMETOOLONG;
	for (size_t i = 0; i <= n; i++)
		ret_path[i] = name[i] == '.' ? '/' : name[i] == '/' ? '.' : name[i];
	return has_parent_component(ret_path) ? -EINVAL : 0;
}

static int sysctl_open(int dir_fd, const char *name, int flags)
{
	char path[256];
	int err, fd;

	err = sysctl_path(name, path, sizeof(path));
	if (err)
		return err;
	fd = openat(dir_fd, path, flags | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int sysctl_read(int dir_fd, const char *name, char ret_value[BPFTUNE_VALUE_BYTES])
{
	_cleanup_close_ int fd = sysctl_open(dir_fd, name, O_RDONLY);
	char value[BPFTUNE_VALUE_BYTES + 1];
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, value, sizeof(value));
	if (n < 0)
		return -errno;
	if (n > 0 && value[n - 1] == '\n')
		n--;
	if (n >= BPFTUNE_VALUE_BYTES)
		return -EMSGSIZE;
	value[n] = '\0';
	for (char *p = value; *p; p++)
		if (*p == '\t')
			*p = ' ';
	memcpy(ret_value, value, n + 1);
	return 0;
}

int sysctl_write(int dir_fd, const char *name, const char *value)
{
	int fd = sysctl_open(dir_fd, name, O_WRONLY);
	size_t size = strlen(value);
	ssize_t n;
	int err;

	if (fd < 0)
		return fd;
	n = write(fd, value, size);
	err = n < 0 ? -errno : (size_t)n == size ? 0 : -EIO;
	if (close(fd) < 0 && !err)
		err = -errno;
	return err;
}

int sysctl_parse_ints(const char *value, unsigned int n, long long *ret_ints)
{
	long long ints[BPFTUNE_INTS_MAX];
	const char *p = value;
	char *end;

	if (n == 0 || n > BPFTUNE_INTS_MAX)
		return -EINVAL;
	for (unsigned int i = 0; i < n; i++, p = end) {
		while (*p == ' ' || *p == '\t')
			p++;
		if (!isdigit((unsigned char)*p) && *p != '-')
			return -EINVAL;
		errno = 0;
		ints[i] = strtoll(p, &end, 10);
		if (errno || end == p)
			return errno ? -errno : -EINVAL;
		if (*end && *end != ' ' && *end != '\t')
			return -EINVAL;
	}
	if (p[strspn(p, " \t")])
		return -EINVAL;
	memcpy(ret_ints, ints, n * sizeof(*ints));
	return 0;
}

void sysctl_format_ints(const long long *ints, unsigned int n, char ret_value[BPFTUNE_VALUE_BYTES])
{
	size_t at = 0;

	ret_value[0] = '\0';
	for (unsigned int i = 0; i < n; i++)
		at += snprintf(ret_value + at, BPFTUNE_VALUE_BYTES - at, i ? " %lld" : "%lld", ints[i]);
}
