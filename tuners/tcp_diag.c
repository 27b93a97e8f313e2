// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/tcp_diag.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>

#include "ipc/cleanup.h"

struct asked {
	tcp_diag_fn each;
	void *arg;
};

static void close_socket(struct mnl_socket **socket)
{
	if (*socket)
		mnl_socket_close(*socket);
}

static int open_socket(struct mnl_socket **ret_socket)
{
	_cleanup_(close_socket) struct mnl_socket *socket = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);

	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	*ret_socket = take_ptr(socket);
	return 0;
}

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

/* One answer, or the whole of a dump. */
static int ask(struct mnl_socket *socket, const struct inet_diag_req_v2 *wanted, uint16_t flags,
	       const struct asked *asked)
{
	char buffer[32768] __attribute__((aligned(8))); /* what the kernel fills of a dump: NLMSG_GOODSIZE at most */
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct inet_diag_req_v2 *payload;
	int more = MNL_CB_OK;
	ssize_t n;

	request->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	request->nlmsg_flags = NLM_F_REQUEST | flags;
	request->nlmsg_seq = wanted->sdiag_family;
	payload = mnl_nlmsg_put_extra_header(request, sizeof(*payload));
	*payload = *wanted;
	if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		return -errno;
	do {
		n = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		if (n < 0)
			return -errno;
		more = mnl_cb_run(buffer, n, wanted->sdiag_family, mnl_socket_get_portid(socket), take_message,
				  (void *)asked);
	} while (flags & NLM_F_DUMP && more > MNL_CB_STOP);
	return more < 0 ? -errno : 0;
}

int tcp_diag_walk(uint32_t states, uint8_t told, tcp_diag_fn each, void *arg)
{
	struct inet_diag_req_v2 wanted = { .sdiag_protocol = IPPROTO_TCP, .idiag_states = states, .idiag_ext = told };
	const struct asked asked = { each, arg };
	_cleanup_(close_socket) struct mnl_socket *socket = NULL;
	int err = open_socket(&socket);

	if (err)
		return err;
	wanted.sdiag_family = AF_INET;
	err = ask(socket, &wanted, NLM_F_DUMP, &asked);
	if (err)
		return err;
	wanted.sdiag_family = AF_INET6;
	return ask(socket, &wanted, NLM_F_DUMP, &asked);
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
	const struct asked asked = { each, arg };
	_cleanup_(close_socket) struct mnl_socket *socket = NULL;
	int err = open_socket(&socket);

	return err ? err : ask(socket, &wanted, 0, &asked);
}
