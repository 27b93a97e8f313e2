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
#include "worker/limits_met.h"
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
		COUNTER("snmp6", "NoSuchCounter"),
		COUNTER("snmp6", "Ip6InReceives"),
	};

	(void)state;
	assert_int_equal(bpftune_counters(NULL, counters, ARRAY_SIZE(counters)), 0);
	assert_true(counters[0].found && counters[1].found);
	assert_false(counters[2].found);
	assert_int_equal(counters[2].value, 7);
	assert_false(counters[3].found);
	assert_int_equal(counters[4].found, !access("/proc/self/net/snmp6", R_OK));
}

static void test_lines(void **state)
{
	static const char text[] = "Ip6InReceives                   \t12\nUdp6RcvbufErrors\t34\n";
	static const char bad[] = "Ip6InReceives 12\nUdp6RcvbufErrors\n";
	_cleanup_fclose_ FILE *file = fmemopen((void *)text, sizeof(text) - 1, "r");
	_cleanup_fclose_ FILE *cut = fmemopen((void *)bad, sizeof(bad) - 1, "r");
	struct bpftune_counter counters[] = { COUNTER("snmp6", "Udp6RcvbufErrors"),
					      COUNTER("other", "Udp6RcvbufErrors") };

	(void)state;
	assert_int_equal(procnet_lines(file, "snmp6", counters, ARRAY_SIZE(counters)), 0);
	assert_true(counters[0].found && counters[0].value == 34);
	assert_false(counters[1].found);
	assert_int_equal(procnet_lines(cut, "snmp6", counters, ARRAY_SIZE(counters)), -EBADMSG);
}

/* A table with its names or without, of two CPUs. */
static void test_table(void **state)
{
	static const struct {
		const char *text, *names;
		int err;
		uint64_t b; /* 0: not found */
	} cases[] = {
		{ "a b\n00000001 00000010\n00000001 0000000f\n", NULL, 0, 31 },
		{ "a b\n00000001 00000010 00000007\n", NULL, 0, 16 }, /* a column without a name */
		{ "1 10\n1 f\n", "a b", 0, 31 },
		{ "1 10\n", "a", 0, 0 },
		{ "a b\n", NULL, 0, 0 },
		{ "a b\n1\n", NULL, -EBADMSG, 0 },
		{ "a b\n1 g\n", NULL, -EBADMSG, 0 },
		{ "\n", NULL, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_fclose_ FILE *file = fmemopen((void *)cases[i].text, strlen(cases[i].text), "r");
		struct bpftune_counter counter = COUNTER("x", "b");
		int err = procnet_table(file, "x", cases[i].names, &counter, 1);

		if (err != cases[i].err || (!err && (counter.found != !!cases[i].b || counter.value != cases[i].b)))
			fail_msg("case %zu: %d, %llu", i, err, (unsigned long long)counter.value);
	}
}

/* Every kernel that is supported has these; each limit has a name. */
static void test_limits_met(void **state)
{
	struct limits_met met = { 0 };

	(void)state;
	for (size_t i = 0; i < N_LIMITS_MET; i++)
		assert_non_null(limit_met_kinds[i].name);
	limits_met_read(false, &met);
	assert_true(met.counts[LIMIT_LISTEN_OVERFLOWS] != LIMITS_MET_UNKNOWN);
	assert_true(met.counts[LIMIT_UDP_RCVBUF_ERRORS] != LIMITS_MET_UNKNOWN);
	assert_true(met.counts[LIMIT_SOFTNET_DROPPED] == LIMITS_MET_UNKNOWN); /* of the host only */
	limits_met_read(true, &met);
	assert_true(met.counts[LIMIT_SOFTNET_DROPPED] != LIMITS_MET_UNKNOWN);
}

static void test_available_pages(void **state)
{
	(void)state;
	assert_in_range(bpftune_available_pages(), 1, sysconf(_SC_PHYS_PAGES));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),	   cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_cut_file),   cmocka_unit_test(test_own_namespace),
		cmocka_unit_test(test_lines),	   cmocka_unit_test(test_table),
		cmocka_unit_test(test_limits_met), cmocka_unit_test(test_available_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
