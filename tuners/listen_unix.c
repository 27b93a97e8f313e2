// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/listen_unix.h"

#include <libmnl/libmnl.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#include "tuners/decide_listen.h"
#include "tuners/keep.h"
#include "tuners/sock_diag.h"

#define ASK_NS 5000000000ULL
#define ASK_SHARE 100 /* of its time at most a worker spends asking */
#define TOLD_MAX 8    /* at once: whoever is in a container may fill many queues */
#define ABOUT_BYTES 64

struct asked {
	struct bpftune *b;
	uint32_t somaxconn;
	unsigned int told;
};

/* A name is its owner's to choose: what is no plain character is shown as a question mark. */
static void show_name(const char *name, size_t bytes, char ret_about[ABOUT_BYTES])
{
	size_t at = snprintf(ret_about, ABOUT_BYTES, "unix %s", bytes && !name[0] ? "@" : "");

	for (size_t i = bytes && !name[0]; i < bytes && name[i] && at < ABOUT_BYTES - 1; i++)
		ret_about[at++] = name[i] > ' ' && name[i] < 0x7f ? name[i] : '?';
	ret_about[at] = '\0';
}

/* net/unix/af_unix.c: unix_recvq_full(): one more than the backlog may wait. */
static void tell_if_full(struct asked *asked, const struct unix_diag_rqlen *length, const char *name, size_t bytes)
{
	const struct listen_queue queue = { .accept_len = length->udiag_rqueue + 1 };
	const struct listen_counts none = { 0 };
	char about[ABOUT_BYTES];

	if (length->udiag_rqueue <= length->udiag_wqueue || asked->told == TOLD_MAX)
		return;
	asked->told++;
	show_name(name, bytes, about);
	bpftune_learnt(
		asked->b, about, NULL,
		"%u wait in a queue of %u: who connects waits, or is refused (EAGAIN); its server is to call listen(2) with %u or "
		"more, while net.core.somaxconn is as much (it is %u)",
		length->udiag_rqueue, length->udiag_wqueue, listen_needed(&queue, &none), asked->somaxconn);
}

static int take(const struct nlmsghdr *message, void *arg)
{
	const struct unix_diag_rqlen *length = NULL;
	const struct nlattr *attr;
	const char *name = "";
	size_t bytes = 0;

	mnl_attr_for_each(attr, message, sizeof(struct unix_diag_msg))
	{
		if (mnl_attr_get_type(attr) == UNIX_DIAG_NAME) {
			name = mnl_attr_get_payload(attr);
			bytes = mnl_attr_get_payload_len(attr);
		} else if (mnl_attr_get_type(attr) == UNIX_DIAG_RQLEN &&
			   mnl_attr_get_payload_len(attr) >= sizeof(*length)) {
			length = mnl_attr_get_payload(attr);
		}
	}
	if (length)
		tell_if_full(arg, length, name, bytes);
	return MNL_CB_OK;
}

void listen_unix_look(struct bpftune *b, struct listen_unix *state, uint32_t somaxconn)
{
	const struct unix_diag_req wanted = {
		.sdiag_family = AF_UNIX,
		.udiag_states = 1 << TCP_LISTEN,
		.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_RQLEN,
	};
	struct asked asked = { .b = b, .somaxconn = somaxconn };
	uint64_t begun_ns = keep_now_ns(), took_ns;

	if (begun_ns < state->again_ns || b->shares_netns)
		return;
	sock_diag_ask(&wanted, sizeof(wanted), true, take, &asked); /* a kernel without unix_diag tells of none */
	took_ns = keep_now_ns() - begun_ns;
	state->again_ns = begun_ns + (ASK_SHARE * took_ns > ASK_NS ? ASK_SHARE * took_ns : ASK_NS);
}
