// SPDX-License-Identifier: GPL-2.0-or-later
/* One tunable, one owner, whichever way its name is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/kernel/plugin.h"

static const struct bpftune_tunable of_first[] = {
	{ .name = "net.ipv4.tcp_wmem" },
	{ .name = "net.ipv4.conf.eth0/1.rp_filter" },
	{ .name = "arp_cache.thresh3", .kind = BPFTUNE_NEIGHTBL },
};
static const struct bpftune_tuner first = { .name = "first", .tunables = of_first, .n_tunables = ARRAY_SIZE(of_first) };
static const struct bpftune_tuner none = { .name = "none" };

static void test_owned(void **state)
{
	static const struct {
		struct bpftune_tunable tunable;
		bool owned;
	} cases[] = {
		{ { .name = "net.ipv4.tcp_wmem" }, true },
		{ { .name = "net.ipv4.tcp_rmem" }, false },
		{ { .name = "net.ipv4.conf.eth0/1.rp_filter" }, true },
		{ { .name = "net.ipv4.conf.eth0.1.rp_filter" }, false },
		{ { .name = "arp_cache.thresh3", .kind = BPFTUNE_NEIGHTBL }, true },
		{ { .name = "arp_cache.thresh3" }, false }, /* a sysctl of that name */
		{ { .name = "net.ipv4.tcp_wmem", .kind = BPFTUNE_NEIGHTBL }, false },
		{ { .name = "/a" }, false }, /* no sysctl's name */
	};
	const struct plugins plugins = { .n = 2, .tuners = { &none, &first } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct bpftune_tunable both[] = { { .name = "net.core.somaxconn" }, cases[i].tunable };
		const struct bpftune_tuner second = { .name = "second", .tunables = both, .n_tunables = ARRAY_SIZE(both) };
		const struct bpftune_tuner *owner = NULL;
		const struct bpftune_tunable *found = plugins_find_owned(&plugins, &second, &owner);

		if (found != (cases[i].owned ? &both[1] : NULL) || owner != (cases[i].owned ? &first : NULL))
			fail_msg("%s", cases[i].tunable.name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_owned) };

	return cmocka_run_group_tests_name("plugin", tests, NULL, NULL);
}
