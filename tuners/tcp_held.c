// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/tcp_held.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "ipc/cleanup.h"

/* Neither those that only listen nor those that are nothing but a timer or half of a handshake. */
#define STATES (1 << TCP_ESTABLISHED | 1 << TCP_SYN_SENT | 1 << TCP_FIN_WAIT1 | 1 << TCP_FIN_WAIT2 | \
		1 << TCP_CLOSE_WAIT | 1 << TCP_LAST_ACK | 1 << TCP_CLOSING)

static void close_socket(struct mnl_socket **socket)
{
	if (*socket)
		mnl_socket_close(*socket);
}

/* What is queued either way, and what is charged ahead of it: include/net/sock.h: sk_mem_charge(). */
static int add_socket(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *attr;
	const uint32_t *mem;
	uint64_t *bytes = data;

	mnl_attr_for_each(attr, nlh, sizeof(struct inet_diag_msg)) {
		if (mnl_attr_get_type(attr) != INET_DIAG_SKMEMINFO ||
		    mnl_attr_get_payload_len(attr) <= SK_MEMINFO_WMEM_QUEUED * sizeof(*mem))
			continue;
		mem = mnl_attr_get_payload(attr);
		*bytes += (uint64_t)mem[SK_MEMINFO_RMEM_ALLOC] + mem[SK_MEMINFO_WMEM_QUEUED];
		if ((int32_t)mem[SK_MEMINFO_FWD_ALLOC] > 0)
			*bytes += mem[SK_MEMINFO_FWD_ALLOC];
	}
	return MNL_CB_OK;
}

static int add_family(struct mnl_socket *socket, uint8_t family, uint64_t *bytes)
{
	char buffer[32768] __attribute__((aligned(8))); /* what the kernel fills of a dump: NLMSG_GOODSIZE at most */
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct inet_diag_req_v2 *wanted;
	int more = MNL_CB_OK;
	ssize_t n;

	request->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = family;
	wanted = mnl_nlmsg_put_extra_header(request, sizeof(*wanted));
	wanted->sdiag_family = family;
	wanted->sdiag_protocol = IPPROTO_TCP;
	wanted->idiag_states = STATES;
	wanted->idiag_ext = 1 << (INET_DIAG_SKMEMINFO - 1);
	if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		return -errno;
	while (more > MNL_CB_STOP) {
		n = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		if (n < 0)
			return -errno;
		more = mnl_cb_run(buffer, n, family, mnl_socket_get_portid(socket), add_socket, bytes);
	}
	return more < 0 ? -errno : 0;
}

int tcp_held_bytes(uint64_t *ret_bytes)
{
	_cleanup_(close_socket) struct mnl_socket *socket = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	uint64_t bytes = 0;
	int err;

	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	err = add_family(socket, AF_INET, &bytes);
	if (!err)
		err = add_family(socket, AF_INET6, &bytes);
	if (!err)
		*ret_bytes = bytes;
	return err;
}
