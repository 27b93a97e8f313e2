/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exit statuses of every subcommand. */
#ifndef BPFTUNE_IPC_EXIT_H
#define BPFTUNE_IPC_EXIT_H

enum exit_status { EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_UNSUPPORTED, EXIT_NOT_RUNNING };

#endif
