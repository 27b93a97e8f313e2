/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mounts of our own that are in no directory tree, and go with their descriptor. */
#ifndef BPFTUNE_SUPERVISOR_KERNEL_MOUNT_H
#define BPFTUNE_SUPERVISOR_KERNEL_MOUNT_H

/*
 * A new mount of that file system, with one option or NULL, and attributes (MOUNT_ATTR_...): an O_PATH descriptor of
 * its root, or -errno.
 */
int mount_privately(const char *type, const char *option, const char *value, unsigned int attributes);

#endif
