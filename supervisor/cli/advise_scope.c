// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/advise_scope.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "ipc/cleanup.h"
#include "worker/sysctl.h"

#define PROC_SYS "/proc/sys/"
#define KEY_BYTES 256

static bool is_of_network(const char *key)
{
	return !strncmp(key, "net.", 4);
}

/* The device's name in a key such as net.ipv4.conf.eth0.rp_filter, and its length; NULL: it is no device's. */
static const char *find_device(const char *key, size_t *ret_n)
{
	static const char *const before[] = { "net.ipv4.conf.", "net.ipv6.conf.", "net.ipv4.neigh.", "net.ipv6.neigh.",
					      "net.mpls.conf." };

	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		const char *name = key + strlen(before[i]);
		size_t n;

		if (strncmp(key, before[i], strlen(before[i])) != 0)
			continue;
		n = strcspn(name, ".");
		if (!name[n] || (n == 3 && !strncmp(name, "all", n)) || (n == 7 && !strncmp(name, "default", n)))
			return NULL;
		*ret_n = n;
		return name;
	}
	return NULL;
}

bool sysctl_is_of_device(const char *key)
{
	size_t n;

	return find_device(key, &n) != NULL;
}

/* The first sysctl that the glob stands for, as a key; -ENOENT: none. */
static int first_match(const char *pattern, char ret_key[KEY_BYTES])
{
	char path[KEY_BYTES + sizeof(PROC_SYS)] = PROC_SYS;
	glob_t matches = { 0 };
	int err;

	err = sysctl_path(pattern, path + strlen(PROC_SYS), KEY_BYTES);
	if (err)
		return err;
	err = glob(path, 0, NULL, &matches) == 0 ? 0 : -ENOENT;
	if (!err)
		err = sysctl_path(matches.gl_pathv[0] + strlen(PROC_SYS), ret_key, KEY_BYTES); /* swaps them back */
	globfree(&matches);
	return err;
}

/* The sysctl that is looked at for a key. What the device `lo` has, any device has; a new namespace has no other one.
 */
static int key_of(const char *key, bool by_lo, char ret_key[KEY_BYTES])
{
	size_t n_device;
	const char *device = by_lo ? find_device(key, &n_device) : NULL;
	char name[KEY_BYTES];
	int n = device ? snprintf(name, sizeof(name), "%.*slo%s", (int)(device - key), key, device + n_device)
		       : snprintf(name, sizeof(name), "%s", key);

	if (n >= KEY_BYTES)
		return -ENAMETOOLONG;
	if (strpbrk(name, "*?["))
		return first_match(name, ret_key);
	memcpy(ret_key, name, n + 1);
	return 0;
}

/* Not access(2), which asks whether the caller may write. */
static void look(int dir_fd, const char *key, bool by_lo, struct sysctl_place *place)
{
	char name[KEY_BYTES], path[KEY_BYTES];
	struct stat status;

	if (key_of(key, by_lo, name) < 0 || sysctl_path(name, path, sizeof(path)) < 0 ||
	    fstatat(dir_fd, path, &status, 0) < 0 || !S_ISREG(status.st_mode))
		return;
	place->exists = true;
	place->is_writable = status.st_mode & 0222;
	place->has_value = sysctl_read(dir_fd, name, place->value) == 0;
}

/* The array is in memory that parent and child share. False: no namespace could be made. */
static bool look_in_fresh_netns(int dir_fd, const char *const *keys, size_t n, struct sysctl_look *looks)
{
	pid_t pid = fork();
	int status = 0;

	if (!pid) {
		if (unshare(CLONE_NEWNET) < 0)
			_exit(EXIT_FAILURE);
		for (size_t i = 0; i < n; i++)
			look(dir_fd, keys[i], true, &looks[i].fresh);
		_exit(EXIT_SUCCESS);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status);
}

/* Devices have such a sysctl, and there is none of that name. */
static bool is_without_device(int dir_fd, const char *key, const struct sysctl_look *looked)
{
	struct sysctl_place lo = { 0 };

	if (!looked->here.exists && sysctl_is_of_device(key))
		look(dir_fd, key, true, &lo);
	return lo.exists;
}

static enum sysctl_scope judge(const char *key, bool has_fresh, const struct sysctl_look *look)
{
	if (!look->here.exists)
		return SCOPE_ABSENT;
	if (!is_of_network(key))
		return SCOPE_OTHER;
	if (!has_fresh)
		return SCOPE_UNKNOWN;
	return look->fresh.is_writable || (look->fresh.exists && !look->here.is_writable) ? SCOPE_NAMESPACE
											  : SCOPE_HOST;
}

static size_t bytes_of(size_t n)
{
	return (n ? n : 1) * sizeof(struct sysctl_look);
}

struct sysctl_look *sysctl_look_at(const char *const *keys, size_t n)
{
	_cleanup_close_ int dir_fd = open(PROC_SYS, O_DIRECTORY | O_PATH | O_CLOEXEC);
	struct sysctl_look *looks;
	bool has_fresh;

	if (dir_fd < 0)
		return NULL;
	looks = mmap(NULL, bytes_of(n), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (looks == MAP_FAILED)
		return NULL;
	for (size_t i = 0; i < n; i++)
		look(dir_fd, keys[i], false, &looks[i].here);
	has_fresh = look_in_fresh_netns(dir_fd, keys, n, looks);
	for (size_t i = 0; i < n; i++)
		looks[i].scope = is_without_device(dir_fd, keys[i], &looks[i]) ? SCOPE_NO_DEVICE
									       : judge(keys[i], has_fresh, &looks[i]);
	return looks;
}

void sysctl_look_free(struct sysctl_look *looks, size_t n)
{
	if (looks)
		munmap(looks, bytes_of(n));
}
