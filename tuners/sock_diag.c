// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/sock_diag.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>

#include "ipc/cleanup.h"

#define SEQUENCE 1

static void close_socket(struct mnl_socket **socket)
{
	if (*socket)
		mnl_socket_close(*socket);
}

int sock_diag_ask(const void *request, size_t bytes, bool is_dump, mnl_cb_t take, void *arg)
{
	_cleanup_(close_socket) struct mnl_socket *socket = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	char buffer[32768] __attribute__((aligned(8))); /* what the kernel fills of a dump: NLMSG_GOODSIZE at most */
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	int more = MNL_CB_OK;
	ssize_t n;

	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	header->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	header->nlmsg_flags = NLM_F_REQUEST | (is_dump ? NLM_F_DUMP : 0);
	header->nlmsg_seq = SEQUENCE;
	memcpy(mnl_nlmsg_put_extra_header(header, bytes), request, bytes);
	if (mnl_socket_sendto(socket, header, header->nlmsg_len) < 0)
		return -errno;
	do {
		n = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		if (n < 0)
			return -errno;
		more = mnl_cb_run(buffer, n, SEQUENCE, mnl_socket_get_portid(socket), take, arg);
	} while (is_dump && more > MNL_CB_STOP);
	return more < 0 ? -errno : 0;
}
