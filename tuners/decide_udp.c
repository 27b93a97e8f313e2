// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_udp.h"

#define SECOND_NS UINT64_C(1000000000)
#define WINDOW_NS (SECOND_NS / 10 * 9) /* at least: a tick may come a little early */
#define WINDOW_MAX_NS (60 * SECOND_NS)
#define GIVEN_UP_NS (3600 * SECOND_NS)
#define CAP_BYTES (INT64_C(16) << 20)
#define CONTAINER_SHARE 64
#define MACHINE_SHARE 1024

/* A server binds its port once, maybe long after the trouble: a size does not decay. */
static const struct trial_rule rule = { .n_ints = 1, .step_percent = 400, .is_judged = true };

static void begin_window(struct udp_port *port, uint64_t now_ns, uint64_t received)
{
	port->has_window = true;
	port->since_ns = now_ns;
	port->drops = port->told_drops;
	port->received = received;
}

void udp_port_dropped(struct udp_port *port, uint64_t now_ns, uint32_t size_bytes, uint64_t drops)
{
	if (!port->trial.is_known && size_bytes)
		port->size_bytes = size_bytes;
	if (drops < port->told_drops)
		port->has_window = false; /* the program has forgotten its count */
	port->told_drops = drops;
	port->told_ns = now_ns;
}

void udp_port_sized(struct udp_port *port, uint64_t now_ns, uint32_t asked_bytes, uint32_t size_bytes)
{
	port->told_ns = now_ns;
	if (asked_bytes != port->size_bytes)
		return;
	port->granted_bytes = size_bytes < asked_bytes ? size_bytes : 0;
	if (port->is_waiting)
		port->has_window = false;
	port->is_waiting = false;
}

static void go_to(struct udp_port *port, enum trial_move move, const struct trial_look *look,
		  const int64_t to[TRIAL_INTS_MAX])
{
	trial_propose(&port->trial, &rule, move, look, to);
	trial_settle(&port->trial, &rule, look->now_ns, to);
	port->size_bytes = to[0];
	port->is_waiting = move == TRIAL_STEP;
	port->granted_bytes = 0;
}

/* Is it as before the first step? A step may seem to help for as long as it takes to fill what it has added. */
static bool is_as_before(const struct udp_port *port, const struct trial_look *look)
{
	return port->trial.n_levels && look->trouble &&
	       2.0 * look->trouble * port->first_received >= (double)port->first_drops * look->work;
}

static enum udp_verdict_kind decide(struct udp_port *port, const struct trial_look *look)
{
	bool was_trying = port->trial.is_trying;
	int64_t to[TRIAL_INTS_MAX] = { 0 };
	enum trial_move move;

	if (!was_trying && is_as_before(port, look)) {
		move = trial_take_back(&port->trial, &rule, look, look->now_ns + GIVEN_UP_NS, to);
		go_to(port, move, look, to);
		return UDP_GIVE_UP;
	}
	move = trial_look(&port->trial, &rule, look, to);
	if (move == TRIAL_STEP && !port->trial.n_levels) {
		port->first_drops = look->trouble;
		port->first_received = look->work;
	}
	if (move == TRIAL_STEP || move == TRIAL_UNDO)
		go_to(port, move, look, to);
	if (move == TRIAL_FULL)
		return UDP_FULL;
	if (move)
		return move == TRIAL_STEP ? UDP_RAISE : UDP_UNDO;
	return was_trying && !port->trial.is_trying ? UDP_HELPED : UDP_KEEP;
}

enum udp_verdict_kind udp_port_look(struct udp_port *port, uint64_t now_ns, uint64_t received, int64_t cap_bytes,
				    struct udp_window *ret_window)
{
	struct trial_look look = { .now_ns = now_ns, .since_ns = port->since_ns, .value = { port->size_bytes } };
	enum udp_verdict_kind kind;

	look.cap = port->granted_bytes && port->granted_bytes < cap_bytes ? port->granted_bytes : cap_bytes;
	if (!port->has_window || port->is_waiting || !trial_grown(port->drops, port->told_drops, &look.trouble) ||
	    !trial_grown(port->received, received, &look.work)) {
		begin_window(port, now_ns, received);
		return UDP_KEEP;
	}
	if (now_ns - port->since_ns < WINDOW_NS)
		return UDP_KEEP;
	/* Who reads nothing drops, whatever the size; a reader that naps is waited for. */
	if (look.work < TRIAL_WORK_MIN) {
		if (now_ns - port->since_ns >= WINDOW_MAX_NS)
			begin_window(port, now_ns, received);
		return UDP_KEEP;
	}
	*ret_window = (struct udp_window){ look.trouble, look.work };
	kind = decide(port, &look);
	begin_window(port, now_ns, received);
	return kind;
}

int64_t udp_mem_more(int64_t high, int64_t first_high)
{
	if (first_high < 0 || high < first_high)
		return 0;
	return (high > INT64_MAX / 4 ? INT64_MAX : 4 * high) - first_high;
}

int64_t udp_cap_bytes(uint64_t container_pages, uint64_t machine_pages, uint64_t page_bytes)
{
	uint64_t pages = machine_pages / MACHINE_SHARE;

	if (container_pages && container_pages / CONTAINER_SHARE < pages)
		pages = container_pages / CONTAINER_SHARE;
	return pages > CAP_BYTES / page_bytes ? CAP_BYTES : (int64_t)(pages * page_bytes);
}
