/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may read what a supervisor does, and by which socket of its run directory. */
#ifndef BPFTUNE_IPC_OBSERVERS_H
#define BPFTUNE_IPC_OBSERVERS_H

#define OBSERVERS_GROUP "bpftune"
#define OBSERVERS_SOCKET "observe.sock"

#endif
