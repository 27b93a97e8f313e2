/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose value a sysctl is, on this kernel. */
#ifndef BPFTUNE_SUPERVISOR_CLI_ADVISE_SCOPE_H
#define BPFTUNE_SUPERVISOR_CLI_ADVISE_SCOPE_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/report.h"

/* A sysctl as one network namespace has it. */
struct sysctl_place {
	bool exists, is_writable; /* by root */
	bool has_value;		  /* false: it cannot be read, or is longer */
	char value[BPFTUNE_VALUE_BYTES];
};

enum sysctl_scope {
	SCOPE_ABSENT,	 /* this kernel does not have it now */
	SCOPE_NO_DEVICE, /* a network device's, and there is no such device */
	SCOPE_NAMESPACE, /* each network namespace has one */
	SCOPE_HOST,	 /* the machine's; other network namespaces do not have it, or cannot write it */
	SCOPE_OTHER,	 /* not of the network: known_namespace() */
	SCOPE_UNKNOWN,	 /* a sysctl of the network, and no network namespace could be made to look at */
};

struct sysctl_look {
	struct sysctl_place here;  /* in our network namespace */
	struct sysctl_place fresh; /* in one that was just made; a device's settings are those of `lo` there */
	enum sysctl_scope scope;
};

/* An array of sysctl_look for those keys, of which globs stand for their first match. NULL: errno is set. */
struct sysctl_look *sysctl_look_at(const char *const *keys, size_t n);

void sysctl_look_free(struct sysctl_look *looks, size_t n);

/* A setting of a network device, such as net.ipv4.conf.eth0.rp_filter. */
bool sysctl_is_of_device(const char *key);

#endif
