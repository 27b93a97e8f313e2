// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/brief.h"

#define ATTACHED_MS 10000
#define DETACHED_MS (9 * ATTACHED_MS)

static bool is_wanted(const struct bpftune_host *host, const struct hook *hook, bool per_call)
{
	return hook->late.program_fd && !hook->error && late_is_per_call(hook->attach) == per_call &&
	       host->new_verdicts >> hook->tuner & 1;
}

static bool is_any_wanted(const struct bpftune_host *host)
{
	for (size_t i = 0; i < host->n_hooks; i++)
		if (is_wanted(host, &host->hooks[i], true))
			return true;
	return false;
}

static void attach_all(struct bpftune_host *host, bool per_call)
{
	for (size_t i = 0; i < host->n_hooks; i++) {
		struct hook *hook = &host->hooks[i];

		if (is_wanted(host, hook, per_call) && !hook->late.link_fd)
			hook->error = late_attach(&hook->late, host->cgroup_fd);
	}
}

static void on_due(uv_timer_t *timer)
{
	struct brief *brief = timer->data;

	if (!brief->is_attached)
		return; /* the turn of the loop that follows attaches them, if a verdict is new */
	brief->is_attached = false;
	for (size_t i = 0; i < brief->host->n_hooks; i++)
		if (late_is_per_call(brief->host->hooks[i].attach))
			late_detach(&brief->host->hooks[i].late);
	uv_timer_start(timer, on_due, DETACHED_MS, 0);
}

/* A verdict that is new while the programs are attached is heeded by them, if there is some time left. */
void brief_turn(struct brief *brief)
{
	struct bpftune_host *host = brief->host;

	if (!host->new_verdicts)
		return;
	attach_all(host, false);
	if (!is_any_wanted(host)) {
		host->new_verdicts = 0;
	} else if (brief->is_attached && uv_timer_get_due_in(&brief->timer) > ATTACHED_MS / 2) {
		attach_all(host, true);
		host->new_verdicts = 0;
	}
	if (!brief->timer.loop) {
		uv_timer_init(brief->loop, &brief->timer);
		brief->timer.data = brief;
	}
	if (!host->new_verdicts || uv_is_active((uv_handle_t *)&brief->timer))
		return;
	attach_all(host, true);
	host->new_verdicts = 0;
	brief->is_attached = true;
	uv_timer_start(&brief->timer, on_due, ATTACHED_MS, 0);
}

void brief_stop(struct brief *brief)
{
	if (brief->timer.loop)
		uv_close((uv_handle_t *)&brief->timer, NULL);
}
