// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "worker/procnet.h"

#define COUNTER(the_group, the_name)                 \
	{                                            \
		.group = the_group, .name = the_name \
	}

/* As Linux 6.18 writes them, cut. */
static const char snmp[] =
	"Ip: Forwarding DefaultTTL InReceives InHdrErrors\nIp: 2 64 8122 0\n"
	"Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens\nTcp: 1 200 120000 -1 1011 42\n"
	"Udp: InDatagrams NoPorts InErrors OutDatagrams\nUdp: 77 0 0 77\n";

static int read_text(const char *text, struct bpftune_counter *counters, size_t n)
{
	_cleanup_fclose_ FILE *file = fmemopen((void *)text, strlen(text), "r");

	assert_non_null(file);
	return procnet_read(file, counters, n);
}

static void test_read(void **state)
{
	struct bpftune_counter counters[] = {
		COUNTER("Tcp", "PassiveOpens"), COUNTER("Tcp", "MaxConn"), COUNTER("Ip", "Forwarding"),
		COUNTER("Ip", "PassiveOpens"),	COUNTER("Tcp", "Passive"), COUNTER("Tcp", "RtoAlgorithm"),
	};

	(void)state;
	assert_int_equal(read_text(snmp, counters, ARRAY_SIZE(counters)), 0);
	assert_true(counters[0].found && counters[0].value == 42);
	assert_true(counters[1].found && counters[1].value == UINT64_MAX);
	assert_true(counters[2].found && counters[2].value == 2);
	assert_false(counters[3].found); /* of another group */
	assert_false(counters[4].found); /* only the beginning of a name */
	assert_true(counters[5].found && counters[5].value == 1);
}

static void test_pairs(void **state)
{
	static const struct {
		const char *names, *values;
		int err;
		uint64_t value; /* of "X: b"; 0: not found */
	} cases[] = {
		{ "X: a b\n", "X: 1 2\n", 0, 2 },
		{ "X: a b", "X: 1 2", 0, 2 },
		{ "X: a  b \n", "X: 1 2 \n", 0, 2 },
		{ "X: b\n", "X: 18446744073709551615\n", 0, UINT64_MAX },
		{ "X:\n", "X:\n", 0, 0 },
		{ "Y: b\n", "Y: 1\n", 0, 0 },
		{ "X: b\n", "X: 18446744073709551616\n", -EBADMSG, 0 },
		{ "X: b\n", "X: 184467440737095516150\n", -EBADMSG, 0 },
		{ "X: a b\n", "X: 1\n", -EBADMSG, 0 },
		{ "X: a\n", "X: 1 2\n", -EBADMSG, 0 },
		{ "X: b\n", "X: -\n", -EBADMSG, 0 },
		{ "X: b\n", "X: 2x\n", -EBADMSG, 0 },
		{ "X: b\n", "X: +2\n", -EBADMSG, 0 },
		{ "X: b\n", "Y: 2\n", -EBADMSG, 0 },
		{ "X: b\n", "XY: 2\n", -EBADMSG, 0 },
		{ "X: b\n", "\n", -EBADMSG, 0 },
		{ "X: b\n", "", -EBADMSG, 0 },
		{ "X b\n", "X 2\n", -EBADMSG, 0 },
		{ ": b\n", ": 2\n", -EBADMSG, 0 },
		{ "\n", "\n", -EBADMSG, 0 },
		{ "", "", -EBADMSG, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bpftune_counter counter = COUNTER("X", "b");
		int err = procnet_pair(cases[i].names, cases[i].values, &counter, 1);

		if (err != cases[i].err || counter.value != cases[i].value || counter.found != !!cases[i].value)
			fail_msg("%s%s: %d, %llu", cases[i].names, cases[i].values, err,
				 (unsigned long long)counter.value);
	}
}

static void test_cut_file(void **state)
{
	struct bpftune_counter counter = COUNTER("Tcp", "PassiveOpens");

	(void)state;
	assert_int_equal(read_text("Ip: a\nIp: 1\nTcp: PassiveOpens\n", &counter, 1), -EBADMSG);
	assert_false(counter.found);
	assert_int_equal(read_text("\n", &counter, 1), -EBADMSG);
}

static void test_own_namespace(void **state)
{
	struct bpftune_counter counters[] = {
		COUNTER("Tcp", "PassiveOpens"),
		COUNTER("TcpExt", "ListenOverflows"),
		{ .group = "TcpExt", .name = "NoSuchCounter", .value = 7, .found = true },
	};

	(void)state;
	assert_int_equal(bpftune_counters(NULL, counters, ARRAY_SIZE(counters)), 0);
	assert_true(counters[0].found && counters[1].found);
	assert_false(counters[2].found);
	assert_int_equal(counters[2].value, 7);
}

static void test_available_pages(void **state)
{
	(void)state;
	assert_in_range(bpftune_available_pages(), 1, sysconf(_SC_PHYS_PAGES));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_cut_file),
		cmocka_unit_test(test_own_namespace),
		cmocka_unit_test(test_available_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
