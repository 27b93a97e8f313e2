/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What somebody would try who has taken a worker over. */
#ifndef BPFTUNE_TESTS_ATTACK_H
#define BPFTUNE_TESTS_ATTACK_H

#include "tuners/tuner.h"

/*
 * Tries it all, and logs what came of each. The environment names targets: ATTACK_RUN_DIR (the supervisor's),
 * ATTACK_NETNS (a file that is another network namespace), ATTACK_PID (a process of root's, in a user namespace).
 */
void attack(struct bpftune *b);

#endif
