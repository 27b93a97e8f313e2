/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The run directory: one supervisor has it. */
#ifndef BPFTUNE_SUPERVISOR_OPERATOR_RUN_DIR_H
#define BPFTUNE_SUPERVISOR_OPERATOR_RUN_DIR_H

#include <sys/types.h>

/*
 * Takes the run directory, making it if need be: 0, with a descriptor to hold while we live. -EALREADY: the
 * supervisor of `ret_pid` has it; or -errno, and `ret_why` says why, with a remedy where there is one. A directory that
 * somebody else than root can change (supervisor/kernel/trust.h) is refused: they could read or exchange the ledger,
 * and have root write elsewhere by a link.
 */
int run_dir_lock(const char *run_dir, int *ret_fd, pid_t *ret_pid, char *ret_why, size_t size);

#endif
