/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is known of sysctls without a look at the running kernel. */
#ifndef BPFTUNE_SUPERVISOR_CLI_ADVISE_KNOWN_H
#define BPFTUNE_SUPERVISOR_CLI_ADVISE_KNOWN_H

#include <stdbool.h>

/* Why nobody should set this key: the kernel has dropped it, or does nothing by it. NULL: it is of use. */
const char *known_obsolete(const char *key);

/* The module without which the key does not exist, or NULL. */
const char *known_module(const char *key);

/* Whose value it is, for a key that is not of a network namespace: "IPC namespace", ... NULL: the machine's. */
const char *known_namespace(const char *key);

/* A kubelet lets any pod set it, as of Kubernetes 1.32: Kubernetes calls that a safe sysctl. */
bool known_safe_for_pods(const char *key);

#endif
