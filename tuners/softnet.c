// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/softnet.h"

#include <errno.h>
#include <inttypes.h>

#include "ipc/cleanup.h"

#define LINE_BYTES 512

static int parse_softnet(const char *line, struct softnet_cpu *cpus, uint32_t n)
{
	struct softnet_cpu cpu = { 0 };
	uint32_t number;

	if (sscanf(line, "%" SCNx32 " %" SCNx32 " %" SCNx32 " %*x %*x %*x %*x %*x %*x %*x %" SCNx32 " %*x %" SCNx32,
		   &cpu.processed, &cpu.dropped, &cpu.squeezed, &cpu.flow_limited, &number) != 5)
		return -EBADMSG;
	if (number >= n)
		return 0;
	cpus[number] = cpu;
	return number + 1;
}

static int parse_stat(const char *line, struct softnet_cpu *cpus, uint32_t n)
{
	uint64_t ticks[8]; /* user, nice, system, idle, iowait, irq, softirq, steal: guests' are among the first two */
	uint32_t number;

	if (sscanf(line,
		   "cpu%" SCNu32 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		   " %" SCNu64,
		   &number, &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6],
		   &ticks[7]) != 9)
		return -EBADMSG;
	if (number >= n)
		return 0;
	cpus[number].idle = ticks[3] + ticks[4];
	cpus[number].all = 0;
	for (size_t i = 0; i < ARRAY_SIZE(ticks); i++)
		cpus[number].all += ticks[i];
	return number + 1;
}

int softnet_parse(FILE *softnet_stat, FILE *stat, struct softnet_cpu *cpus, size_t n)
{
	char line[LINE_BYTES];
	int end = 0, past;

	while (fgets(line, sizeof(line), softnet_stat)) {
		past = parse_softnet(line, cpus, n);
		if (past < 0)
			return past;
		end = past > end ? past : end;
	}
	if (!fgets(line, sizeof(line), stat)) /* of all CPUs together */
		return -EBADMSG;
	while (fgets(line, sizeof(line), stat) && parse_stat(line, cpus, n) >= 0)
		;
	return end ? end : -EBADMSG;
}

int softnet_read(struct softnet_cpu *cpus, size_t n)
{
	_cleanup_fclose_ FILE *softnet_stat = fopen("/proc/self/net/softnet_stat", "re"),
			      *stat = fopen("/proc/stat", "re");

	if (!softnet_stat || !stat)
		return -errno;
	return softnet_parse(softnet_stat, stat, cpus, n);
}
