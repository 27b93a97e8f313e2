// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/netlink.h"

#include <ctype.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <limits.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "ipc/cleanup.h"

#ifndef NETLINK_EXT_ACK
#define NETLINK_EXT_ACK 11
#endif

/* net/core/neighbour.c: nl_ntbl_parm_policy, nl_neightbl_policy; times in milliseconds. */
static const struct attribute {
	const char *name;
	uint16_t type;
	bool of_device, is_u64;
} attributes[] = {
	{ "thresh1", NDTA_THRESH1, false, false },
	{ "thresh2", NDTA_THRESH2, false, false },
	{ "thresh3", NDTA_THRESH3, false, false },
	{ "gc_interval", NDTA_GC_INTERVAL, false, true },
	{ "queue_len", NDTPA_QUEUE_LEN, true, false },
	{ "queue_lenbytes", NDTPA_QUEUE_LENBYTES, true, false },
	{ "proxy_qlen", NDTPA_PROXY_QLEN, true, false },
	{ "app_probes", NDTPA_APP_PROBES, true, false },
	{ "ucast_probes", NDTPA_UCAST_PROBES, true, false },
	{ "mcast_probes", NDTPA_MCAST_PROBES, true, false },
	{ "base_reachable_time", NDTPA_BASE_REACHABLE_TIME, true, true },
	{ "gc_staletime", NDTPA_GC_STALETIME, true, true },
	{ "delay_probe_time", NDTPA_DELAY_PROBE_TIME, true, true },
	{ "retrans_time", NDTPA_RETRANS_TIME, true, true },
	{ "locktime", NDTPA_LOCKTIME, true, true },
};

struct target {
	char table[32];
	const struct attribute *attribute;
	char device[IF_NAMESIZE]; /* "": the table itself */
	unsigned int ifindex;	  /* the device's, or 0 */
	bool found;
	uint64_t value;
};

bool netlink_is_neightbl(const char *name)
{
	return !strncmp(name, "arp_cache.", 10) || !strncmp(name, "ndisc_cache.", 12);
}

static int parse_name(const char *name, struct target *target)
{
	const char *dot = strchr(name, '.'), *last = strrchr(name, '.');

	if (!dot || dot == name || (size_t)(dot - name) >= sizeof(target->table))
		return -EINVAL;
	*target = (struct target){ 0 };
	memcpy(target->table, name, dot - name);
	if (last != dot) {
		if (last - dot - 1 >= IF_NAMESIZE)
			return -EINVAL;
		memcpy(target->device, dot + 1, last - dot - 1);
	}
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
		if (!strcmp(attributes[i].name, last + 1) && attributes[i].of_device == (last != dot))
			target->attribute = &attributes[i];
	return target->attribute ? 0 : -EINVAL;
}

static void close_socket(struct mnl_socket **socket)
{
	if (*socket)
		mnl_socket_close(*socket);
}

static int open_socket(struct mnl_socket **ret_socket)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int on = 1;

	if (!socket)
		return -errno;
	mnl_socket_setsockopt(socket, NETLINK_EXT_ACK, &on, sizeof(on)); /* without it errors have no words */
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		int err = -errno;

		mnl_socket_close(socket);
		return err;
	}
	*ret_socket = socket;
	return 0;
}

/* Any socket answers that. if_nametoindex(3) opens one of another family, which a worker may not (filter.c). */
static int find_device(const struct mnl_socket *socket, struct target *target)
{
	struct ifreq request = { 0 };

	if (!*target->device)
		return 0;
	memcpy(request.ifr_name, target->device, sizeof(request.ifr_name));
	if (ioctl(mnl_socket_get_fd(socket), SIOCGIFINDEX, &request) < 0)
		return -errno;
	target->ifindex = request.ifr_ifindex;
	return 0;
}

static uint64_t get_number(const struct attribute *attribute, const struct nlattr *attr)
{
	if (attribute->is_u64 && mnl_attr_get_payload_len(attr) >= sizeof(uint64_t))
		return mnl_attr_get_u64(attr);
	return mnl_attr_get_payload_len(attr) >= sizeof(uint32_t) ? mnl_attr_get_u32(attr) : 0;
}

/* A device's parameters come in a message of their own, nested, with its ifindex; a table's have none. */
static void match_parms(const struct nlattr *parms, struct target *target)
{
	const struct nlattr *attr, *wanted = NULL;
	unsigned int ifindex = 0;

	mnl_attr_for_each_nested(attr, parms) {
		if (mnl_attr_get_type(attr) == NDTPA_IFINDEX)
			ifindex = mnl_attr_get_u32(attr);
		if (mnl_attr_get_type(attr) == target->attribute->type)
			wanted = attr;
	}
	if (!wanted || ifindex != target->ifindex)
		return;
	target->value = get_number(target->attribute, wanted);
	target->found = true;
}

static int on_table(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *attr, *wanted = NULL, *parms = NULL;
	struct target *target = data;
	const char *table = "";

	mnl_attr_for_each(attr, nlh, sizeof(struct ndtmsg)) {
		if (mnl_attr_get_type(attr) == NDTA_NAME)
			table = mnl_attr_get_str(attr);
		if (mnl_attr_get_type(attr) == NDTA_PARMS)
			parms = attr;
		else if (mnl_attr_get_type(attr) == target->attribute->type)
			wanted = attr;
	}
	if (target->found || strcmp(table, target->table))
		return MNL_CB_OK;
	if (target->ifindex && parms) {
		match_parms(parms, target);
	} else if (!target->ifindex && wanted) {
		target->value = get_number(target->attribute, wanted);
		target->found = true;
	}
	return MNL_CB_OK;
}

static int exchange(struct mnl_socket *socket, const struct nlmsghdr *request, mnl_cb_t callback, void *data,
		    struct netlink_extack *extack);

int netlink_read_neightbl(const char *name, char ret_value[BPFTUNE_VALUE_BYTES])
{
	_cleanup_(close_socket) struct mnl_socket *socket = NULL;
	char buffer[256] __attribute__((aligned(8)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct target target;
	int err;

	err = parse_name(name, &target);
	if (!err)
		err = open_socket(&socket);
	if (!err)
		err = find_device(socket, &target);
	if (err)
		return err;
	request->nlmsg_type = RTM_GETNEIGHTBL;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = time(NULL);
	mnl_nlmsg_put_extra_header(request, sizeof(struct ndtmsg));
	err = exchange(socket, request, on_table, &target, NULL);
	if (!err && !target.found)
		err = -ENOENT;
	if (!err)
		snprintf(ret_value, BPFTUNE_VALUE_BYTES, "%llu", (unsigned long long)target.value);
	return err;
}

static void put_number(struct nlmsghdr *request, const struct attribute *attribute, uint64_t value)
{
	if (attribute->is_u64)
		mnl_attr_put_u64(request, attribute->type, value);
	else
		mnl_attr_put_u32(request, attribute->type, value);
}

int netlink_write_neightbl(const char *name, const char *value, struct netlink_extack *ret_extack)
{
	_cleanup_(close_socket) struct mnl_socket *socket = NULL;
	char buffer[512] __attribute__((aligned(8))) = { 0 }, *end; /* padding goes to the kernel, too */
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	uint64_t number = strtoull(value, &end, 10);
	struct target target;
	struct ndtmsg *table;
	int err;

	if (*end || !isdigit((unsigned char)*value))
		return -EINVAL;
	err = parse_name(name, &target);
	if (!err && !target.attribute->is_u64 && number > INT_MAX)
		err = -EINVAL; /* the kernel would keep it in an int */
	if (!err)
		err = open_socket(&socket);
	if (!err)
		err = find_device(socket, &target);
	if (err)
		return err;
	request->nlmsg_type = RTM_SETNEIGHTBL;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	request->nlmsg_seq = time(NULL);
	table = mnl_nlmsg_put_extra_header(request, sizeof(*table));
	table->ndtm_family = strncmp(target.table, "ndisc", 5) ? AF_INET : AF_INET6;
	mnl_attr_put_strz(request, NDTA_NAME, target.table);
	if (target.attribute->of_device) {
		struct nlattr *parms = mnl_attr_nest_start(request, NDTA_PARMS);

		mnl_attr_put_u32(request, NDTPA_IFINDEX, target.ifindex);
		put_number(request, target.attribute, number);
		mnl_attr_nest_end(request, parms);
	} else {
		put_number(request, target.attribute, number);
	}
	return exchange(socket, request, NULL, NULL, ret_extack);
}

/* The words that the kernel adds to an error: NLMSGERR_ATTR_MSG behind the (maybe capped) request. */
static void take_extack(const struct nlmsghdr *nlh, struct netlink_extack *extack)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(nlh);
	size_t offset = sizeof(*error);
	const struct nlattr *attr;

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		offset += mnl_nlmsg_get_payload_len(&error->msg);
	mnl_attr_for_each(attr, nlh, offset)
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
			snprintf(extack->text, sizeof(extack->text), "%s", mnl_attr_get_str(attr));
}

static int exchange(struct mnl_socket *socket, const struct nlmsghdr *request, mnl_cb_t callback, void *data,
		    struct netlink_extack *extack)
{
	char buffer[32768] __attribute__((aligned(8))); /* what the kernel fills of a dump: NLMSG_GOODSIZE at most */
	unsigned int port = mnl_socket_get_portid(socket);
	int more = MNL_CB_OK;

	if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		return -errno;
	while (more > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		const struct nlmsghdr *first = (const struct nlmsghdr *)buffer;

		if (n < 0)
			return -errno;
		if (extack && n >= (ssize_t)sizeof(*first) && first->nlmsg_type == NLMSG_ERROR)
			take_extack(first, extack);
		more = mnl_cb_run(buffer, n, request->nlmsg_seq, port, callback, data);
	}
	return more < 0 ? -errno : 0;
}
