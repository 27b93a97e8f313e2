// SPDX-License-Identifier: GPL-2.0-or-later
/* One tunable, one owner, whichever way its name is written. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

/* A removed tuner's tunables are its own, to be rolled back, until a later tuner owns them. */
static void test_owner(void **state)
{
	static const struct bpftune_tuner one = { .name = "one", .tunables = of_first, .n_tunables = 1 };
	struct plugins plugins = { .n = 2, .tuners = { &first, &one }, .states = { PLUGIN_REMOVED } };

	(void)state;
	assert_false(plugins_is_owner(&plugins, 0, 0));
	assert_true(plugins_is_owner(&plugins, 0, 1));
	assert_true(plugins_is_owner(&plugins, 1, 0));
	plugins.states[1] = PLUGIN_REMOVED; /* the last one to go */
	assert_false(plugins_is_owner(&plugins, 0, 0));
	assert_true(plugins_is_owner(&plugins, 1, 0));
}

/* What a removed tuner owned is free for another; of the tuner, nothing is left that could be called. */
static void test_removed(void **state)
{
	struct plugins plugins = { .n = 1, .tuners = { &first }, .paths = { (char[]){ "/first.so" } } };
	const struct bpftune_tuner *owner;

	(void)state;
	assert_int_equal(plugins_find_path(&plugins, "/first.so"), 0);
	assert_non_null(plugins_find_owned(&plugins, &first, &owner));
	plugins_remove(&plugins, 0);
	assert_int_equal(plugins_find_path(&plugins, "/first.so"), -1);
	assert_null(plugins_find_owned(&plugins, &first, &owner));
	assert_string_equal(plugins.tuners[0]->name, "first");
	assert_ptr_equal(plugins.tuners[0]->tunables, of_first);
	assert_int_equal(plugins.tuners[0]->n_scenarios, 0);
	assert_null(plugins.tuners[0]->event);
}

static void test_file_names(void **state)
{
	static const char *const tuners[] = { "a.so", "poke.so", "x.1.so" };
	static const char *const others[] = { ".so", ".poke.so", "poke.so.dpkg-new", "poke.so;5f3a", "poke", "poke.so~", "so", "" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tuners); i++)
		assert_true(plugin_file_is_tuner(tuners[i]));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(plugin_file_is_tuner(others[i]));
}

static void test_no_shared_object(void **state)
{
	FILE *file = tmpfile();
	uint32_t abi;

	(void)state;
	assert_non_null(file);
	assert_int_equal(plugin_file_abi(fileno(file), &abi), -ENOEXEC); /* empty */
	fputs("\177ELF\2\1\1 and no more", file);
	fflush(file);
	assert_int_equal(plugin_file_abi(fileno(file), &abi), -ENOEXEC);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_owned), cmocka_unit_test(test_owner),
					   cmocka_unit_test(test_removed), cmocka_unit_test(test_file_names),
					   cmocka_unit_test(test_no_shared_object) };

	return cmocka_run_group_tests_name("plugin", tests, NULL, NULL);
}
