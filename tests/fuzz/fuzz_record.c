// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libFuzzer target: a user's record of a container, as Docker's and as Podman's file. The user writes anything there;
 * what becomes of the record is shown to root.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "supervisor/instances/on_record.h"

#define ID "a1"
#define DOCKER ".local/share/docker"
#define STORAGE ".local/share/containers/storage"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each directory comes after the one that it is in. */
static const char *const directories[] = {
	".local",
	".local/share",
	DOCKER,
	(DOCKER "/containers"),
	(DOCKER "/containers/" ID),
	".local/share/containers",
	STORAGE,
	(STORAGE "/overlay-containers"),
};
static const char *const files[] = {
	(DOCKER "/containers/" ID "/config.v2.json"),
	(STORAGE "/overlay-containers/containers.json"),
};

static void check(bool holds)
{
	if (!holds)
		abort();
}

static const char *path_of(const char *home, const char *name)
{
	static char path[512];

	check((size_t)snprintf(path, sizeof(path), "%s/%s", home, name) < sizeof(path));
	return path;
}

static void put(const char *path, const uint8_t *data, size_t size)
{
	FILE *file = fopen(path, "we");

	check(file && fwrite(data, 1, size, file) == size && fclose(file) == 0 && chmod(path, 0600) == 0);
}

/* What is_name lets pass is shown as it is, and never passes for what begins with the user. */
static void check_name(const char *name)
{
	size_t n = strlen(name);

	if (!on_record_is_name(name))
		return;
	check(n && name[0] != '/' && name[n - 1] != '/' && !strstr(name, "//") && !strstr(name, "/.."));
	for (const char *c = name; *c; c++)
		check((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
		      strchr("-._/", *c));
}

static void look_up(const char *home)
{
	struct on_record found[] = { { .container_id = ID },
				     { .container_id = ID, .is_for_pod = true },
				     { .container_id = "" } };

	on_record_read(&(struct on_record_owner){ .uid = geteuid(), .home = home }, found, ARRAY_SIZE(found));
	for (size_t i = 0; i < ARRAY_SIZE(found); i++) {
		check(found[i].is_read && memchr(found[i].name, 0, sizeof(found[i].name)));
		check_name(found[i].name);
	}
	check(!found[2].name[0] && !found[2].is_off);
	check(found[0].is_off == found[1].is_off);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *tmp = getenv("TMPDIR");
	char home[256];

	snprintf(home, sizeof(home), "%s/record.XXXXXX", tmp ? tmp : "/tmp");
	check(mkdtemp(home) != NULL);
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		check(mkdir(path_of(home, directories[i]), 0700) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		const char *path = path_of(home, files[i]);

		put(path, data, size);
		look_up(home);
		check(unlink(path) == 0);
	}
	for (size_t i = ARRAY_SIZE(directories); i-- > 0;)
		check(rmdir(path_of(home, directories[i])) == 0);
	check(rmdir(home) == 0);
	return 0;
}
