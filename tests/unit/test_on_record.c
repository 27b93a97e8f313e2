// SPDX-License-Identifier: GPL-2.0-or-later
/* What runtimes have on record of a container, in files that may be anything. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/instances/on_record.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DOCKER ".local/share/docker/containers/" ID "/config.v2.json"
#define PODMAN ".local/share/containers/storage/overlay-containers/containers.json"
#define PODMAN_RM ".local/share/containers/storage/overlay-containers/volatile-containers.json"
#define RECORD_BYTES_MAX (1 << 20)

struct fixture {
	char home[64];
};

static int make_home(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	*state = fixture;
	if (!fixture)
		return -1;
	snprintf(fixture->home, sizeof(fixture->home), "/tmp/test_on_record.XXXXXX");
	return mkdtemp(fixture->home) ? 0 : -1;
}

static int remove_home(void **state)
{
	struct fixture *fixture = *state;
	char command[128];
	int status;

	snprintf(command, sizeof(command), "rm -r %s", fixture->home);
	status = system(command); /* NOLINT(cert-env33-c): the name is ours */
	free(fixture);
	return status;
}

/* With the directories above it. */
static const char *path_of(const struct fixture *fixture, const char *file)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", fixture->home, file);
	for (char *slash = path + strlen(fixture->home) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	return path;
}

static void write_file(const struct fixture *fixture, const char *file, const char *text, size_t n)
{
	const char *path = path_of(fixture, file);
	FILE *to;

	unlink(path);
	to = fopen(path, "we");
	assert_non_null(to);
	assert_int_equal(fwrite(text, 1, n, to), n);
	assert_int_equal(fclose(to), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

static void write_text(const struct fixture *fixture, const char *file, const char *text)
{
	write_file(fixture, file, text, strlen(text));
}

static struct on_record look_up(const struct fixture *fixture, const char *id, bool is_for_pod)
{
	struct on_record found = { .is_for_pod = is_for_pod };

	snprintf(found.container_id, sizeof(found.container_id), "%s", id);
	on_record_read(&(struct on_record_owner){ .uid = geteuid(), .home = fixture->home }, &found, 1);
	return found;
}

static void test_what_a_name_is(void **state)
{
	static const char *const names[] = {
		"web",		 "w",
		"9lives",	 "Web_1.example-2",
		"default/web-0", "kube-system/dns-1/dns",
		"0a/1",		 "12/3",
		"1.5",		 "cafe",
		"abcdefabcde",	 "0123456789abg",
		"host",		 "netns-4026531840",
	};
	static const char *const others[] = {
		"",
		"/",
		"/web",
		"web/",
		"a//b",
		"a/b/c/d",
		".",
		"..",
		"-web",
		".web",
		"a/..",
		"a/../b",
		"web 1",
		"uid 0/web",
		"pid:1",
		"a@2",
		"a:b",
		"a,b",
		"a=b",
		"a\\b",
		"a\nb",
		"\x1b[2Jweb",
		"web\x7f",
		"w\xc3\xa9",
		"w\xe2\x80\x8b",
		"$(id)",
		"'",
		"\"",
		"*",
		"1",
		"42",
		"18446744073709551616",
		"0123456789ab",
		"deadbeefdeadbeef",
		ID,
	};
	char longest[PATH_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!on_record_is_name(names[i]))
			fail_msg("'%s' is a name", names[i]);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (on_record_is_name(others[i]))
			fail_msg("'%s' is none", others[i]);
	memset(longest, 'w', sizeof(longest));
	longest[253] = '\0';
	assert_true(on_record_is_name(longest));
	longest[253] = 'w', longest[254] = '\0';
	assert_false(on_record_is_name(longest));
}

static void test_records(void **state)
{
	static const struct {
		const char *file, *text, *name, *name_of_pod;
		bool is_off;
	} cases[] = {
		{ DOCKER, "{\"Name\":\"/web\"}", "web", "", false },
		{ DOCKER, "{\"Name\":\"web\",\"Config\":{\"Labels\":{\"io.bpftune\":\"off\"}}}", "web", "", true },
		{ DOCKER, "{\"Config\":{\"Labels\":{\"io.bpftune\":\"off\"}}}", "", "", true },
		{ DOCKER, "{\"Name\":\"/web\",\"Config\":{\"Labels\":{\"io.bpftune\":\"on\"}}}", "web", "", false },
		{ DOCKER, "{\"Name\":\"/k8s_app_web-0_shop_0a1b-2c_3\"}", "shop/web-0/app", "shop/web-0", false },
		{ DOCKER, "{\"Name\":\"/k8s_POD_web-0_shop_0a1b-2c_0\"}", "shop/web-0", "shop/web-0", false },
		{ DOCKER, "{\"Name\":\"/k8s_app\"}", "k8s_app", "", false },
		{ PODMAN, "[{\"id\":\"77\",\"names\":[\"db\"]},{\"id\":\"" ID "\",\"names\":[\"web\",\"other\"]}]",
		  "web", "", false },
		{ PODMAN, "[{\"id\":\"" ID "\",\"names\":[\"k8s_app_web-0_shop_0a1b-2c_3\"]}]", "shop/web-0/app",
		  "shop/web-0", false },
		{ PODMAN_RM, "[{\"id\":\"" ID "\",\"names\":[\"gone\"]}]", "gone", "", false },
		/* of other shapes */
		{ PODMAN, "[{\"id\":\"77\",\"names\":[\"db\"]}]", "", "", false },
		{ PODMAN,
		  "[{\"id\":\"" ID "\"},{\"id\":\"" ID "\",\"names\":[]},{\"id\":\"" ID "\",\"names\":[1]},1,[],null]",
		  "", "", false },
		{ PODMAN, "{\"id\":\"" ID "\",\"names\":[\"web\"]}", "", "", false },
		{ PODMAN, "[{\"id\":\"" ID "\",\"names\":[\"web\"]}", "", "", false },
		{ DOCKER, "{\"Name\":1,\"Config\":[]}", "", "", false },
		{ DOCKER, "{\"Name\":\"\"}", "", "", false },
		{ DOCKER, "[\"/web\"]", "", "", false },
		{ DOCKER, "\"/web\"", "", "", false },
		{ DOCKER, "", "", "", false },
		{ DOCKER, "{\"Name\":\"/we\\u0000b\"}", "", "", false },
		{ DOCKER, "{\"Name\":\"/web\",}", "", "", false },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct on_record found, of_pod;

		write_text(fixture, cases[i].file, cases[i].text);
		found = look_up(fixture, ID, false);
		of_pod = look_up(fixture, ID, true);
		if (strcmp(found.name, cases[i].name) || strcmp(of_pod.name, cases[i].name_of_pod) ||
		    found.is_off != cases[i].is_off)
			fail_msg("%s: '%s', '%s', %d", cases[i].text, found.name, of_pod.name, found.is_off);
		unlink(path_of(fixture, cases[i].file));
	}
}

/* One file is read for all of them. */
static void test_many(void **state)
{
	static const char text[] = "[{\"id\":\"a1\",\"names\":[\"first\"]},{\"id\":\"b2\",\"names\":[\"second\"]}]";
	struct on_record found[] = {
		{ .container_id = "b2" }, { .container_id = "" }, { .container_id = "c3" }, { .container_id = "a1" }
	};
	struct fixture *fixture = *state;

	write_text(fixture, PODMAN, text);
	on_record_read(&(struct on_record_owner){ .uid = geteuid(), .home = fixture->home }, found, ARRAY_SIZE(found));
	assert_string_equal(found[0].name, "second");
	assert_string_equal(found[1].name, "");
	assert_string_equal(found[2].name, "");
	assert_string_equal(found[3].name, "first");
	for (size_t i = 0; i < ARRAY_SIZE(found); i++)
		assert_true(found[i].is_read);
}

/* Neither what is too long for a name, nor what is no name at all, is any use: it is whole, or there is none. */
static void test_long_name(void **state)
{
	struct fixture *fixture = *state;
	char text[65536 + 64], name[65536];
	struct on_record found;

	memset(name, 'w', sizeof(name));
	for (size_t n = ON_RECORD_NAME_BYTES - 2; n < sizeof(name); n = n < ON_RECORD_NAME_BYTES + 2 ? n + 1 : n * 2) {
		snprintf(text, sizeof(text), "{\"Name\":\"/%.*s\"}", (int)n, name);
		write_text(fixture, DOCKER, text);
		found = look_up(fixture, ID, false);
		assert_int_equal(strlen(found.name), n < ON_RECORD_NAME_BYTES ? n : 0);
		assert_false(on_record_is_name(found.name));
	}
	snprintf(text, sizeof(text), "{\"Name\":\"/k8s_%.*s_%.*s_%.*s_u_0\"}", 253, name, 253, name, 253, name);
	write_text(fixture, DOCKER, text);
	assert_string_equal(look_up(fixture, ID, false).name, "");
}

/* What is no regular file, too large, or not the owner's alone to write. */
static void test_files_that_are_not_read(void **state)
{
	static const char text[] = "{\"Name\":\"/web\"}";
	struct fixture *fixture = *state;
	static char large[RECORD_BYTES_MAX + 1];
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", path_of(fixture, DOCKER));
	memset(large, ' ', sizeof(large));
	large[snprintf(large, sizeof(large), "%s", text)] = ' ';
	write_file(fixture, DOCKER, large, RECORD_BYTES_MAX);
	assert_string_equal(look_up(fixture, ID, false).name, "web");
	write_file(fixture, DOCKER, large, RECORD_BYTES_MAX + 1);
	assert_string_equal(look_up(fixture, ID, false).name, "");

	for (unsigned int mode = 0; mode < 0100; mode++) {
		write_text(fixture, DOCKER, text);
		assert_int_equal(chmod(path, 0400 | mode), 0);
		assert_string_equal(look_up(fixture, ID, false).name, mode & 022 ? "" : "web");
	}

	assert_int_equal(rename(path, path_of(fixture, "elsewhere")), 0);
	assert_int_equal(symlink(path_of(fixture, "elsewhere"), path), 0);
	assert_string_equal(look_up(fixture, ID, false).name, "");
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_string_equal(look_up(fixture, ID, false).name, "");
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_string_equal(look_up(fixture, ID, false).name, "");
}

static void test_another_owner(void **state)
{
	struct on_record found = { .container_id = ID };
	struct fixture *fixture = *state;

	write_text(fixture, DOCKER, "{\"Name\":\"/web\"}");
	on_record_read(&(struct on_record_owner){ .uid = geteuid() + 1, .home = fixture->home }, &found, 1);
	assert_string_equal(found.name, "");
}

/* An id is one component of a path, whatever a cgroup is called. */
static void test_odd_ids(void **state)
{
	static const char *const ids[] = { "", ".", "..", "../" ID, "a/" ID, "/" ID, ID "/" };
	struct fixture *fixture = *state;

	write_text(fixture, DOCKER, "{\"Name\":\"/web\"}");
	write_text(fixture, ".local/share/docker/containers/config.v2.json", "{\"Name\":\"/web\"}");
	write_text(fixture, ".local/share/docker/config.v2.json", "{\"Name\":\"/web\"}");
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		if (*look_up(fixture, ids[i], false).name)
			fail_msg("'%s' was looked up", ids[i]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_name_is),
		cmocka_unit_test_setup_teardown(test_records, make_home, remove_home),
		cmocka_unit_test_setup_teardown(test_many, make_home, remove_home),
		cmocka_unit_test_setup_teardown(test_long_name, make_home, remove_home),
		cmocka_unit_test_setup_teardown(test_files_that_are_not_read, make_home, remove_home),
		cmocka_unit_test_setup_teardown(test_another_owner, make_home, remove_home),
		cmocka_unit_test_setup_teardown(test_odd_ids, make_home, remove_home),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
