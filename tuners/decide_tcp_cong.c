// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/decide_tcp_cong.h"

#include <math.h>
#include <string.h>

#define HALF_LIFE_S 1200.0 /* an eighth is left after an hour */
#define MIN_RTT_S 3600
#define FULL_REPORT_ROUND_TRIPS 20
#define TRIED_REPORTS 0.2
#define APP_LIMITED_PERCENT_MAX 50
#define LOSS_STAYS_PERMILLE 8	/* a lossy remote is one down to here */
#define LOSS_SUSPECT_PERMILLE 5 /* worth trying what copes with loss */
#define ONE_IN 20
#define ONE_IN_WORSE 100
#define VALID_NS (2 * 3600 * 1000000000ULL) /* so, from the last report on, for an hour or more */

static const char *const names[TCP_CONG_N] = {
	[TCP_CONG_RENO] = "reno",   [TCP_CONG_CUBIC] = "cubic",		[TCP_CONG_BBR] = "bbr",
	[TCP_CONG_BIC] = "bic",	    [TCP_CONG_HIGHSPEED] = "highspeed", [TCP_CONG_HTCP] = "htcp",
	[TCP_CONG_HYBLA] = "hybla", [TCP_CONG_ILLINOIS] = "illinois",	[TCP_CONG_SCALABLE] = "scalable",
	[TCP_CONG_VEGAS] = "vegas", [TCP_CONG_VENO] = "veno",		[TCP_CONG_WESTWOOD] = "westwood",
	[TCP_CONG_YEAH] = "yeah",
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

uint32_t cong_set(const char *list)
{
	uint32_t set = 0;

	while (*(list += strspn(list, " \t\n"))) {
		size_t length = strcspn(list, " \t\n");

		for (unsigned int i = 0; i < TCP_CONG_N; i++)
			if (strlen(names[i]) == length && !strncmp(names[i], list, length))
				set |= 1U << i;
		list += length;
	}
	return set;
}

/* --- memory -------------------------------------------------------------------------------------- */

static void fade(struct cong_remote *remote, uint64_t now_s)
{
	double left = now_s > remote->time_s ? exp2(-(double)(now_s - remote->time_s) / HALF_LIFE_S) : 1;

	if (now_s > remote->time_s)
		remote->time_s = now_s;
	remote->segs *= left;
	remote->retrans *= left;
	for (unsigned int i = 0; i < TCP_CONG_N; i++) {
		remote->outcomes[i].reports *= left;
		remote->outcomes[i].bytes *= left;
		remote->outcomes[i].busy_us *= left;
		remote->outcomes[i].srtt_us *= left;
	}
}

static void learn_outcome(struct cong_outcome *outcome, const struct tcp_cong_seen *seen)
{
	double full_us = (double)FULL_REPORT_ROUND_TRIPS * seen->srtt_us;

	outcome->reports += seen->busy_us >= full_us ? 1 : seen->busy_us / full_us;
	outcome->bytes += seen->acked_bytes;
	outcome->busy_us += seen->busy_us;
	outcome->srtt_us += (double)seen->srtt_us * seen->busy_us;
}

/*
 * What an application did not fill is no measure of the algorithm, but for a lower bound: of use when it is more than
 * any gave so far.
 */
static bool teaches(const struct cong_remote *remote, const struct tcp_cong_seen *seen)
{
	double best = 0;

	if (!seen->busy_us || !seen->srtt_us)
		return false;
	if (seen->app_limited_percent <= APP_LIMITED_PERCENT_MAX)
		return true;
	for (unsigned int i = 0; i < TCP_CONG_N; i++)
		best = fmax(best, cong_rate_mbit(&remote->outcomes[i]));
	return best > 0 && 8.0 * seen->acked_bytes / seen->busy_us > best;
}

void cong_learn(struct cong_remote *remote, const struct tcp_cong_seen *seen, unsigned int algorithm, uint64_t now_s)
{
	fade(remote, now_s);
	remote->segs += seen->segs;
	remote->retrans += seen->retrans < seen->segs ? seen->retrans : seen->segs;
	if (seen->min_rtt_us &&
	    (!remote->min_rtt_us || seen->min_rtt_us <= remote->min_rtt_us || now_s - remote->min_rtt_s > MIN_RTT_S)) {
		remote->min_rtt_us = seen->min_rtt_us;
		remote->min_rtt_s = now_s;
	}
	if (algorithm < TCP_CONG_N && teaches(remote, seen))
		learn_outcome(&remote->outcomes[algorithm], seen);
}

double cong_loss_percent(const struct cong_remote *remote)
{
	return remote->segs > 0 ? 100 * remote->retrans / remote->segs : 0;
}

double cong_rate_mbit(const struct cong_outcome *outcome)
{
	return outcome->busy_us > 0 ? 8 * outcome->bytes / outcome->busy_us : 0;
}

double cong_srtt_ms(const struct cong_outcome *outcome)
{
	return outcome->busy_us > 0 ? outcome->srtt_us / outcome->busy_us / 1000 : 0;
}

/* --- decisions ----------------------------------------------------------------------------------- */

bool cong_tried(const struct cong_outcome *outcome)
{
	return outcome->reports >= TRIED_REPORTS;
}

bool cong_beats(const struct cong_outcome *outcome, const struct cong_outcome *other, bool incumbent)
{
	double fewer = fmin(outcome->reports, other->reports);
	double rate = cong_rate_mbit(outcome), other_rate = cong_rate_mbit(other);
	double rtt = cong_srtt_ms(outcome), other_rtt = cong_srtt_ms(other);
	/* Chance averages out with the square root of their number. */
	double measurable = 1.1 + 0.4 / sqrt(fewer);

	if (!cong_tried(outcome) || !cong_tried(other) || rate <= 0)
		return false;
	if (incumbent) /* or it would come and go */
		measurable = 1 + (measurable - 1) / 2;
	if (rate >= measurable * other_rate)
		return rtt < 2 * measurable * other_rtt;
	return measurable * rate >= other_rate && measurable * measurable * rtt <= other_rtt;
}

static bool loses(const struct cong_remote *remote, unsigned int permille)
{
	return remote->segs >= TCP_CONG_SEGS_MIN && remote->retrans >= TCP_CONG_RETRANS_MIN &&
	       1000 * remote->retrans >= permille * remote->segs;
}

static bool is_usable(const struct cong_offer *offer, unsigned int algorithm)
{
	return offer->usable >> algorithm & 1;
}

static unsigned int best_of(const struct cong_remote *remote, const struct cong_offer *offer, unsigned int base)
{
	unsigned int best = base, last = remote->choice ? remote->choice - 1U : offer->standard;

	if (last != base && is_usable(offer, last) &&
	    cong_beats(&remote->outcomes[last], &remote->outcomes[base], true))
		best = last;
	for (unsigned int i = 0; i < TCP_CONG_N; i++)
		if (is_usable(offer, i) && cong_beats(&remote->outcomes[i], &remote->outcomes[best], false))
			best = i;
	return best;
}

static uint32_t worse_than(const struct cong_remote *remote, unsigned int best)
{
	uint32_t worse = 0;

	for (unsigned int i = 0; i < TCP_CONG_N; i++)
		if (cong_beats(&remote->outcomes[best], &remote->outcomes[i], remote->worse >> i & 1))
			worse |= 1U << i;
	return worse;
}

struct cong_decision cong_decide(struct cong_remote *remote, const struct cong_offer *offer)
{
	struct cong_decision decision = { 0 };
	bool has_bbr = is_usable(offer, TCP_CONG_BBR);
	unsigned int best;

	remote->lossy = loses(remote, remote->lossy ? LOSS_STAYS_PERMILLE : TCP_CONG_LOSS_PERMILLE);
	best = best_of(remote, offer, remote->lossy && has_bbr ? TCP_CONG_BBR : offer->standard);
	remote->choice = decision.choice = best == offer->standard ? 0 : best + 1;
	decision.switches = remote->lossy && decision.choice;
	if (!decision.choice && has_bbr && offer->standard != TCP_CONG_BBR && loses(remote, LOSS_SUSPECT_PERMILLE) &&
	    cong_tried(&remote->outcomes[best]) && !cong_tried(&remote->outcomes[TCP_CONG_BBR])) {
		decision.one_in = 1;
		decision.trials = 1U << TCP_CONG_BBR;
	} else if (decision.choice) {
		uint32_t others = offer->usable & ~(1U << best), promising;

		remote->worse = worse_than(remote, best);
		promising = others & ~remote->worse;
		decision.one_in = promising ? ONE_IN : ONE_IN_WORSE;
		decision.trials = promising ? promising : others;
		decision.mbit = cong_rate_mbit(&remote->outcomes[best]);
	}
	return decision;
}

struct cong_decision cong_explore(const struct cong_offer *offer)
{
	uint32_t trials = offer->usable & ~(1U << offer->standard);

	return (struct cong_decision){ .one_in = trials ? ONE_IN : 0, .trials = trials };
}

/* Three fifths of what the choice gives, and no other as long as it is near that. */
static uint32_t trial_kbit(double mbit, uint32_t last_kbit)
{
	double kbit = fmin(1000 * mbit, UINT32_MAX);

	return last_kbit >= 0.5 * kbit && last_kbit <= 0.75 * kbit ? last_kbit : 0.6 * kbit;
}

struct tcp_cong_verdict cong_verdict(const struct cong_decision *decision, const struct tcp_cong_verdict *last,
				     uint64_t now_ns)
{
	struct tcp_cong_verdict verdict = {
		.trials = decision->trials,
		.trial_kbit = trial_kbit(decision->mbit, last->trial_kbit),
		.choice = decision->choice,
		.switches = decision->switches,
		.one_in = decision->trials ? decision->one_in : 0,
	};

	if (!verdict.choice && !verdict.one_in)
		return (struct tcp_cong_verdict){ 0 };
	verdict.valid_until_ns = last->valid_until_ns;
	if (memcmp(&verdict, last, sizeof(verdict)) || last->valid_until_ns < now_ns + VALID_NS / 2)
		verdict.valid_until_ns = now_ns + VALID_NS;
	return verdict;
}
