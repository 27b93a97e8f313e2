// SPDX-License-Identifier: GPL-2.0-or-later
/* Cgroup paths as the runtimes make them, and as somebody might to deceive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/instances/cgroup.h"

#define PATH_BYTES 4096
#define ID "3f4a8c1e9b7d2056a1c3e5f70918273645546372819a0bcdef123456789abcde"
#define ID_B "0011223344556677889900aabbccddeeff0011223344556677889900aabbccdd"
#define UID "1b0f3a52-66c1-4b8e-9d3c-2f7a51e0c4d9"
#define UID_UNDER "1b0f3a52_66c1_4b8e_9d3c_2f7a51e0c4d9"
#define UID_STATIC "5d41402abc4b2a76b9719d911017c592" /* a static pod's: a hash */
#define USER "/user.slice/user-1000.slice/user@1000.service/user.slice"
#define PODS "/kubepods.slice"
#define KIND "/kubelet.slice/kubelet-kubepods.slice"
#define SLICE_G "/kubepods-pod" UID_UNDER ".slice"
#define SLICE_BU "/kubepods-burstable.slice/kubepods-burstable-pod" UID_UNDER ".slice"
#define SLICE_BE "/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_UNDER ".slice"

static const struct {
	const char *path, *runtime, *container_id, *pod_uid, *pod_qos;
} containers[] = {
	{ "/system.slice/docker-" ID ".scope", "docker", ID, "", NULL },
	{ "/system.slice/docker-" ID ".scope/init", "docker", ID, "", NULL },
	{ "/docker/" ID, "docker", ID, "", NULL },
	{ USER "/docker-" ID ".scope", "docker", ID, "", NULL },
	{ "/machine.slice/libpod-" ID ".scope", "podman", ID, "", NULL },
	{ "/machine.slice/libpod-" ID ".scope/container", "podman", ID, "", NULL },
	{ "/machine.slice/machine-libpod_pod_" ID_B ".slice/libpod-" ID ".scope", "podman", ID, ID_B, NULL },
	{ "/machine.slice/machine-libpod_pod_" ID_B ".slice", "podman", "", ID_B, NULL },
	{ USER "/user-libpod_pod_" ID_B ".slice", "podman", "", ID_B, NULL },
	{ "/libpod_parent/libpod-" ID, "podman", ID, "", NULL },
	{ "/libpod_parent/" ID_B, "podman", "", ID_B, NULL },
	{ "/libpod_parent/" ID_B "/libpod-" ID, "podman", ID, ID_B, NULL },
	{ USER "/libpod-" ID ".scope/container", "podman", ID, "", NULL },
	{ "/system.slice/nerdctl-" ID ".scope", "containerd", ID, "", NULL },
	{ "/default/" ID, "containerd", ID, "", NULL },
	{ "/lxc.payload.web", "lxc", "web", "", NULL },
	{ "/lxc.payload.my.host/init.scope", "lxc", "my.host", "", NULL },
	{ "/lxc/web", "lxc", "web", "", NULL },
	{ "/lxc.payload/web", "lxc", "web", "", NULL },
	{ "/machine.slice/systemd-nspawn@web.service/payload", "systemd-nspawn", "web", "", NULL },
	{ "/machine.slice/machine-web.scope", "machine", "web", "", NULL },
	{ "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", "machine", "qemu-1-vm", "", NULL },

	/* Kubernetes, systemd driver */
	{ PODS SLICE_G "/cri-containerd-" ID ".scope", "containerd", ID, UID, "guaranteed" },
	{ PODS SLICE_BU "/cri-containerd-" ID ".scope", "containerd", ID, UID, "burstable" },
	{ PODS SLICE_BE "/crio-" ID ".scope", "cri-o", ID, UID, "besteffort" },
	{ PODS SLICE_BE "/crio-" ID ".scope/container", "cri-o", ID, UID, "besteffort" },
	{ PODS SLICE_BU "/docker-" ID ".scope", "docker", ID, UID, "burstable" },
	{ PODS SLICE_BU, "kubernetes", "", UID, "burstable" },
	{ PODS SLICE_G, "kubernetes", "", UID, "guaranteed" },
	{ PODS "/kubepods-burstable.slice/kubepods-burstable-pod" UID_STATIC ".slice/crio-" ID ".scope", "cri-o", ID,
	  UID_STATIC, "burstable" },
	{ KIND "/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" UID_UNDER ".slice/cri-containerd-" ID ".scope",
	  "containerd", ID, UID, "burstable" },
	{ KIND "/kubelet-kubepods-pod" UID_UNDER ".slice", "kubernetes", "", UID, "guaranteed" },
	/* the same, cgroupfs driver */
	{ "/kubepods/pod" UID "/" ID, "containerd", ID, UID, "guaranteed" },
	{ "/kubepods/burstable/pod" UID "/" ID, "containerd", ID, UID, "burstable" },
	{ "/kubepods/besteffort/pod" UID "/crio-" ID, "cri-o", ID, UID, "besteffort" },
	{ "/kubepods/burstable/pod" UID, "kubernetes", "", UID, "burstable" },
	{ "/kubepods/besteffort/pod" UID_STATIC, "kubernetes", "", UID_STATIC, "besteffort" },

	/* a service, which may have a namespace of its own, and what it may hold */
	{ "/system.slice/redis.service", "systemd", "", "", NULL },
	{ "/system.slice/system-redis.slice/redis@1.service", "systemd", "", "", NULL },
	{ "/system.slice/system-redis.slice/redis@1.service/docker/" ID, "docker", ID, "", NULL },
	{ "/system.slice/system-getty.slice/redis.service/docker/" ID, "docker", ID, "", NULL },
	{ "/system.slice/lxc.service/lxc.payload.web", "lxc", "web", "", NULL },

	/* one in another: the outer one comes first, and the services of a container are the container's */
	{ "/lxc.payload.web-1/system.slice/ssh.service", "lxc", "web-1", "", NULL },
	{ "/lxc.payload.web/system.slice/docker-" ID ".scope", "lxc", "web/" ID, "", NULL },
	{ "/system.slice/docker-" ID ".scope/system.slice/ssh.service", "docker", ID, "", NULL },
	{ "/system.slice/docker-" ID ".scope/system.slice/docker-" ID_B ".scope", "docker", ID "/" ID_B, "", NULL },
	{ "/docker/" ID KIND SLICE_BU "/cri-containerd-" ID_B ".scope", "docker", ID "/" ID_B, UID, "burstable" },
	{ "/machine.slice/systemd-nspawn@web.service/payload/system.slice/ssh.service", "systemd-nspawn", "web", "", NULL },

	/* below the root of the reader's own cgroup namespace, and odd slashes */
	{ "/../docker-" ID ".scope", "docker", ID, "", NULL },
	{ "docker-" ID ".scope", "docker", ID, "", NULL },
	{ "////docker-" ID ".scope////", "docker", ID, "", NULL },
	{ "/kubepods//pod" UID "//" ID, "containerd", ID, UID, "guaranteed" },
};

static void test_runtimes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(containers); i++) {
		const char *qos = containers[i].pod_qos;
		struct cgroup_name name = { 0 };

		if (!cgroup_parse(containers[i].path, &name))
			fail_msg("%s: none", containers[i].path);
		if (strcmp(name.runtime, containers[i].runtime) || strcmp(name.container_id, containers[i].container_id) ||
		    strcmp(name.pod_uid, containers[i].pod_uid) || !name.pod_qos != !qos || (qos && strcmp(name.pod_qos, qos)))
			fail_msg("%s: %s, '%s', '%s', %s", containers[i].path, name.runtime, name.container_id,
				 name.pod_uid, name.pod_qos);
		if (!name.container_bytes != !name.container_id[0])
			fail_msg("%s: whether a container", containers[i].path);
	}
}

static void test_no_container(void **state)
{
	static const char *const paths[] = {
		"",
		"/",
		"//",
		"/init.scope",
		"/system.slice",
		"/system.slice/docker.socket",
		"/system.slice/docker-" ID ".scope.d",
		"/system.slice/docker-" ID,
		"/system.slice/docker-" ID "0.scope",
		"/system.slice/docker-.scope",
		"/system.slice/docker-",
		"/system.slice/docker-x.scope",
		"/system.slice/.scope",
		"/system.slice/.service",
		"/system.slice/mydocker-" ID ".scope",
		"/system.slice/Docker-" ID ".scope",
		"/system.slice/docker-" ID "/.scope",
		"/docker",
		"/docker/buildkit",
		"/dockerd/" ID,
		"/" ID,
		/* the monitor of a container is not in it */
		"/machine.slice/libpod-conmon-" ID ".scope",
		USER "/libpod-conmon-" ID ".scope",
		"/libpod_parent/conmon",
		PODS SLICE_BU "x/crio-conmon-" ID ".scope",
		"/lxc.monitor.web",
		"/lxc.monitor.web/x",
		"/lxc.payload.",
		"/lxc.payload",
		"/lxc",
		"/machine.slice",
		"/machine.slice/machine-.scope",
		"/machine.slice/systemd-nspawn@.service",
		"/machine.slice/machine-libpod_pod_" ID "0.slice",
		"/machine.slice/machine-libpod_pod_" ID ".scope.slice",
		"/machine.slice.d/machine-web.scope",
		PODS,
		PODS "/kubepods-burstable.slice",
		PODS "/kubepods-podshort.slice",
		PODS "/kubepods-pod" UID_UNDER "00.slice",
		"/kubepods/burstable",
		"/kubepods/burstable/pod",
		"/pods/pod" UID,
		"/user.slice/user-1000.slice/session-3.scope",
		"/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-4711.scope",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct cgroup_name name = { .runtime = "" };

		if (cgroup_parse(paths[i], &name))
			fail_msg("%s: %s, %s, %s", paths[i], name.runtime, name.container_id, name.pod_uid);
		assert_string_equal(name.runtime, ""); /* not touched */
	}
}

static void test_escapes(void **state)
{
	static const struct {
		const char *escaped, *id;
	} cases[] = {
		{ "a\\x2db", "a-b" },
		{ "a\\x2Db", "a-b" },
		{ "\\xff", "\xff" },
		{ "a\\x2fb", "a\\x2fb" }, /* no slash: that would be another container in it */
		{ "a\\x00b", "a\\x00b" },
		{ "a\\x-1b", "a\\x-1b" },
		{ "a\\x 5b", "a\\x 5b" },
		{ "a\\x5", "a\\x5" },
		{ "a\\", "a\\" },
		{ "\\\\x2d", "\\-" },
		{ "a\nb", "a\nb" }, /* logs and status escape it */
		{ "\xc3\x28\xfe", "\xc3\x28\xfe" },
		{ "..", ".." },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cgroup_name name = { 0 };
		char path[64];

		snprintf(path, sizeof(path), "/lxc.payload.%s/x", cases[i].escaped);
		assert_true(cgroup_parse(path, &name));
		assert_string_equal(name.container_id, cases[i].id);
	}
}

/* Made to deceive or to break something: what comes out is bounded, and no other container's id. */
static void test_hostile(void **state)
{
	static const char *const pieces[] = { "a", "/", "..", "/../", "\n", "\xff", "\\x2d", "\\x", "/docker/", "/lxc/x" };
	char *path = malloc(2 * PATH_BYTES);

	(void)state;
	assert_non_null(path);
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		struct cgroup_name name = { 0 };
		size_t n = sprintf(path, "/lxc.payload.");

		while (n < PATH_BYTES - 8)
			n += sprintf(path + n, "%s", pieces[i]);
		if (!cgroup_parse(path, &name))
			continue;
		assert_string_equal(name.runtime, "lxc");
		assert_true(strlen(name.container_id) < sizeof(name.container_id));
	}
	/* whoever is in a container may make any cgroup below */
	struct cgroup_name name = { 0 };

	assert_true(cgroup_parse("/lxc.payload.evil/docker/" ID, &name));
	assert_string_equal(name.container_id, "evil/" ID);
	free(path);
}

static void test_common(void **state)
{
	static const struct {
		const char *a, *b, *common;
	} cases[] = {
		{ "/a/b", "/a/b", "/a/b" },
		{ "/a/b", "/a/c", "/a" },
		{ "/a/b", "/a/bc", "/a" },
		{ "/a/bc", "/a/b", "/a" },
		{ "/a/b/c", "/a/b", "/a/b" },
		{ "/a/b", "/a/b/c/d", "/a/b" },
		{ "/a", "/b", "/" },
		{ "/", "/", "/" },
		{ "/", "/a", "/" },
		{ "/a", "/", "/" },
		{ "/a", "", "/" },
		{ "/pod/x/deep", "/pod/y", "/pod" },
		{ "/..", "/../a", "/.." },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char path[64];

		strcpy(path, cases[i].a);
		cgroup_common(path, cases[i].b);
		if (strcmp(path, cases[i].common))
			fail_msg("%s, %s: %s", cases[i].a, cases[i].b, path);
	}
}

static void test_sessions(void **state)
{
	static const struct {
		const char *path;
		bool session;
	} cases[] = {
		{ "/user.slice/user-0.slice/session-1.scope", true },
		{ "/user.slice", true },
		{ "user.slice", true },
		{ "/user@1000.service", true },
		{ "/a/session-3.scope", true },
		{ "/", false },
		{ "/system.slice/session.service", false },
		{ "/docker/" ID, false },
		{ "/super-user.slice", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (cgroup_is_session(cases[i].path) != cases[i].session)
			fail_msg("%s", cases[i].path);
}

/* Whose session it is; nobody makes one in a container, a service or a cgroup of his own. */
static void test_users(void **state)
{
	static const struct {
		const char *path, *uid; /* "": none */
	} cases[] = {
		{ USER "/docker-" ID ".scope", "1000" },
		{ USER "/lxc.payload.prod-db", "1000" },
		{ "/user.slice/user-0.slice/session-1.scope", "0" },
		{ "/user.slice/user-4294967295.slice", "4294967295" },
		{ "/user@1000.service/docker/" ID, "1000" },
		{ "/a.slice/user@7.service", "7" },
		{ "/user.slice/user-1000.slice/user@0.service/lxc.payload.x", "1000" }, /* the outermost */
		{ "/user.slice/user-1000.slice/user.slice/user-0.slice/x", "1000" },
		{ "", "" },
		{ "/", "" },
		{ "/user.slice", "" },
		{ "/user.slice/user-.slice", "" },
		{ "/user.slice/user-1000.slices", "" },
		{ "/user.slice/user-x.slice", "" },
		{ "/user.slice/user-12345678901.slice", "" },
		{ "/user-0.slice/x", "" },
		{ "/user@.service", "" },
		{ "/user@0.service.d/x", "" },
		{ "/docker/" ID "/user.slice/user-0.slice", "" },
		{ "/lxc.payload.a/user@0.service/x", "" },
		{ PODS SLICE_G "/user@0.service", "" },
		{ "/system.slice/a.service/user@0.service/lxc.payload.x", "" },
		{ "/system.slice/a.service/user.slice/user-0.slice", "" },
		{ "/a/user@0.service/x", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char uid[CGROUP_UID_BYTES] = "";
		struct cgroup_name name = { 0 };

		if (cgroup_find_user(cases[i].path, uid) != (cases[i].uid[0] != '\0') || strcmp(uid, cases[i].uid) != 0)
			fail_msg("%s: '%s'", cases[i].path, uid);
		if (cgroup_parse(cases[i].path, &name) && strcmp(name.uid, uid) != 0)
			fail_msg("%s: the container's user '%s'", cases[i].path, name.uid);
	}
}

/* How much of a path is the container's own, and how much is its maker's. */
static void test_bytes(void **state)
{
	static const struct {
		const char *path, *container, *owner;
		const char *low_level; /* what runc or crun know of; "": nothing */
	} cases[] = {
		{ "/docker/" ID, "/docker/" ID, "/docker/" ID, "" },
		{ "/docker/" ID "/a/b", "/docker/" ID, "/docker/" ID, "" },
		{ "/docker/" ID "/docker/" ID_B "/a", "/docker/" ID, "/docker/" ID, "" },
		{ "//docker//" ID "//a", "//docker//" ID, "//docker//" ID, "" },
		{ PODS SLICE_BU "/cri-containerd-" ID ".scope/a", PODS SLICE_BU "/cri-containerd-" ID ".scope", PODS SLICE_BU, "" },
		{ PODS SLICE_BU, "", PODS SLICE_BU, "" },
		{ "/kubepods/burstable/pod" UID "/" ID "/a", "/kubepods/burstable/pod" UID "/" ID, "/kubepods/burstable/pod" UID, "" },
		{ "/system.slice/lxc.service/lxc.payload.web/a", "/system.slice/lxc.service/lxc.payload.web",
		  "/system.slice/lxc.service/lxc.payload.web", "" },
		{ "/system.slice/a.service/b/c", "", "/system.slice/a.service", "" },
		{ "/system.slice/system-a.slice/a@1.service/b", "", "/system.slice/system-a.slice/a@1.service", "" },
		{ "/system.slice/b.scope/x", "", "/system.slice/b.scope", "" },
		/* who is logged in may call a cgroup what he likes */
		{ USER "/libpod-" ID ".scope/container", USER "/libpod-" ID ".scope", "/user.slice/user-1000.slice", "" },
		{ "/user.slice/user-1000.slice/session-3.scope/x", "", "/user.slice/user-1000.slice", "" },
		{ "/user@1000.service/docker/" ID, "/user@1000.service/docker/" ID, "/user@1000.service", "" },
		{ "/docker/" ID "/user.slice/user-0.slice", "/docker/" ID, "/docker/" ID, "" },
		/* nor does he become as many owners as he likes: */
		{ "/a/user-1/b", "", "/a", "" },
		{ "/system.slice/a.service/user-1.slice/b", "", "/system.slice/a.service", "" },
		{ "/system.slice/a.service/user@1.service/b", "", "/system.slice/a.service", "" },
		/* somebody's own */
		{ "/a", "", "/a", "" },
		{ "/a/b/c", "", "/a", "" },
		{ "/a.slice/b/c", "", "/a.slice/b", "" },
		{ "/a.slice/b.slice", "", "/a.slice/b.slice", "" },
		{ "/", "", "/", "" },
		/* runc by its id */
		{ "/a/b/c", "", "/a/b", "/a/b" },
		{ "/system.slice/a.service/b/c", "", "/system.slice/a.service/b", "/system.slice/a.service/b" },
		{ "/docker/" ID "/b/c", "/docker/" ID, "/docker/" ID, "/docker/" ID "/b" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cgroup_name name = { 0 };
		size_t owner = cgroup_owner_bytes(cases[i].path, strlen(cases[i].low_level));

		cgroup_parse(cases[i].path, &name);
		if (name.container_bytes != strlen(cases[i].container) ||
		    strncmp(cases[i].path, cases[i].container, name.container_bytes))
			fail_msg("%s: container %.*s", cases[i].path, (int)name.container_bytes, cases[i].path);
		if (owner != strlen(cases[i].owner) || strncmp(cases[i].path, cases[i].owner, owner))
			fail_msg("%s: owner %.*s", cases[i].path, (int)owner, cases[i].path);
	}
}

static void test_places(void **state)
{
	static const struct {
		const char *path;
		bool place;
	} cases[] = {
		{ "/", true },
		{ "/system.slice", true },
		{ "/system.slice/system-a.slice", true },
		{ "/machine.slice", true },
		{ "/docker", true },
		{ "/lxc", true },
		{ "/lxc.payload", true },
		{ PODS, true },
		{ "/kubepods/burstable", true },
		{ PODS SLICE_BU, false },
		{ PODS SLICE_G, false },
		{ "/kubepods/burstable/pod" UID, false },
		{ "/machine.slice/machine-libpod_pod_" ID ".slice", false },
		{ "/docker/" ID, false },
		{ "/system.slice/a.service", false },
		{ "/pods", false },
		{ "/a/b", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (cgroup_is_place(cases[i].path) != cases[i].place)
			fail_msg("%s", cases[i].path);
}

static void test_below(void **state)
{
	(void)state;
	assert_true(cgroup_is_below("/a/b", "/a"));
	assert_true(cgroup_is_below("/a", "/a"));
	assert_true(cgroup_is_below("/a", "/"));
	assert_false(cgroup_is_below("/ab", "/a"));
	assert_false(cgroup_is_below("/a", "/a/b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runtimes), cmocka_unit_test(test_no_container),
		cmocka_unit_test(test_escapes),	 cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_common),	 cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_users),	 cmocka_unit_test(test_bytes),	 cmocka_unit_test(test_places),
		cmocka_unit_test(test_below),
	};

	return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
