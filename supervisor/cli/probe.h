/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `bpftune probe`: what this kernel supports, found out by doing it. */
#ifndef BPFTUNE_SUPERVISOR_CLI_PROBE_H
#define BPFTUNE_SUPERVISOR_CLI_PROBE_H

/* Loads and attaches every hook for a moment and prints what became of it. An exit status. */
int probe_run(const char *plugin_dir);

#endif
