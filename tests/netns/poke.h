/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be asked of the test tuner: scenario N when a process named poke-N starts in the namespace. */
#ifndef BPFTUNE_TESTS_POKE_H
#define BPFTUNE_TESTS_POKE_H

enum poke {
	POKE_STEP,           /* a value that the kernel takes */
	POKE_SECOND,         /* the same of another tunable */
	POKE_KERNEL_REFUSES, /* a value that it does not */
	POKE_OUT_OF_RANGE,   /* a value outside the tunable's own bounds */
	POKE_TEXT,
	POKE_MISSING,
	POKE_DEVICE,
	POKE_HOST,           /* a container's worker requests it */
	POKE_QUEUE,          /* a value that netlink changes, too */
	POKE_CHATTER,        /* many log records */
	POKE_REPEAT,         /* the same one again and again */
	POKE_LEARN,          /* a text, and a verdict: one more each time */
	POKE_TELL,           /* what verdict the BPF program finds */
	POKE_LEARN_MANY,     /* more than are kept */
	POKE_REMEMBER,       /* a text, for the next worker */
	POKE_NOTHING,
	POKE_ATTACK,         /* what a worker must not be able to do: attack.h */
	N_POKES
};

#endif
