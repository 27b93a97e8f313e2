/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many there can be of what BPF maps hold, a constant for each; bpftune(8), LIMITS. */
#ifndef BPFTUNE_BPF_SIZES_H
#define BPFTUNE_BPF_SIZES_H

#define BPFTUNE_NETNS_MAX 10240		     /* network namespaces: maps netns, gates, and cgroups in paired */
#define BPFTUNE_WORKERS_MAX 4096	     /* own_pids */
#define BPFTUNE_TAKEN_MAX (8 * BPFTUNE_NETNS_MAX) /* tuners that an administrator took over, per namespace: taken */
#define BPFTUNE_SYSCTLS_MAX 1024	     /* owned_sysctls */
#define BPFTUNE_RATES_MAX 4096		     /* rates, machine_looks, moves, host_cgroups: the least recently used goes */
#define BPFTUNE_VERDICTS_MAX 65536	     /* verdicts about remotes of a tuner, of which an instance has 64: LEARNT_MAX */
#define BPFTUNE_SHARERS_RATES 64	     /* sharers_rates: containers in the host's namespace; a few may have one together */
#define BPFTUNE_EVENTS_BYTES (256 * 1024)    /* events */

#endif
