// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_tcp_cong.h"

#include <math.h>
#include <string.h>

#define NSEC_PER_SEC 1000000000ULL
#define HALF_LIFE_S 1200.0 /* an eighth is left after an hour */
#define MIN_RTT_S 3600
#define SEGS_MAX 4000  /* what came before them weighs less and less */
#define REPORTS_MAX 16 /* likewise */
#define FULL_REPORT_ROUND_TRIPS 20
#define KNOWN_REPORTS 0.2
#define ENOUGH_REPORTS 3 /* of bbr: if it is no better by then, the trial is over */
#define APP_LIMITED_PERCENT_MAX 50
#define CLEAR_SHARE 8 /* where more than seven eighths of the loss come with a queue, the queue is the trouble */
#define TRIAL_S 60
#define HOLD_MIN_S 600
#define HOLD_MAX_S (6 * 3600)
#define ONE_IN 32
#define VALID_NS (2 * 3600 * NSEC_PER_SEC) /* so, from the last report on, for an hour or more */

static const char *const names[TCP_CONG_N] = {
	[TCP_CONG_RENO] = "reno",
	[TCP_CONG_CUBIC] = "cubic",
	[TCP_CONG_BBR] = "bbr",
};

unsigned int cong_algorithm(const char *name)
{
	unsigned int i = 0;

	while (i < TCP_CONG_N && strncmp(names[i], name, TCP_CONG_NAME_BYTES))
		i++;
	return i;
}

const char *cong_name(unsigned int algorithm)
{
	return algorithm < TCP_CONG_N ? names[algorithm] : "";
}

bool cong_is_in(const char *list, const char *name)
{
	while (*(list += strspn(list, " \t\n"))) {
		size_t length = strcspn(list, " \t\n");

		if (strlen(name) == length && !strncmp(name, list, length))
			return true;
		list += length;
	}
	return false;
}

/* --- memory -------------------------------------------------------------------------------------- */

static void scale_loss(struct cong_outcome *outcome, double left)
{
	outcome->segs *= left;
	outcome->retrans *= left;
	outcome->clear_segs *= left;
	outcome->clear_retrans *= left;
}

static void scale_rate(struct cong_outcome *outcome, double left)
{
	outcome->reports *= left;
	outcome->bytes *= left;
	outcome->busy_us *= left;
	outcome->srtt_us *= left;
}

static void fade(struct cong_remote *remote, uint64_t now_s)
{
	double left;

	if (now_s <= remote->time_s)
		return;
	left = exp2(-(double)(now_s - remote->time_s) / HALF_LIFE_S);
	remote->time_s = now_s;
	scale_loss(&remote->standard, left);
	scale_rate(&remote->standard, left);
	scale_loss(&remote->bbr, left);
	scale_rate(&remote->bbr, left);
}

static void learn_min_rtt(struct cong_remote *remote, uint32_t min_rtt_us, uint64_t now_s)
{
	if (!min_rtt_us ||
	    (remote->min_rtt_us && min_rtt_us > remote->min_rtt_us && now_s - remote->min_rtt_s <= MIN_RTT_S))
		return;
	remote->min_rtt_us = min_rtt_us;
	remote->min_rtt_s = now_s;
}

/* A connection whose shortest round trip is long has seen nothing but a full queue. */
static void learn_loss(struct cong_outcome *outcome, const struct tcp_cong_seen *seen, uint32_t min_rtt_us)
{
	uint32_t retrans = seen->retrans < seen->segs ? seen->retrans : seen->segs;

	outcome->segs += seen->segs;
	outcome->retrans += retrans;
	if (TCP_CONG_IS_NEAR(seen->min_rtt_us, min_rtt_us)) {
		outcome->clear_segs += seen->clear_segs < seen->segs ? seen->clear_segs : seen->segs;
		outcome->clear_retrans += seen->clear_retrans < retrans ? seen->clear_retrans : retrans;
	}
	if (outcome->segs > SEGS_MAX)
		scale_loss(outcome, SEGS_MAX / outcome->segs);
}

/* What an application did not fill is no measure of the algorithm. */
static void learn_rate(struct cong_outcome *outcome, const struct tcp_cong_seen *seen)
{
	double full_us = (double)FULL_REPORT_ROUND_TRIPS * seen->srtt_us;

	if (!seen->busy_us || !seen->srtt_us || seen->app_limited_percent > APP_LIMITED_PERCENT_MAX)
		return;
	outcome->reports += fmin(seen->busy_us / full_us, 1);
	outcome->bytes += seen->acked_bytes;
	outcome->busy_us += seen->busy_us;
	outcome->srtt_us += (double)seen->srtt_us * seen->busy_us;
	if (outcome->reports > REPORTS_MAX)
		scale_rate(outcome, REPORTS_MAX / outcome->reports);
}

/* What is known of another default says nothing of this one. */
static void adapt(struct cong_remote *remote, const struct cong_offer *offer)
{
	if (remote->algorithm == offer->standard)
		return;
	*remote = (struct cong_remote){ .min_rtt_s = remote->min_rtt_s,
					.time_s = remote->time_s,
					.min_rtt_us = remote->min_rtt_us,
					.algorithm = offer->standard };
}

void cong_learn(struct cong_remote *remote, const struct cong_offer *offer, const struct tcp_cong_seen *seen,
		uint64_t now_s)
{
	unsigned int algorithm = cong_algorithm(seen->algorithm);
	struct cong_outcome *outcome = algorithm == offer->standard ? &remote->standard
				       : algorithm == TCP_CONG_BBR  ? &remote->bbr
								    : NULL;

	adapt(remote, offer);
	fade(remote, now_s);
	learn_min_rtt(remote, seen->min_rtt_us, now_s);
	if (!outcome)
		return;
	learn_loss(outcome, seen, remote->min_rtt_us);
	learn_rate(outcome, seen);
}

static double ratio(double part, double of)
{
	return of > 0 ? part / of : 0;
}

double cong_loss_percent(const struct cong_outcome *outcome)
{
	return 100 * ratio(outcome->retrans, outcome->segs);
}

double cong_clear_percent(const struct cong_outcome *outcome)
{
	return fmin(100 * ratio(outcome->clear_retrans, outcome->clear_segs), cong_loss_percent(outcome));
}

double cong_rate_mbit(const struct cong_outcome *outcome)
{
	return 8 * ratio(outcome->bytes, outcome->busy_us);
}

double cong_srtt_ms(const struct cong_outcome *outcome)
{
	return ratio(outcome->srtt_us, outcome->busy_us) / 1000;
}

/* --- decisions ----------------------------------------------------------------------------------- */

bool cong_is_known(const struct cong_outcome *outcome)
{
	return outcome->reports >= KNOWN_REPORTS;
}

/*
 * By what the default's connections lose: what bbr loses may be its own doing. Once it has been found, half is enough,
 * or it would come and go.
 */
bool cong_is_lossy(const struct cong_remote *remote)
{
	const struct cong_outcome *seen = &remote->standard;
	double less = remote->state == CONG_DEFAULT ? 1 : 0.5;

	return remote->min_rtt_us >= TCP_CONG_RTT_MIN_US && seen->clear_segs >= less * TCP_CONG_SEGS_MIN &&
	       seen->clear_retrans >= less * TCP_CONG_RETRANS_MIN &&
	       1000 * seen->clear_retrans >= less * TCP_CONG_LOSS_PERMILLE * seen->clear_segs &&
	       CLEAR_SHARE * seen->clear_retrans >= less * seen->retrans;
}

bool cong_needs_nothing(const struct cong_remote *remote)
{
	const struct cong_outcome *bbr = &remote->bbr;

	return remote->state == CONG_DEFAULT &&
	       (remote->standard.segs >= TCP_CONG_SEGS_MIN ||
		(bbr->segs >= TCP_CONG_SEGS_MIN && 1000 * bbr->retrans < TCP_CONG_LOSS_PERMILLE * bbr->segs));
}

/* Under bbr the path loses more than twice what it loses by itself, and that is not chance: somebody's queue overflows.
 */
static bool hurts(const struct cong_remote *remote)
{
	double twice = 2 * cong_clear_percent(&remote->standard) / 100 * remote->bbr.segs;

	return remote->bbr.segs >= TCP_CONG_SEGS_MIN && remote->bbr.retrans > twice + 2 * sqrt(twice);
}

/* It gives measurably more. Chance averages out with the square root of the number of reports. */
static bool is_better(const struct cong_remote *remote)
{
	const struct cong_outcome *bbr = &remote->bbr, *standard = &remote->standard;
	double measurable = 1.1 + 0.2 / sqrt(fmin(bbr->reports, standard->reports));

	if (!cong_is_known(bbr) || !cong_is_known(standard))
		return false;
	if (remote->state == CONG_BBR) /* or it would come and go */
		measurable = 1 + (measurable - 1) / 2;
	return cong_rate_mbit(bbr) >= measurable * cong_rate_mbit(standard) &&
	       cong_srtt_ms(bbr) < 2 * measurable * cong_srtt_ms(standard);
}

static void begin_trial(struct cong_remote *remote, uint64_t now_s)
{
	remote->state = CONG_TRIAL;
	remote->bbr = (struct cong_outcome){ 0 };
	remote->trial_until_s = now_s + TRIAL_S;
}

/* bbr did not help: it is tried again later and later. A hold that ended long ago does not count. */
static void hold(struct cong_remote *remote, uint64_t now_s)
{
	bool is_soon = now_s - remote->held_until_s < 2ULL * remote->hold_s;

	remote->hold_s = !is_soon ? HOLD_MIN_S : 2 * remote->hold_s < HOLD_MAX_S ? 2 * remote->hold_s : HOLD_MAX_S;
	remote->held_until_s = now_s + remote->hold_s;
	remote->state = CONG_DEFAULT;
}

static void judge_trial(struct cong_remote *remote, uint64_t now_s)
{
	bool does_harm = hurts(remote), is_over = now_s >= remote->trial_until_s;

	if (!does_harm && is_better(remote))
		remote->state = CONG_BBR;
	else if (does_harm || remote->bbr.reports >= ENOUGH_REPORTS || (is_over && remote->bbr.segs > 0))
		hold(remote, now_s);
	else if (is_over) /* there was no connection to try it with */
		begin_trial(remote, now_s);
}

static void judge_bbr(struct cong_remote *remote, uint64_t now_s)
{
	if (!cong_is_known(&remote->standard) || !cong_is_known(&remote->bbr))
		remote->state = CONG_DEFAULT; /* so long ago that nobody knows any more */
	else if (hurts(remote) || !is_better(remote))
		hold(remote, now_s);
}

void cong_decide(struct cong_remote *remote, const struct cong_offer *offer, uint64_t now_s)
{
	adapt(remote, offer);
	if (!offer->has_bbr || !cong_is_lossy(remote))
		remote->state = CONG_DEFAULT;
	else if (remote->state == CONG_TRIAL)
		judge_trial(remote, now_s);
	else if (remote->state == CONG_BBR)
		judge_bbr(remote, now_s);
	else if (now_s >= remote->held_until_s)
		begin_trial(remote, now_s);
}

/* --- verdicts ------------------------------------------------------------------------------------ */

/* Three fifths of what the others get, and no other as long as it is near that. */
static uint32_t trial_kbit(double mbit, uint32_t last_kbit)
{
	double kbit = fmin(1000 * mbit, UINT32_MAX);

	return last_kbit >= 0.5 * kbit && last_kbit <= 0.75 * kbit ? last_kbit : 0.6 * kbit;
}

struct tcp_cong_verdict cong_verdict(const struct cong_remote *remote, const struct tcp_cong_verdict *last,
				     uint64_t now_ns)
{
	bool is_bbr = remote->state == CONG_BBR;
	double mbit = cong_rate_mbit(is_bbr ? &remote->bbr : &remote->standard);
	struct tcp_cong_verdict verdict = {
		.valid_until_ns = last->valid_until_ns,
		.trial_kbit = trial_kbit(mbit, last->trial_kbit),
		.is_bbr = is_bbr,
		.one_in = is_bbr ? ONE_IN : 1,
	};

	if (remote->state == CONG_DEFAULT)
		return (struct tcp_cong_verdict){ 0 };
	if (!is_bbr)
		verdict.valid_until_ns = remote->trial_until_s * NSEC_PER_SEC;
	else if (memcmp(&verdict, last, sizeof(verdict)) || last->valid_until_ns < now_ns + VALID_NS / 2)
		verdict.valid_until_ns = now_ns + VALID_NS;
	return verdict;
}
