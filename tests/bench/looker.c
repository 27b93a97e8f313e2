// SPDX-License-Identifier: GPL-2.0-or-later
/* looker: one tuner more that subscribes to looks. It is built under two names, to see what that costs. */
#include "tests/bench/lookers/looker.skel.h"
#include "tuners/tuner.h"

BPFTUNE_TUNER(looker, BPFTUNE_NOTHING_OWN, .summary = "nothing but a subscriber");
