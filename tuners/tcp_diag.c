// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/tcp_diag.h"

#include <libmnl/libmnl.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>

#include "tuners/sock_diag.h"

struct asked {
	tcp_diag_fn each;
	void *arg;
};

static int take_message(const struct nlmsghdr *message, void *data)
{
	struct tcp_diag_socket socket = { .message = mnl_nlmsg_get_payload(message) };
	const struct asked *asked = data;
	const struct nlattr *attr;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*socket.message))
		return MNL_CB_OK;
	mnl_attr_for_each(attr, message, sizeof(*socket.message))
	{
		uint16_t type = mnl_attr_get_type(attr), bytes = mnl_attr_get_payload_len(attr);

		if (type == INET_DIAG_SKMEMINFO && bytes > SK_MEMINFO_WMEM_QUEUED * sizeof(*socket.mem)) {
			socket.mem = mnl_attr_get_payload(attr);
		} else if (type == INET_DIAG_INFO) {
			socket.info = mnl_attr_get_payload(attr);
			socket.info_bytes = bytes;
		}
	}
	asked->each(&socket, asked->arg);
	return MNL_CB_OK;
}

int tcp_diag_walk(uint32_t states, uint8_t told, tcp_diag_fn each, void *arg)
{
	struct inet_diag_req_v2 wanted = { .sdiag_protocol = IPPROTO_TCP, .idiag_states = states, .idiag_ext = told };
	struct asked asked = { each, arg };
	int err;

	wanted.sdiag_family = AF_INET;
	err = sock_diag_ask(&wanted, sizeof(wanted), true, take_message, &asked);
	if (err)
		return err;
	wanted.sdiag_family = AF_INET6;
	return sock_diag_ask(&wanted, sizeof(wanted), true, take_message, &asked);
}

int tcp_diag_get(uint8_t family, const struct inet_diag_sockid *id, uint8_t told, tcp_diag_fn each, void *arg)
{
	const struct inet_diag_req_v2 wanted = {
		.sdiag_family = family,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_states = UINT32_MAX,
		.idiag_ext = told,
		.id = *id,
	};
	struct asked asked = { each, arg };

	return sock_diag_ask(&wanted, sizeof(wanted), false, take_message, &asked);
}
