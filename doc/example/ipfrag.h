/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What ipfrag's BPF program tells the frame. */
#ifndef IPFRAG_H
#define IPFRAG_H

enum ipfrag_scenario {
	IPFRAG_FULL,
};

#endif
