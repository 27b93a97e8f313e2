// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/procnet.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/cleanup.h"

#define BLANKS " \n"

/* A whole decimal number, maybe negative (Tcp: MaxConn is -1). */
static int parse(const char *text, size_t length, uint64_t *ret_value)
{
	bool negative = length && *text == '-';
	uint64_t value = 0;

	if (length == negative)
		return -EBADMSG;
	for (size_t i = negative; i < length; i++) {
		if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, text[i] - '0', &value))
			return -EBADMSG;
	}
	*ret_value = negative ? -value : value;
	return 0;
}

static bool is(const char *wanted, const char *text, size_t length)
{
	return strlen(wanted) == length && !memcmp(wanted, text, length);
}

static void take(struct bpftune_counter *counters, size_t n, const char *group, size_t group_length, const char *name,
		 size_t name_length, uint64_t value)
{
	for (size_t i = 0; i < n; i++)
		if (is(counters[i].name, name, name_length) && is(counters[i].group, group, group_length)) {
			counters[i].value = value;
			counters[i].found = true;
		}
}

int procnet_pair(const char *names, const char *values, struct bpftune_counter *counters, size_t n)
{
	size_t group_length = strcspn(names, ":" BLANKS), name_length, value_length;
	const char *group = names;
	uint64_t value;

	if (!group_length || strncmp(names, values, group_length + 1) || names[group_length] != ':')
		return -EBADMSG;
	names += group_length + 1;
	values += group_length + 1;
	for (;;) {
		names += strspn(names, BLANKS);
		values += strspn(values, BLANKS);
		name_length = strcspn(names, BLANKS);
		value_length = strcspn(values, BLANKS);
		if (!name_length && !value_length)
			return 0;
		if (!name_length || parse(values, value_length, &value) < 0)
			return -EBADMSG;
		take(counters, n, group, group_length, names, name_length, value);
		names += name_length;
		values += value_length;
	}
}

int procnet_read(FILE *file, struct bpftune_counter *counters, size_t n)
{
	_cleanup_free_ char *names = NULL, *values = NULL;
	size_t names_size = 0, values_size = 0;
	int err = 0;

	while (!err && getline(&names, &names_size, file) > 0)
		err = getline(&values, &values_size, file) > 0 ? procnet_pair(names, values, counters, n) : -EBADMSG;
	return err;
}

void procnet_add(struct bpftune_counter *counters, size_t n, const char *group, const char *name, uint64_t value)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(counters[i].name, name) && !strcmp(counters[i].group, group)) {
			counters[i].value = counters[i].found ? counters[i].value + value : value;
			counters[i].found = true;
		}
}

int procnet_lines(FILE *file, const char *group, struct bpftune_counter *counters, size_t n)
{
	char line[256], name[64];
	uint64_t value;

	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s %" SCNu64, name, &value) != 2)
			return -EBADMSG;
		procnet_add(counters, n, group, name, value);
	}
	return 0;
}

/* A line of numbers below their names; columns that have no name are passed over. */
static int add_columns(const char *line, const char *group, const char *names, struct bpftune_counter *counters,
		       size_t n)
{
	char name[64];

	for (;;) {
		size_t length, named;
		char *end;

		line += strspn(line, BLANKS);
		names += strspn(names, BLANKS);
		length = strcspn(line, BLANKS);
		named = strcspn(names, BLANKS);
		if (!length || !named)
			return length || !named ? 0 : -EBADMSG;
		snprintf(name, sizeof(name), "%.*s", (int)named, names);
		procnet_add(counters, n, group, name, strtoull(line, &end, 16));
		if (end != line + length)
			return -EBADMSG;
		line += length;
		names += named;
	}
}

int procnet_table(FILE *file, const char *group, const char *names, struct bpftune_counter *counters, size_t n)
{
	char own_names[512], line[512];
	int err = 0;

	if (!names) {
		if (!fgets(own_names, sizeof(own_names), file))
			return -EBADMSG;
		names = own_names;
	}
	while (!err && fgets(line, sizeof(line), file))
		err = add_columns(line, group, names, counters, n);
	return err;
}

/* IPv6 counts for itself, in a file that a kernel without IPv6 does not have. */
static int read_snmp6(struct bpftune_counter *counters, size_t n)
{
	_cleanup_fclose_ FILE *file = NULL;
	bool is_wanted = false;

	for (size_t i = 0; i < n; i++)
		is_wanted |= !strcmp(counters[i].group, "snmp6");
	file = is_wanted ? fopen("/proc/self/net/snmp6", "re") : NULL;
	return file ? procnet_lines(file, "snmp6", counters, n) : 0;
}

int bpftune_counters(const struct bpftune *b, struct bpftune_counter *counters, size_t n)
{
	static const char *const paths[] = { "/proc/self/net/snmp", "/proc/self/net/netstat" };
	int err = 0;

	(void)b;
	for (size_t i = 0; i < n; i++)
		counters[i].found = false;
	for (size_t i = 0; i < ARRAY_SIZE(paths) && !err; i++) {
		_cleanup_fclose_ FILE *file = fopen(paths[i], "re");

		err = file ? procnet_read(file, counters, n) : -errno;
	}
	return err ? err : read_snmp6(counters, n);
}

uint64_t bpftune_available_pages(void)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/meminfo", "re");
	uint64_t kib, page_kib = sysconf(_SC_PAGESIZE) / 1024;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) == 1)
			return kib / page_kib;
	return 0;
}
