/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What frag's BPF program tells the frame. */
#ifndef BPFTUNE_TUNERS_FRAG_H
#define BPFTUNE_TUNERS_FRAG_H

enum frag_scenario {
	FRAG_IPV4_FULL,
	FRAG_IPV6_FULL,
};

#endif
