// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/trials.h"

#include <stddef.h>
#include <string.h>

#include "worker/memory.h"

#define TROUBLE_KEPT_NS (60 * UINT64_C(1000000000))

static uint32_t hash(uint32_t so_far, const char *text)
{
	for (; *text; text++)
		so_far = (so_far ^ (uint8_t)*text) * 16777619; /* FNV-1a */
	return so_far;
}

/* Of trials of just these remedies. */
static uint32_t version_of(const struct bpftune_tuner *tuner)
{
	uint32_t version = 2166136261 + TRIAL_VERSION;

	for (size_t i = 0; i < tuner->n_remedies; i++)
		version = hash(version, tuner->tunables[tuner->remedies[i].tunable].name) + tuner->remedies[i].value;
	return version;
}

/* That there is trouble yet is worth a line in the ledger's file once a minute only. */
static bool is_news(const struct trial *kept, const struct trial *now)
{
	return memcmp(kept, now, offsetof(struct trial, trouble_ns)) != 0 ||
	       now->trouble_ns - kept->trouble_ns >= TROUBLE_KEPT_NS;
}

void trials_keep(struct worker *worker, struct engine *engine)
{
	struct trial trials[BPFTUNE_REMEDIES_MAX];
	const struct trial *kept = engine->memories[BPFTUNE_MEMORY_OF_TRIALS].data;
	static const struct trial none;
	bool news = false;

	for (size_t i = 0; i < engine->tuner->n_remedies; i++) {
		trials[i] = engine->remedies[i].trial;
		news = news || is_news(kept ? &kept[i] : &none, &trials[i]);
	}
	if (news)
		memory_keep(worker, engine, BPFTUNE_MEMORY_OF_TRIALS,
			    &(struct bpftune_memory){ version_of(engine->tuner),
						      engine->tuner->n_remedies * sizeof(*trials), trials });
}

void trials_recall(struct engine *engine)
{
	struct bpftune_memory *memory = &engine->memories[BPFTUNE_MEMORY_OF_TRIALS];
	const struct trial *kept = memory->data;
	size_t n = engine->tuner->n_remedies;
	bool fits = memory->size == n * sizeof(*kept) && memory->version == version_of(engine->tuner);

	for (size_t i = 0; fits && i < n; i++)
		fits = trial_is_sound(&kept[i]);
	for (size_t i = 0; fits && i < n; i++)
		engine->remedies[i].trial = kept[i];
	if (!fits)
		memory_take(engine, BPFTUNE_MEMORY_OF_TRIALS, &(struct bpftune_memory){ 0 });
}
