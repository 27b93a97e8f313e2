// SPDX-License-Identifier: GPL-2.0-or-later
/* Cgroup paths as the runtimes make them, and as somebody might to deceive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/pair.h"

#define ID "3f4a8c1e9b7d2056a1c3e5f70918273645546372819a0bcdef123456789abcde"
#define ID_B "0011223344556677889900aabbccddeeff0011223344556677889900aabbccdd"
#define POD "kubepods-burstable-pod1b0f3a52_66c1_4b8e_9d3c_2f7a51e0c4d9.slice"
#define LONG_64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_255 LONG_64 LONG_64 LONG_64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_runtimes(void **state)
{
	static const struct {
		const char *path, *runtime, *container_id;
	} cases[] = {
		{ "/system.slice/docker-" ID ".scope", "docker", ID },
		{ "/system.slice/docker-" ID ".scope/init", "docker", ID },
		{ "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" ID ".scope", "docker", ID },
		{ "/machine.slice/libpod-" ID ".scope", "podman", ID },
		{ "/machine.slice/libpod-" ID ".scope/container", "podman", ID },
		{ "/machine.slice/machine-libpod_pod_" ID_B ".slice/libpod-" ID ".scope", "podman", ID },
		{ "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope/container", "podman", ID },
		{ "/kubepods.slice/kubepods-burstable.slice/" POD "/crio-" ID ".scope", "cri-o", ID },
		{ "/kubepods.slice/kubepods-burstable.slice/" POD "/crio-" ID ".scope/container", "cri-o", ID },
		{ "/kubepods.slice/kubepods-burstable.slice/" POD "/cri-containerd-" ID ".scope", "containerd", ID },
		{ "/kubelet.slice/kubelet-kubepods.slice/" POD "/cri-containerd-" ID ".scope", "containerd", ID },
		{ "/lxc.payload.web", "lxc", "web" },
		{ "/lxc.payload.web-1/system.slice/ssh.service", "lxc", "web-1" },
		{ "/lxc.payload.my.host/init.scope", "lxc", "my.host" },
		{ "/machine.slice/systemd-nspawn@web.service/payload", "systemd-nspawn", "web" },
		{ "/machine.slice/systemd-nspawn@web.service/payload/system.slice/ssh.service", "systemd-nspawn", "web" },
		{ "/machine.slice/machine-web.scope/payload/init.scope", "systemd-nspawn", "web" },
		/* one in another: its own */
		{ "/lxc.payload.web/system.slice/docker-" ID ".scope", "docker", ID },
		{ "/system.slice/docker-" ID ".scope/system.slice/docker-" ID_B ".scope", "docker", ID_B },
		/* below the root of the reader's own cgroup namespace */
		{ "/../docker-" ID ".scope", "docker", ID },
		{ "docker-" ID ".scope", "docker", ID },
		{ "//docker-" ID ".scope//", "docker", ID },
		{ "/docker-x.scope", "docker", "x" },
		{ "/docker-" LONG_255 ".scope", "docker", LONG_255 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pair_name name = { .runtime = "" };

		if (!pair_parse_cgroup(cases[i].path, &name) || strcmp(name.runtime, cases[i].runtime) ||
		    strcmp(name.container_id, cases[i].container_id))
			fail_msg("%s: %s, %s", cases[i].path, name.runtime, name.container_id);
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
		"/system.slice/docker.service",
		"/system.slice/docker.socket",
		"/system.slice/containerd.service",
		"/system.slice/docker-" ID ".service",
		"/system.slice/docker-" ID ".scope.d",
		"/system.slice/docker-" ID,
		"/system.slice/docker-.scope",
		"/system.slice/docker-",
		"/system.slice/.scope",
		"/system.slice/mydocker-" ID ".scope",
		"/system.slice/Docker-" ID ".scope",
		"/system.slice/docker-" ID "/.scope",
		"/docker-" LONG_255 "a.scope",
		"/docker-" LONG_255 LONG_255 LONG_255 ".scope",
		"/machine.slice",
		"/machine.slice/machine-.scope",
		"/machine.slice/systemd-nspawn@.service",
		"/machine.slice/machine-libpod_pod_" ID ".slice",
		"/lxc.payload.",
		"/lxc.monitor.web",
		"/lxc.payload",
		"/kubepods.slice/kubepods-burstable.slice/" POD,
		"/user.slice/user-1000.slice/session-3.scope",
		"/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-4711.scope",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct pair_name name = { .runtime = "" };

		if (pair_parse_cgroup(paths[i], &name))
			fail_msg("%s: %s, %s", paths[i], name.runtime, name.container_id);
	}
}

/* Too long to be an id, but in something that is a container. */
static void test_too_long_falls_back(void **state)
{
	struct pair_name name = { 0 };

	(void)state;
	assert_true(pair_parse_cgroup("/docker-" ID ".scope/docker-" LONG_255 "a.scope/x", &name));
	assert_string_equal(name.container_id, ID);
}

#define DAEMON "/system.slice/bpftune.service"
#define DOCKER "/system.slice/docker-" ID ".scope"

static void test_cgroup_of(void **state)
{
	static const struct {
		const char *what, *theirs, *ours, *path; /* NULL: none */
	} cases[] = {
		{ "unified", "0::" DOCKER "\n", "0::" DAEMON "\n", DOCKER },
		{ "unified, we in the root", "0::" DOCKER "\n", "0::/\n", DOCKER },
		{ "unified, they in the root", "0::/\n", "0::" DAEMON "\n", NULL },
		{ "unified, the same", "0::" DAEMON "\n", "0::" DAEMON "\n", NULL },
		{ "unified, all in the root", "0::/\n", "0::/\n", NULL },
		{ "unified, below ours", "0::" DAEMON "/sub\n", "0::" DAEMON "\n", DAEMON "/sub" },
		{ "unified, above ours", "0::/system.slice\n", "0::" DAEMON "\n", "/system.slice" },
		{ "unified, as long as ours", "0::/a\n", "0::/b\n", "/a" },
		{ "unified, in another's cgroup namespace", "0::/../docker-x.scope\n", "0::/\n", "/../docker-x.scope" },
		{ "no newline at the end", "0::/a", "0::/b", "/a" },
		{ "a colon in the name", "0::/a:b::c\n", "0::/\n", "/a:b::c" },
		{ "hybrid, in cgroup2 as well",
		  "13:memory:" DOCKER "\n1:name=systemd:" DOCKER "\n0::" DOCKER "/init\n",
		  "13:memory:/\n1:name=systemd:" DAEMON "\n0::" DAEMON "\n", DOCKER "/init" },
		{ "hybrid, cgroup2 unused",
		  "13:memory:/docker/x\n12:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n0::/\n",
		  "13:memory:/\n12:cpu,cpuacct:/\n1:name=systemd:/init.scope\n0::/\n", "/docker/x" },
		{ "hybrid, the first hierarchies say nothing",
		  "13:cpuset:/\n12:memory:/same\n11:pids:/docker/x\n1:name=systemd:/late\n0::/\n",
		  "13:cpuset:/\n12:memory:/same\n11:pids:/\n1:name=systemd:/\n0::/\n", "/docker/x" },
		{ "hybrid, cgroup2 the same place",
		  "11:pids:/docker/x\n0::/user.slice\n", "11:pids:/\n0::/user.slice\n", "/docker/x" },
		{ "a hierarchy's number within another's",
		  "1:name=systemd:/a\n11:pids:/b\n", "11:pids:/\n1:name=systemd:/a\n", "/b" },
		{ "without cgroup2", "2:pids:/docker/x\n1:name=systemd:/docker/x\n", "2:pids:/\n1:name=systemd:/\n", "/docker/x" },
		{ "hybrid, the same", "2:pids:/a\n0::/\n", "2:pids:/a\n0::/\n", NULL },
		{ "a hierarchy that we are not in", "2:pids:/a\n0::/\n", "0::/\n", "/a" },
		{ "we have none", "0::/a\n", "", "/a" },
		{ "they have none", "", "0::/a\n", NULL },
		{ "an empty line", "\n0::/a\n", "0::/\n", "/a" },
		{ "no path", "0::\n", "0::/a\n", NULL },
		{ "cut in the middle", "0:", "0::/a\n", NULL },
		{ "no colons", "garbage", "0::/a\n", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char path[256] = "";
		bool found = pair_cgroup_of(cases[i].theirs, cases[i].ours, path, sizeof(path));

		if (found != (cases[i].path != NULL) || (found && strcmp(path, cases[i].path)))
			fail_msg("%s: %s", cases[i].what, found ? path : "none");
	}
}

/* What does not fit with its NUL is not cut: a shorter path is another cgroup. */
static void test_cgroup_of_too_long(void **state)
{
	char path[] = "########";

	(void)state;
	assert_false(pair_cgroup_of("0::/1234567\n", "0::/\n", path, 8));
	assert_string_equal(path, "########");
	assert_true(pair_cgroup_of("0::/123456\n", "0::/\n", path, 8));
	assert_string_equal(path, "/123456");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runtimes),
		cmocka_unit_test(test_no_container),
		cmocka_unit_test(test_too_long_falls_back),
		cmocka_unit_test(test_cgroup_of),
		cmocka_unit_test(test_cgroup_of_too_long),
	};

	return cmocka_run_group_tests_name("pair", tests, NULL, NULL);
}
