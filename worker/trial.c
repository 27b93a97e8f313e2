// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/trial.h"

#include <stddef.h>
#include <string.h>

#define SECOND_NS 1000000000ULL
#define HOLD_MAX_NS (3600 * SECOND_NS)
#define DECAY_NS (600 * SECOND_NS)
#define DOUBLINGS_MAX 12      /* of a hold: 4096 s is past HOLD_MAX_NS */
#define DECAY_DOUBLINGS_MAX 7 /* 21 h */
#define STEP_PERCENT_MIN 150
#define STEP_PERCENT_MAX 400
#define INTS_BYTES (TRIAL_INTS_MAX * sizeof(int64_t))

static void copy(int64_t to[TRIAL_INTS_MAX], const int64_t from[TRIAL_INTS_MAX])
{
	memcpy(to, from, INTS_BYTES);
}

static bool is_same(const struct trial_rule *rule, const int64_t a[TRIAL_INTS_MAX], const int64_t b[TRIAL_INTS_MAX])
{
	return !memcmp(a, b, rule->n_ints * sizeof(*a));
}

static unsigned int stepped(const struct trial_rule *rule)
{
	return rule->value >= TRIAL_WIDTH ? rule->n_ints - 1 : rule->value;
}

/* What is compared with a cap, and with the same of another value. */
static int64_t amount(const struct trial_rule *rule, const int64_t value[TRIAL_INTS_MAX])
{
	return rule->value == TRIAL_WIDTH ? (int64_t)((uint64_t)value[1] - (uint64_t)value[0]) : value[stepped(rule)];
}

/* Does a lie farther in the rule's direction than b? */
static bool is_beyond(const struct trial_rule *rule, int64_t a, int64_t b)
{
	return rule->is_down ? a < b : a > b;
}

static uint64_t elapsed(uint64_t since_ns, uint64_t now_ns)
{
	return now_ns > since_ns ? now_ns - since_ns : 0; /* two CPUs' clocks */
}

/* --- arithmetic --------------------------------------------------------------------------------- */

/* part * more / whole, for part <= whole and more <= 3 * whole, without an overflow in between. */
static uint64_t share(uint64_t part, uint64_t more, uint64_t whole)
{
	unsigned int shift = 0;

	while (whole >> shift >> 31)
		shift++;
	return (part >> shift) * (more >> shift) / (whole >> shift) << shift;
}

/* percent / 100 of a number, rounded up; INT64_MAX is more than any. */
static int64_t percent_of(int64_t number, int64_t percent)
{
	int64_t result;

	if (__builtin_mul_overflow(number / 100, percent, &result) ||
	    __builtin_add_overflow(result, (number % 100 * percent + 99) / 100, &result))
		return INT64_MAX;
	return result;
}

static int64_t step_up(const struct trial_look *look, int64_t current, int64_t percent)
{
	int64_t by = percent_of(current, (look->needed ? STEP_PERCENT_MIN : percent) - 100);

	return look->needed > current && look->needed - current > by ? look->needed - current : by;
}

/* By how much the stepped integer may change; 0: not by an eighth of it, which is not worth a change. */
static int64_t room(const struct trial_rule *rule, const struct trial_look *look, int64_t current)
{
	int64_t percent = rule->step_percent, cap = look->cap, by, most;

	percent = percent < STEP_PERCENT_MIN   ? STEP_PERCENT_MIN
		  : percent > STEP_PERCENT_MAX ? STEP_PERCENT_MAX
					       : percent;
	if (rule->is_down) {
		cap = cap > 0 ? cap : 0;
		most = cap < current ? current - cap : 0;
		by = current - current / percent * 100 - current % percent * 100 / percent;
	} else {
		most = cap > current ? cap - current : 0;
		by = step_up(look, current, percent);
	}
	by = by < most ? by : most;
	return by < current / 8 ? 0 : by;
}

static bool is_in_order(const int64_t *value, unsigned int n)
{
	for (unsigned int i = 1; i < n; i++)
		if (value[i] < value[i - 1])
			return false;
	return value[0] > 0;
}

static bool next_value(const struct trial_rule *rule, const struct trial_look *look, int64_t ret_to[TRIAL_INTS_MAX])
{
	bool all = rule->value == TRIAL_ALL_INTS;
	const int64_t *from = look->value;
	unsigned int last = stepped(rule);
	int64_t current = from[last], by;

	if (rule->value == TRIAL_WIDTH || current <= 0 || (all && !is_in_order(from, rule->n_ints)))
		return false;
	by = room(rule, look, current);
	if (!by)
		return false;
	copy(ret_to, from);
	ret_to[last] += rule->is_down ? -by : by;
	for (unsigned int i = 0; all && i < last; i++)
		ret_to[i] = rule->is_down ? (int64_t)share(from[i], current - by, current)
					  : from[i] + (int64_t)share(from[i], by, current);
	return true;
}

/* Both of a pair to 31 bits: their ratio stays. */
static void narrow(uint64_t *a, uint64_t *b)
{
	for (; (*a | *b) >> 31; *a >>= 1)
		*b >>= 1;
}

static bool has_helped(const struct trial *trial, const struct trial_look *look)
{
	uint64_t before_trouble = trial->before_trouble, before_work = trial->before_work;
	uint64_t trouble = look->trouble, work = look->work;

	narrow(&before_trouble, &before_work);
	narrow(&trouble, &work);
	return !look->trouble || 2 * trouble * before_work < before_trouble * work;
}

bool trial_grown(uint64_t before, uint64_t now, uint64_t *ret_grown)
{
	if (now < before)
		return false;
	*ret_grown = now - before;
	return true;
}

/* --- what became of a proposal ------------------------------------------------------------------ */

/* Without room for another level a middle one goes: the first value and the latest can be restored exactly. */
static void push_level(struct trial *trial, const int64_t value[TRIAL_INTS_MAX])
{
	if (trial->n_levels == TRIAL_LEVELS_MAX)
		memmove(trial->levels[1], trial->levels[2], (--trial->n_levels - 1) * sizeof(trial->levels[0]));
	copy(trial->levels[trial->n_levels++], value);
}

/* The levels that the proposed value is not beyond are those of steps that are given up. */
static void drop_levels(struct trial *trial, const struct trial_rule *rule)
{
	int64_t proposed = amount(rule, trial->proposed);

	while (trial->n_levels && !is_beyond(rule, proposed, amount(rule, trial->levels[trial->n_levels - 1])))
		trial->n_levels--;
	trial->is_trying = false;
}

uint64_t trial_hold_ns(const struct trial *trial)
{
	uint64_t hold = SECOND_NS << trial->n_useless;

	return hold < HOLD_MAX_NS ? hold : HOLD_MAX_NS;
}

static void written(struct trial *trial, const struct trial_rule *rule, uint64_t now_ns)
{
	switch (trial->move) {
	case TRIAL_STEP:
		push_level(trial, trial->ours);
		trial->is_trying = rule->is_judged || rule->is_measured;
		trial->has_peak = false;
		break;
	case TRIAL_UNDO:
		drop_levels(trial, rule);
		trial->held_until_ns = now_ns + trial_hold_ns(trial);
		trial->n_useless += trial->n_useless < DOUBLINGS_MAX;
		break;
	case TRIAL_DECAY:
		drop_levels(trial, rule);
		trial->has_peak = true;
		copy(trial->peak, trial->ours);
		break;
	case TRIAL_RETURN:
		push_level(trial, trial->ours);
		trial->has_peak = false;
		trial->n_returns += trial->n_returns < DECAY_DOUBLINGS_MAX;
		break;
	case TRIAL_TAKE_BACK:
		drop_levels(trial, rule);
		trial->has_peak = false;
		break;
	}
	copy(trial->ours, trial->proposed);
	trial->changed_ns = now_ns;
}

void trial_settle(struct trial *trial, const struct trial_rule *rule, uint64_t now_ns,
		  const int64_t value[TRIAL_INTS_MAX])
{
	if (trial->move && is_same(rule, value, trial->proposed))
		written(trial, rule, now_ns);
	else if (trial->is_known && !is_same(rule, value, trial->ours))
		*trial = (struct trial){ 0 };
	trial->move = TRIAL_NONE;
}

void trial_propose(struct trial *trial, const struct trial_rule *rule, enum trial_move move,
		   const struct trial_look *look, const int64_t to[TRIAL_INTS_MAX])
{
	trial->move = move;
	trial->is_known = true;
	memcpy(trial->ours, look->value, rule->n_ints * sizeof(*look->value));
	memcpy(trial->proposed, to, rule->n_ints * sizeof(*to));
	if (move == TRIAL_STEP) {
		trial->before_trouble = look->trouble;
		trial->before_work = look->work;
	}
}

/* --- what to do --------------------------------------------------------------------------------- */

bool trial_may_decay(const struct trial *trial, const struct trial_rule *rule)
{
	return rule->decays && trial->n_levels;
}

uint64_t trial_decay_ns(const struct trial *trial)
{
	return DECAY_NS << trial->n_returns;
}

static enum trial_move decay(const struct trial *trial, const struct trial_rule *rule, uint64_t now_ns,
			     int64_t ret_to[TRIAL_INTS_MAX])
{
	uint64_t calm_ns = trial->trouble_ns > trial->changed_ns ? trial->trouble_ns : trial->changed_ns;

	if (!trial_may_decay(trial, rule) || elapsed(calm_ns, now_ns) < trial_decay_ns(trial))
		return TRIAL_NONE;
	copy(ret_to, trial->levels[trial->n_levels - 1]);
	return TRIAL_DECAY;
}

static enum trial_move step(const struct trial *trial, const struct trial_rule *rule, const struct trial_look *look,
			    int64_t ret_to[TRIAL_INTS_MAX])
{
	if (look->now_ns < trial->held_until_ns)
		return TRIAL_NONE;
	if (trial->has_peak && !is_beyond(rule, amount(rule, trial->peak), look->cap)) {
		copy(ret_to, trial->peak);
		return TRIAL_RETURN;
	}
	if (rule->is_measured)
		return TRIAL_NONE; /* the caller steps */
	return next_value(rule, look, ret_to) ? TRIAL_STEP : TRIAL_FULL;
}

void trial_keep(struct trial *trial)
{
	trial->is_trying = false;
	trial->n_useless = 0;
}

/* NONE: the step is kept, or there is not enough to judge it by yet, which `is_trying` tells. */
static enum trial_move judge(struct trial *trial, const struct trial_look *look, int64_t ret_to[TRIAL_INTS_MAX])
{
	bool can_compare = trial->before_work >= TRIAL_WORK_MIN; /* else there is no reason to call the step useless */

	if (look->work < TRIAL_WORK_MIN && (can_compare || !look->trouble))
		return TRIAL_NONE;
	if (can_compare && !has_helped(trial, look)) {
		copy(ret_to, trial->levels[trial->n_levels - 1]);
		return TRIAL_UNDO;
	}
	trial_keep(trial);
	return TRIAL_NONE;
}

enum trial_move trial_look(struct trial *trial, const struct trial_rule *rule, const struct trial_look *look,
			   int64_t ret_to[TRIAL_INTS_MAX])
{
	enum trial_move move;

	trial_settle(trial, rule, look->now_ns, look->value);
	if (look->trouble)
		trial->trouble_ns = look->now_ns;
	if (rule->is_judged && look->since_ns < trial->changed_ns)
		return TRIAL_NONE; /* some of it was before the change */
	if (trial->is_trying && rule->is_judged) {
		move = judge(trial, look, ret_to);
		if (move)
			return move;
	}
	if (!look->trouble)
		return decay(trial, rule, look->now_ns, ret_to);
	return trial->is_trying ? TRIAL_NONE : step(trial, rule, look, ret_to);
}

enum trial_move trial_take_back(struct trial *trial, const struct trial_rule *rule, const struct trial_look *look,
				uint64_t hold_until_ns, int64_t ret_to[TRIAL_INTS_MAX])
{
	trial_settle(trial, rule, look->now_ns, look->value);
	if (hold_until_ns > trial->held_until_ns)
		trial->held_until_ns = hold_until_ns;
	if (!trial->n_levels)
		return TRIAL_NONE;
	copy(ret_to, trial->levels[0]);
	return TRIAL_TAKE_BACK;
}

enum trial_move trial_go_to(struct trial *trial, const struct trial_rule *rule, const struct trial_look *look,
			    int64_t to, int64_t ret_to[TRIAL_INTS_MAX])
{
	int64_t current = look->value[stepped(rule)];

	trial_settle(trial, rule, look->now_ns, look->value);
	copy(ret_to, look->value);
	ret_to[stepped(rule)] = to;
	return to == current ? TRIAL_NONE : is_beyond(rule, to, current) ? TRIAL_STEP : TRIAL_TAKE_BACK;
}

const int64_t *trial_before(const struct trial *trial)
{
	return trial->is_trying ? trial->levels[trial->n_levels - 1] : NULL;
}

enum trial_move trial_lower(struct trial *trial, const struct trial_rule *rule, const struct trial_look *look,
			    int64_t ret_to[TRIAL_INTS_MAX])
{
	uint8_t level;

	trial_settle(trial, rule, look->now_ns, look->value);
	level = trial->n_levels;
	if (!level || !is_beyond(rule, amount(rule, look->value), look->cap))
		return TRIAL_NONE;
	do
		copy(ret_to, trial->levels[--level]);
	while (level && is_beyond(rule, amount(rule, ret_to), look->cap));
	return TRIAL_TAKE_BACK;
}

const int64_t *trial_first(const struct trial *trial)
{
	return trial->n_levels ? trial->levels[0] : NULL;
}

bool trial_is_sound(const struct trial *trial)
{
	return trial->move < N_TRIAL_MOVES && trial->n_levels <= TRIAL_LEVELS_MAX &&
	       trial->n_useless <= DOUBLINGS_MAX && trial->n_returns <= DECAY_DOUBLINGS_MAX && !trial->zero &&
	       (trial->n_levels || (!trial->is_trying && trial->move != TRIAL_UNDO && trial->move != TRIAL_DECAY)) &&
	       (trial->is_known || (!trial->n_levels && !trial->move));
}
