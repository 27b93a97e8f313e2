// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/conntrack_table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "ipc/cleanup.h"

#define WINDOW_MAX_NS 10000000000ULL /* what is counted in a longer one is not what happens now */

static int read_number(const char *path, uint64_t *ret_number)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");

	if (!file)
		return -errno;
	return fscanf(file, "%" SCNu64, ret_number) == 1 ? 0 : -EBADMSG;
}

int conntrack_read_buckets(uint64_t *ret_buckets)
{
	return read_number("/proc/sys/net/netfilter/nf_conntrack_buckets", ret_buckets);
}

/* net/netfilter/nf_conntrack_standalone.c: ct_cpu_seq_show(): a line of names, and a line of 32-bit counters for each
 * CPU. */
int conntrack_read(struct conntrack_use *ret_use)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/self/net/stat/nf_conntrack", "re");
	unsigned int entries, dropped, evicted;
	struct conntrack_use use = { 0 };
	uint64_t max = 0, buckets = 0;
	char line[256];
	int err;

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%x %*x %*x %*x %*x %*x %*x %*x %*x %*x %x %x", &entries, &dropped, &evicted) != 3)
			continue;
		use.entries = entries; /* the same in each line */
		use.dropped += dropped;
		use.evicted += evicted;
	}
	err = read_number("/proc/sys/net/netfilter/nf_conntrack_max", &max);
	if (!err)
		err = conntrack_read_buckets(&buckets);
	if (err)
		return err;
	use.max = max;
	use.buckets = buckets;
	*ret_use = use;
	return 0;
}

bool conntrack_look(struct conntrack_window *window, uint64_t now_ns, struct conntrack_use *ret_use)
{
	const struct conntrack_use *begun = &window->begun;
	struct conntrack_use now = { 0 };

	if (conntrack_read(&now))
		return false;
	if (!window->since_ns || begun->max != now.max || now_ns - window->since_ns > WINDOW_MAX_NS) {
		*window = (struct conntrack_window){ .begun = now, .since_ns = now_ns };
		return false;
	}
	*ret_use = now;
	ret_use->dropped = (uint32_t)(now.dropped - begun->dropped);
	ret_use->evicted = (uint32_t)(now.evicted - begun->evicted);
	return true;
}
