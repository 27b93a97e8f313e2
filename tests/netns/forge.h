/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BPFTUNE_TESTS_FORGE_H
#define BPFTUNE_TESTS_FORGE_H

#include "ipc/event.h"

#define FORGE_MAX 128 /* events that one run of the program puts in */

#endif
