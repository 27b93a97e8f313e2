// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/tcp_held.h"

#include <linux/sock_diag.h>
#include <netinet/tcp.h>

#include "tuners/tcp_diag.h"

/* Neither those that only listen nor those that are nothing but a timer or half of a handshake. */
#define STATES (1 << TCP_ESTABLISHED | 1 << TCP_SYN_SENT | 1 << TCP_FIN_WAIT1 | 1 << TCP_FIN_WAIT2 | \
		1 << TCP_CLOSE_WAIT | 1 << TCP_LAST_ACK | 1 << TCP_CLOSING)

/* What is queued either way, and what is charged ahead of it: include/net/sock.h: sk_mem_charge(). */
static void add_socket(const struct tcp_diag_socket *socket, void *arg)
{
	const uint32_t *mem = socket->mem;
	uint64_t *bytes = arg;

	if (!mem)
		return;
	*bytes += (uint64_t)mem[SK_MEMINFO_RMEM_ALLOC] + mem[SK_MEMINFO_WMEM_QUEUED];
	if ((int32_t)mem[SK_MEMINFO_FWD_ALLOC] > 0)
		*bytes += mem[SK_MEMINFO_FWD_ALLOC];
}

int tcp_held_bytes(uint64_t *ret_bytes)
{
	uint64_t bytes = 0;
	int err = tcp_diag_walk(STATES, 1 << (INET_DIAG_SKMEMINFO - 1), add_socket, &bytes);

	if (!err)
		*ret_bytes = bytes;
	return err;
}
