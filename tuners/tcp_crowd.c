// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/tcp_crowd.h"

#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>

#include "tuners/keep.h"
#include "tuners/tcp_diag.h"

#define PAUSE_NS 1000000000ULL
#define WALK_SHARE 100	 /* of its time at most a worker walks; */
#define GROWING_SHARE 20 /* and while buffers grow */
#define WALKS_MAX 4
#define FLOWS_MIN 8
/* Those that may have data, also after the application has closed them. */
#define STATES (1 << TCP_ESTABLISHED | 1 << TCP_FIN_WAIT1 | 1 << TCP_CLOSE_WAIT | 1 << TCP_LAST_ACK | 1 << TCP_CLOSING)

struct walk {
	const struct tcp_buffer_memory *memory;
	const int64_t *limit_bytes;
	int64_t to_bytes[TCP_BUFFER_LIMITS];
	struct tcp_buffer_crowd of[TCP_BUFFER_LIMITS];
};

static void add_socket(const struct tcp_diag_socket *socket, void *arg)
{
	static const unsigned int sizes[TCP_BUFFER_LIMITS] = { SK_MEMINFO_SNDBUF, SK_MEMINFO_RCVBUF };
	struct walk *walk = arg;

	for (unsigned int i = 0; socket->mem && i < TCP_BUFFER_LIMITS; i++)
		tcp_buffer_crowd_add(&walk->of[i], walk->memory, walk->limit_bytes[i], walk->to_bytes[i],
				     socket->mem[sizes[i]]);
}

static void walk_sockets(struct walk *walk)
{
	memset(walk->of, 0, sizeof(walk->of));
	if (tcp_diag_walk(STATES, 1 << (INET_DIAG_SKMEMINFO - 1), add_socket, walk))
		memset(walk->of, 0, sizeof(walk->of));
}

/*
 * A flow has no more than an eighth, also where it is alone: flows double in each round trip, so eight that come at
 * once may have what the limit allows before it has come down.
 */
static void share(const struct tcp_buffer_crowd of[TCP_BUFFER_LIMITS], unsigned int limit,
		  struct tcp_buffer_memory *memory)
{
	memory->n_flows = of[limit].n > FLOWS_MIN ? of[limit].n : FLOWS_MIN;
	memory->taken_bytes = of[limit].beyond_bytes + of[limit == TCP_WMEM ? TCP_RMEM : TCP_WMEM].bytes;
}

/* True: a limit is to be lower than the walk took it to be, and more buffers are larger than that. */
static bool come_down(struct walk *walk)
{
	struct tcp_buffer_memory memory = *walk->memory;
	bool is_lower = false;

	memory.pressure_pages = UINT64_MAX; /* of the container's part alone */
	for (unsigned int i = 0; i < TCP_BUFFER_LIMITS; i++) {
		int64_t cap_bytes;

		share(walk->of, i, &memory);
		cap_bytes = tcp_buffer_cap_bytes(&memory);
		is_lower |= cap_bytes < walk->to_bytes[i];
		if (cap_bytes < walk->to_bytes[i])
			walk->to_bytes[i] = cap_bytes;
	}
	return is_lower;
}

void tcp_crowd_count(struct tcp_crowd *crowd, const struct tcp_buffer_memory *memory,
		     const int64_t limit_bytes[TCP_BUFFER_LIMITS], bool are_growing)
{
	struct walk walk = { .memory = memory, .limit_bytes = limit_bytes };
	uint64_t pause_ns = (are_growing ? GROWING_SHARE : WALK_SHARE) * crowd->took_ns, begun_ns = keep_now_ns();

	if (!are_growing && pause_ns < PAUSE_NS)
		pause_ns = PAUSE_NS;
	if (crowd->walked_ns && begun_ns < crowd->walked_ns + pause_ns)
		return;
	memcpy(walk.to_bytes, limit_bytes, sizeof(walk.to_bytes));
	for (int i = 0; i < WALKS_MAX; i++) {
		walk_sockets(&walk);
		if (!come_down(&walk))
			break;
	}
	memcpy(crowd->of, walk.of, sizeof(crowd->of));
	crowd->walked_ns = keep_now_ns();
	crowd->took_ns = crowd->walked_ns - begun_ns;
}

void tcp_crowd_add_to(const struct tcp_crowd *crowd, enum tcp_buffer_tunable limit, struct tcp_buffer_memory *memory)
{
	share(crowd->of, limit, memory);
}
