// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/remote.h"

static void test_text(void **state)
{
	static const struct {
		__u8 address[16];
		const char *text;
	} cases[] = {
		{ { [10] = 0xff, 0xff, 10, 9, 1, 1 }, "10.9.1.1" },
		{ { [10] = 0xff, 0xff, 255, 255, 255, 255 }, "255.255.255.255" },
		{ { [10] = 0xff, 0xff }, "0.0.0.0" },
		{ { 0x20, 0x01, 0x0d, 0xb8 }, "2001:db8::/64" },
		{ { 0x20, 0x01, 0x0d, 0xb8, 0x12, 0x34, 0x56, 0x78 }, "2001:db8:1234:5678::/64" },
		{ { 0xfe, 0x80 }, "fe80::/64" },
		{ { 0 }, "::/64" },
		{ { [8] = 24, [10] = 0xff, 0xff, 10, 9, 1, 0 }, "10.9.1.0/24" },
		{ { 0x20, 0x01, 0x0d, 0xb8, [8] = 48 }, "2001:db8::/48" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct remote remote;
		char text[REMOTE_TEXT_BYTES];

		memcpy(remote.address, cases[i].address, sizeof(remote.address));
		assert_string_equal(remote_text(&remote, text), cases[i].text);
	}
}

/* A host's network is another remote than each host in it, its first one included. */
static void test_network(void **state)
{
	static const struct {
		__u8 address[16];
		const char *text;
	} cases[] = {
		{ { [10] = 0xff, 0xff, 10, 9, 1, 255 }, "10.9.1.0/24" },
		{ { [10] = 0xff, 0xff, 10, 9, 1, 0 }, "10.9.1.0/24" },
		{ { 0x20, 0x01, 0x0d, 0xb8, 0x12, 0x34, 0x56, 0x78 }, "2001:db8:1234::/48" },
		{ { 0 }, "::/48" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct remote host, network;
		char text[REMOTE_TEXT_BYTES];

		memcpy(host.address, cases[i].address, sizeof(host.address));
		network = host;
		remote_widen(&network);
		assert_false(remote_is_network(&host));
		assert_true(remote_is_network(&network));
		assert_memory_not_equal(&host, &network, sizeof(host));
		assert_string_equal(remote_text(&network, text), cases[i].text);
	}
}

/* The longest text there is fits. */
static void test_capacity(void **state)
{
	struct remote remote;
	char text[REMOTE_TEXT_BYTES];

	(void)state;
	memset(remote.address, 0xff, sizeof(remote.address));
	assert_string_equal(remote_text(&remote, text), "ffff:ffff:ffff:ffff:ff:ffff:ffff:ffff/255");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_capacity),
	};

	return cmocka_run_group_tests_name("remote", tests, NULL, NULL);
}
