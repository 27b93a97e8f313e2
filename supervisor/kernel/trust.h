/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paths that only root can change: to what root runs, and to where root writes. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_TRUST_H
#define BPFTUNE_SUPERVISOR_KERNEL_TRUST_H

#include <stddef.h>

/*
 * Walks a path, symbolic links included, and opens what the path leads to with O_PATH. Each directory and each link on
 * the way must belong to root, and nobody else may write such a directory, unless its sticky bit is set: then others
 * cannot move what is root's in there. What the path leads to must belong to root, and nobody else may write it. So the
 * path leads to the same file until root changes the path. An access control list shows in the mode's group bits: its
 * mask is there.
 *
 * A descriptor, which the caller closes. -EPERM, or another -errno: `ret_why` names what is wrong, and the remedy.
 */
int trust_open(const char *path, char *ret_why, size_t size);

/* The same for a directory that is on the way only: its sticky bit will do. */
int trust_open_way(const char *path, char *ret_why, size_t size);

#endif
