/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a sanitizer or valgrind watches this process. */
#ifndef BPFTUNE_IPC_WATCHED_H
#define BPFTUNE_IPC_WATCHED_H

#include <stdbool.h>

#include "config.h"

#ifdef HAVE_VALGRIND_VALGRIND_H
#include <valgrind/valgrind.h>
#endif

static inline bool is_watched(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return true;
#elif defined(HAVE_VALGRIND_VALGRIND_H)
	return RUNNING_ON_VALGRIND;
#else
	return false;
#endif
}

#endif
