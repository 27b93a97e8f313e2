// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/pmtu_look.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "tuners/pmtu.h"
#include "tuners/tcp_diag.h"

#define ANSWER_MS 1000 /* since an acknowledgement: less than the timeouts of who is stuck take */
#define TOLD (1 << (INET_DIAG_INFO - 1))
/* net/tcp_states.h: those that may have data to send. <linux/tcp.h> does not have them. */
#define STATES                                                                                                 \
	(1 << 1 | 1 << 4 | 1 << 8 | 1 << 9 | 1 << 11) /* ESTABLISHED, FIN_WAIT1, CLOSE_WAIT, LAST_ACK, CLOSING \
						       */

/* As bpf/remote.bpf.h: remote_of(). */
static struct remote remote_of(const struct inet_diag_msg *message)
{
	struct remote remote;
	uint32_t word[4];

	memcpy(word, message->id.idiag_dst, sizeof(word));
	if (message->idiag_family == AF_INET) {
		word[3] = word[0];
		word[0] = word[1] = 0;
		word[2] = htonl(0xffff);
	} else if (word[0] || word[1] || word[2] != htonl(0xffff)) {
		word[2] = word[3] = 0;
	}
	memcpy(remote.address, word, sizeof(remote.address));
	return remote;
}

static bool read_info(const struct tcp_diag_socket *socket, struct tcp_info *ret_info)
{
	if (!socket->info)
		return false;
	memset(ret_info, 0, sizeof(*ret_info));
	memcpy(ret_info, socket->info, socket->info_bytes < sizeof(*ret_info) ? socket->info_bytes : sizeof(*ret_info));
	return true;
}

static void watch(struct pmtu_look *look, const struct inet_diag_msg *message, const struct tcp_info *info)
{
	if (look->n_watched == PMTU_WATCHED_MAX)
		return;
	look->watched[look->n_watched++] = (struct pmtu_watched){
		.id = message->id,
		.family = message->idiag_family,
		.mss = info->tcpi_snd_mss,
		.bytes_acked = info->tcpi_bytes_acked,
	};
}

/* A connection of the machine to itself answers whatever becomes of the network. */
static void take(const struct tcp_diag_socket *socket, void *arg)
{
	const struct inet_diag_sockid *id = &socket->message->id;
	struct remote remote = remote_of(socket->message);
	struct pmtu_look *look = arg;
	struct tcp_info info;
	bool answers;

	if (!read_info(socket, &info) || !memcmp(id->idiag_src, id->idiag_dst, sizeof(id->idiag_src)))
		return;
	answers = info.tcpi_last_ack_recv < ANSWER_MS;
	if (memcmp(&remote, &look->remote, sizeof(remote)) != 0) {
		look->counts.moving += answers;
		return;
	}
	look->counts.answering += answers;
	if (info.tcpi_retransmits < PMTU_TIMEOUTS || info.tcpi_snd_mss <= PMTU_BASE_MSS)
		return;
	look->counts.stuck++;
	watch(look, socket->message, &info);
}

int pmtu_look(struct pmtu_look *look)
{
	*look = (struct pmtu_look){ .remote = look->remote };
	return tcp_diag_walk(STATES, TOLD, take, look);
}

struct again {
	struct tcp_info info;
	bool is_there;
};

static void take_again(const struct tcp_diag_socket *socket, void *arg)
{
	struct again *again = arg;

	again->is_there = read_info(socket, &again->info);
}

uint32_t pmtu_look_again(struct pmtu_look *look)
{
	for (unsigned int i = look->n_watched; i--;) {
		const struct pmtu_watched *watched = &look->watched[i];
		struct again again = { .is_there = false };
		bool is_known =
			!tcp_diag_get(watched->family, &watched->id, TOLD, take_again, &again) && again.is_there;

		if (is_known && again.info.tcpi_bytes_acked == watched->bytes_acked)
			continue;
		if (is_known && again.info.tcpi_snd_mss < watched->mss)
			return again.info.tcpi_snd_mss;
		look->watched[i] = look->watched[--look->n_watched];
	}
	return 0;
}
