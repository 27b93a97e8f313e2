/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What listen calls a listening socket. */
#ifndef BPFTUNE_TUNERS_LISTEN_NAME_H
#define BPFTUNE_TUNERS_LISTEN_NAME_H

#include "tuners/listen.h"

#define LISTEN_NAME_BYTES 64

/* "port 80", or "10.0.0.1 port 80" where it listens at that address only; in `name`, which is returned. */
const char *listen_name(const struct listen_queue *queue, char name[LISTEN_NAME_BYTES]);

#endif
