// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/instances/place.h"

#define DOCKER "/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope"
#define OTHER "/system.slice/docker-fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210.scope"

/* The instance's cgroup, of these places; "": there is none. */
static const char *best(const char *paired, const char *const *paths)
{
	static char path[CGROUP_PATH_BYTES];
	struct instance instance = { .view.cgroup_path = (char *)(paired ? paired : "/"), .view.cgroup_id = paired ? 7 : 0 };
	enum cgroup_hierarchy hierarchy;
	bool found;

	for (pid_t tid = 1; *paths; paths++, tid++)
		place_add(&instance.places, *paths, CGROUP2, tid, 0);
	found = place_best(&instance, path, &hierarchy);
	place_free(instance.places);
	return found ? path : "";
}

static void test_best(void **state)
{
	static const struct {
		const char *what, *paired, *paths[4], *best;
	} cases[] = {
		{ "no place", NULL, { NULL }, "" },
		{ "one", NULL, { "/a/b" }, "/a/b" },
		{ "two below one", NULL, { "/a/b", "/a/c/d" }, "/a" },
		{ "a login only looks in", NULL, { "/user.slice/user-0.slice/session-1.scope", "/a" }, "/a" },
		{ "a login alone", NULL, { "/user.slice/user-0.slice/session-1.scope" }, "" },
		{ "beside a container others only look in", NULL, { "/a", DOCKER "/x", "/b" }, DOCKER "/x" },
		{ "two in a container", NULL, { DOCKER "/x", DOCKER "/y" }, DOCKER },
		{ "two containers: the first", NULL, { DOCKER, OTHER }, DOCKER },
		{ "two containers: the one it is paired with", OTHER, { DOCKER, OTHER }, OTHER },
		{ "that has gone", "/system.slice/gone.scope", { DOCKER, OTHER }, DOCKER },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (strcmp(best(cases[i].paired, cases[i].paths), cases[i].best))
			fail_msg("%s: %s", cases[i].what, best(cases[i].paired, cases[i].paths));
}

static unsigned int count(const struct place *places)
{
	unsigned int n = 0;

	for (; places; places = places->next)
		n++;
	return n;
}

/* A container of many cgroups: none of them is taken for all of it. */
static void test_many_below_one(void **state)
{
	struct instance instance = { .view.cgroup_path = (char *)"/" };
	enum cgroup_hierarchy hierarchy;
	char path[CGROUP_PATH_BYTES];

	(void)state;
	place_add(&instance.places, DOCKER "/init.scope", CGROUP2, 1, 0);
	for (int i = 0; i < 3 * PLACES_MAX; i++) {
		snprintf(path, sizeof(path), DOCKER "/system.slice/s%d.service", i);
		place_add(&instance.places, path, CGROUP2, 2 + i, 0);
		assert_true(count(instance.places) <= PLACES_MAX);
		assert_true(place_best(&instance, path, &hierarchy));
		assert_string_equal(path, DOCKER);
	}
	place_free(instance.places);
}

/* Unrelated ones have nothing in common: the oldest goes. */
static void test_many_unrelated(void **state)
{
	struct place *places = NULL;
	char path[CGROUP_PATH_BYTES];

	(void)state;
	for (int i = 0; i < PLACES_MAX + 1; i++) {
		snprintf(path, sizeof(path), "/a%d", i);
		place_add(&places, path, CGROUP2, 1 + i, 0);
	}
	assert_int_equal(count(places), PLACES_MAX);
	assert_string_equal(places->path, "/a1");
	place_free(places);
}

static void test_seen_again(void **state)
{
	struct place *places = NULL;

	(void)state;
	place_add(&places, "/a", CGROUP2, 1, 100);
	place_add(&places, "/b", CGROUP2, 1, 200); /* it was moved */
	assert_int_equal(places->tid, 0);
	assert_int_equal(places->next->tid, 1);
	place_add(&places, "/a", CGROUP2, 2, 0);
	assert_int_equal(count(places), 2);
	assert_int_equal(places->tid, 2);
	assert_int_equal(places->seen_ms, 100);
	place_add(&places, "/a", CGROUP1_MEMORY, 3, 0);
	assert_int_equal(count(places), 3);
	place_free(places);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_best),
		cmocka_unit_test(test_many_below_one),
		cmocka_unit_test(test_many_unrelated),
		cmocka_unit_test(test_seen_again),
	};

	return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}
