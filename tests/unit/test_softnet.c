// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/softnet.h"

#define CPUS 4

/* As Linux 6.18 writes them. CPU 1 is offline. */
static const char softnet_stat[] =
	"06244c23 0000002e 0000000b 00000000 00000000 00000000 00000000 00000000 00000000 00000007 00000003 00000000 00000000 00000000 00000000\n"
	"00000010 ffffffff 0000000f 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000002 00000000 00000000\n";
static const char proc_stat[] = "cpu  1 5 1974992 5516778 12497 0 73324 32497 0 0\n"
				"cpu0 1 2 3 40 5 6 7 8 900 1000\n"
				"cpu2 1 0 0 4 0 0 0 0 0 0\n"
				"intr 101401189 0 0\n"
				"cpu1 1 2 3 4 5 6 7 8 9 10\n";

static int parse(const char *softnet_text, const char *stat_text, struct softnet_cpu *cpus, size_t n)
{
	_cleanup_fclose_ FILE *softnet_file = fmemopen((void *)softnet_text, strlen(softnet_text), "r");
	_cleanup_fclose_ FILE *stat_file = fmemopen((void *)stat_text, strlen(stat_text), "r");

	assert_non_null(softnet_file);
	assert_non_null(stat_file);
	return softnet_parse(softnet_file, stat_file, cpus, n);
}

static void test_parse(void **state)
{
	struct softnet_cpu cpus[CPUS] = { { 0 } };

	(void)state;
	assert_int_equal(parse(softnet_stat, proc_stat, cpus, CPUS), 3);
	assert_true(cpus[0].processed == 0x06244c23 && cpus[0].dropped == 0x2e && cpus[0].squeezed == 0xb);
	assert_int_equal(cpus[0].flow_limited, 3);
	assert_true(cpus[0].idle == 45 && cpus[0].all == 72);
	assert_true(cpus[2].processed == 16 && cpus[2].dropped == UINT32_MAX && !cpus[2].flow_limited);
	assert_true(cpus[2].idle == 4 && cpus[2].all == 5);
	assert_int_equal(cpus[1].all, 0);
	assert_int_equal(cpus[3].all, 0);
}

static void test_parse_of_more_cpus(void **state)
{
	struct softnet_cpu cpus[2] = { { 0 } };

	(void)state;
	assert_int_equal(parse(softnet_stat, proc_stat, cpus, 2), 1);
	assert_int_equal(cpus[0].dropped, 0x2e);
	assert_int_equal(cpus[1].all, 0);
}

static void test_parse_what_is_bad(void **state)
{
	struct softnet_cpu cpus[CPUS] = { { 0 } };

	(void)state;
	assert_int_equal(parse("06244c23 0000002e\n", proc_stat, cpus, CPUS), -EBADMSG);
	assert_int_equal(parse("\n", proc_stat, cpus, CPUS), -EBADMSG);
	assert_int_equal(parse(softnet_stat, "", cpus, CPUS), -EBADMSG);
	assert_int_equal(parse("", proc_stat, cpus, CPUS), -EBADMSG);
}

static void test_this_machine(void **state)
{
	struct softnet_cpu cpus[256] = { { 0 } };
	int n = softnet_read(cpus, 256);

	(void)state;
	assert_in_range(n, 1, 256);
	assert_true(cpus[n - 1].all && cpus[n - 1].idle <= cpus[n - 1].all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_of_more_cpus),
		cmocka_unit_test(test_parse_what_is_bad),
		cmocka_unit_test(test_this_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
