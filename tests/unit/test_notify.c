// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
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
#include "supervisor/operator/notify.h"

static void test_address(void **state)
{
	static const struct {
		const char *name;
		int err;
		size_t length; /* of the address behind its family */
	} cases[] = {
		{ "/run/systemd/notify", 0, 20 }, /* with its NUL */
		{ "@/org/manager", 0, 13 },	  /* without */
		{ "", -EAFNOSUPPORT, 0 },
		{ "/", -EAFNOSUPPORT, 0 },
		{ "@", -EAFNOSUPPORT, 0 },
		{ "run/notify", -EAFNOSUPPORT, 0 },
		{ "vsock:2:1234", -EAFNOSUPPORT, 0 },
	};
	struct sockaddr_un address;
	socklen_t size;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(&address, 'x', sizeof(address));
		assert_int_equal(notify_address(cases[i].name, &address, &size), cases[i].err);
		if (cases[i].err)
			continue;
		assert_int_equal(address.sun_family, AF_UNIX);
		assert_int_equal(size, offsetof(struct sockaddr_un, sun_path) + cases[i].length);
		assert_int_equal(address.sun_path[0], cases[i].name[0] == '@' ? 0 : '/');
		assert_string_equal(address.sun_path + 1, cases[i].name + 1);
	}
}

/* The longest that fits, and one byte more. */
static void test_address_length(void **state)
{
	struct sockaddr_un address;
	char name[sizeof(address.sun_path) + 1];
	socklen_t size;

	(void)state;
	memset(name, 'n', sizeof(name));
	name[0] = '@';
	name[sizeof(address.sun_path) - 1] = '\0';
	assert_int_equal(notify_address(name, &address, &size), 0);
	name[sizeof(address.sun_path) - 1] = 'n';
	name[sizeof(address.sun_path)] = '\0';
	assert_int_equal(notify_address(name, &address, &size), -ENAMETOOLONG);
}

static void test_watchdog(void **state)
{
	static const struct {
		const char *usec, *for_pid;
		uint64_t ms;
	} cases[] = {
		{ NULL, NULL, 0 },
		{ "30000000", NULL, 15000 },
		{ "30000000", "77", 15000 },
		{ "30000000", "78", 0 },
		{ "1", NULL, 1 },
		{ "0", NULL, 0 },
		{ "", NULL, 0 },
		{ "30s", NULL, 0 },
		{ NULL, "77", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(notify_watchdog_ms(cases[i].usec, cases[i].for_pid, 77), cases[i].ms);
}

/* A manager that listens there, with the environment that it gives to a service. */
struct manager {
	char directory[32], path[64];
	int fd;
};

static void listen_at(struct manager *manager, const char *name)
{
	struct sockaddr_un address;
	socklen_t size;

	assert_int_equal(notify_address(name, &address, &size), 0);
	manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(manager->fd, (struct sockaddr *)&address, size), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	setenv("WATCHDOG_USEC", "3000000", 1);
	unsetenv("WATCHDOG_PID");
}

static int setup(void **state)
{
	static struct manager manager;

	strcpy(manager.directory, "/tmp/bpftune-notify-XXXXXX");
	if (!mkdtemp(manager.directory))
		return -1;
	snprintf(manager.path, sizeof(manager.path), "%s/notify", manager.directory);
	*state = &manager;
	return 0;
}

static int teardown(void **state)
{
	struct manager *manager = *state;

	unsetenv("NOTIFY_SOCKET");
	close_fdp(&manager->fd);
	unlink(manager->path);
	return rmdir(manager->directory);
}

static void expect(const struct manager *manager, const char *text)
{
	char bytes[64] = "";

	if (!text)
		assert_int_equal(recv(manager->fd, bytes, sizeof(bytes), 0), -1);
	else
		assert_int_equal(recv(manager->fd, bytes, sizeof(bytes), 0), strlen(text));
	assert_string_equal(bytes, text ? text : "");
}

static void test_send(void **state)
{
	struct manager *manager = *state;
	char abstract[64];
	const char *names[] = { manager->path, abstract };

	snprintf(abstract, sizeof(abstract), "@bpftune-notify-%d", getpid());
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct notify notify;

		listen_at(manager, names[i]);
		notify_open(&notify);
		assert_int_equal(notify.watchdog_ms, 1500);
		assert_null(getenv("NOTIFY_SOCKET"));
		assert_null(getenv("WATCHDOG_USEC"));
		expect(manager, NULL);
		assert_int_equal(notify_send(&notify, "READY=1\nSTATUS=here"), 0);
		expect(manager, "READY=1\nSTATUS=here");
		notify_close(&notify);
		assert_int_equal(notify_send(&notify, "STOPPING=1"), 0);
		expect(manager, NULL);
		close_fdp(&manager->fd);
	}
}

/* A manager that does not read, and one that is executed again: neither blocks us, nor loses us for good. */
static void test_never_blocks(void **state)
{
	struct manager *manager = *state;
	struct notify notify;
	int err, sent = 0;

	listen_at(manager, manager->path);
	notify_open(&notify);
	while (!(err = notify_send(&notify, "WATCHDOG=1")) && sent < 100000)
		sent++;
	assert_int_equal(err, -EAGAIN);
	assert_true(sent > 0);
	close_fdp(&manager->fd);
	assert_int_equal(notify_send(&notify, "WATCHDOG=1"), -ECONNREFUSED);
	unlink(manager->path);
	assert_int_equal(notify_send(&notify, "WATCHDOG=1"), -ENOENT);
	listen_at(manager, manager->path);
	assert_int_equal(notify_send(&notify, "WATCHDOG=1"), 0);
	expect(manager, "WATCHDOG=1");
	notify_close(&notify);
}

static void test_nobody_asks(void **state)
{
	static const char *const names[] = { NULL, "", "nonsense" };
	struct notify notify;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (names[i])
			setenv("NOTIFY_SOCKET", names[i], 1);
		setenv("WATCHDOG_USEC", "3000000", 1);
		notify_open(&notify);
		assert_int_equal(notify.fd, -1);
		assert_int_equal(notify.watchdog_ms, 0);
		assert_int_equal(notify_send(&notify, "READY=1"), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_address_length),
		cmocka_unit_test(test_watchdog),
		cmocka_unit_test_setup_teardown(test_send, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_blocks, setup, teardown),
		cmocka_unit_test(test_nobody_asks),
	};

	return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
