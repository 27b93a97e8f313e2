// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/ports_ask.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tuners/sock_diag.h"
#include "tuners/tcp_diag.h"

/* All that have a remote; without half of a handshake. */
#define CONNECTED                                                                                                  \
	(1 << TCP_ESTABLISHED | 1 << TCP_SYN_SENT | 1 << TCP_FIN_WAIT1 | 1 << TCP_FIN_WAIT2 | 1 << TCP_TIME_WAIT | \
	 1 << TCP_CLOSE_WAIT | 1 << TCP_LAST_ACK | 1 << TCP_CLOSING)

struct walls {
	const struct ports_range *range;
	struct ports_range walls;
};

static void take_listener(const struct tcp_diag_socket *socket, void *arg)
{
	struct walls *asked = arg;

	ports_wall_at(&asked->walls, asked->range, ntohs(socket->message->id.idiag_sport));
}

static int take_datagrams(const struct nlmsghdr *message, void *arg)
{
	const struct tcp_diag_socket socket = { .message = mnl_nlmsg_get_payload(message) };

	if (mnl_nlmsg_get_payload_len(message) >= sizeof(*socket.message))
		take_listener(&socket, arg);
	return MNL_CB_OK;
}

/* Sockets of UDP without a remote, which is what a service has. A kernel may have no udp_diag. */
static int ask_datagrams(struct walls *asked)
{
	struct inet_diag_req_v2 wanted = { .sdiag_protocol = IPPROTO_UDP, .idiag_states = 1 << TCP_CLOSE };
	int err = 0;

	for (int i = 0; i < 2 && !err; i++) {
		wanted.sdiag_family = i ? AF_INET6 : AF_INET;
		err = sock_diag_ask(&wanted, sizeof(wanted), true, take_datagrams, asked);
	}
	return err == -ENOENT ? 0 : err;
}

int ports_ask_walls(const struct ports_range *range, struct ports_range *ret_walls)
{
	struct walls asked = { range, { PORTS_LOWEST, PORTS_HIGHEST } };
	int err = tcp_diag_walk(1 << TCP_LISTEN, 0, take_listener, &asked);

	if (!err)
		err = ask_datagrams(&asked);
	if (!err)
		*ret_walls = asked.walls;
	return err;
}

struct users {
	const uint32_t *remote;
	struct ports_users *of; /* by the remote's port */
};

static void take_user(const struct tcp_diag_socket *socket, void *arg)
{
	const struct inet_diag_msg *message = socket->message;
	const uint32_t *to = message->id.idiag_dst, mapped[4] = { 0, 0, htonl(0xffff), to[0] };
	const struct users *users = arg;
	struct ports_users *user = &users->of[ntohs(message->id.idiag_dport)];

	if (memcmp(message->idiag_family == AF_INET ? mapped : to, users->remote, sizeof(mapped)))
		return;
	user->sockets++;
	user->time_waits += message->idiag_state == TCP_TIME_WAIT;
}

static int ask_users(struct users *users, struct ports_users *ret_users)
{
	unsigned int most = 0;
	int err = tcp_diag_walk(CONNECTED, 0, take_user, users);

	if (err)
		return err;
	for (unsigned int port = 1; port <= UINT16_MAX; port++)
		if (users->of[port].sockets > users->of[most].sockets)
			most = port;
	if (!users->of[most].sockets)
		return -ENOENT;
	*ret_users = users->of[most];
	ret_users->port = most;
	return 0;
}

int ports_ask_users(const uint32_t remote[4], struct ports_users *ret_users)
{
	struct users users = { remote, calloc(UINT16_MAX + 1, sizeof(*users.of)) };
	int err = users.of ? ask_users(&users, ret_users) : -ENOMEM;

	free(users.of);
	return err;
}

const char *ports_show_users(const uint32_t remote[4], const struct ports_users *users, char text[PORTS_REMOTE_BYTES])
{
	bool is_mapped = !remote[0] && !remote[1] && remote[2] == htonl(0xffff);
	char address[INET6_ADDRSTRLEN] = "";

	inet_ntop(is_mapped ? AF_INET : AF_INET6, is_mapped ? &remote[3] : remote, address, sizeof(address));
	snprintf(text, PORTS_REMOTE_BYTES, "to %s port %u", address, users->port);
	return text;
}
