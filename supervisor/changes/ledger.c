// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/ledger.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "supervisor/changes/ledger_file.h"

/* Fits, or is cut: fixed sizes, always ended. */
static void put(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from ? from : "");
}

#define PUT(field, from) put(field, sizeof(field), from)

static bool make_key(struct ledger_key *key, uint64_t netns_cookie, const char *name)
{
	size_t n = strlen(name);

	memset(key, 0, sizeof(*key));
	if (!n || n >= sizeof(key->name))
		return false;
	key->netns_cookie = netns_cookie;
	memcpy(key->name, name, n);
	return true;
}

/* --- entries ------------------------------------------------------------------------------------ */

struct ledger_entry *ledger_find(const struct ledger *ledger, uint64_t netns_cookie, const char *tunable)
{
	struct ledger_entry *entry = NULL;
	struct ledger_key key;

	if (make_key(&key, netns_cookie, tunable))
		HASH_FIND(hh, ledger->entries, &key, sizeof(key), entry);
	return entry;
}

static struct ledger_entry *entry_get(struct ledger *ledger, uint64_t netns_cookie, const char *tunable)
{
	struct ledger_entry *entry = ledger_find(ledger, netns_cookie, tunable);
	struct ledger_key key;

	if (entry || !make_key(&key, netns_cookie, tunable))
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->key = key;
	HASH_ADD(hh, ledger->entries, key, sizeof(entry->key), entry);
	return entry;
}

unsigned int ledger_changes(const struct ledger_entry *entry)
{
	unsigned int changes = 0;

	for (size_t i = 0; i < LEDGER_SCENARIOS_MAX && entry->scenarios[i].name[0]; i++)
		changes += entry->scenarios[i].changes;
	return changes;
}

static void count_scenario(struct ledger_entry *entry, const char *name, unsigned int changes)
{
	for (size_t i = 0; i < LEDGER_SCENARIOS_MAX; i++) {
		struct ledger_scenario *scenario = &entry->scenarios[i];

		if (!scenario->name[0])
			PUT(scenario->name, name);
		if (strcmp(scenario->name, name) && i + 1 < LEDGER_SCENARIOS_MAX)
			continue; /* the last slot takes all that have none of their own */
		scenario->changes += changes;
		return;
	}
}

const struct ledger_row *ledger_last(const struct ledger_entry *entry)
{
	return entry->n_rows ? &entry->rows[entry->n_rows - 1] : NULL;
}

static void push_row(struct ledger_entry *entry, const struct ledger_row *row)
{
	struct ledger_row *rows;

	if (entry->n_rows == LEDGER_ROWS_MAX)
		memmove(entry->rows, entry->rows + 1, --entry->n_rows * sizeof(*rows));
	rows = realloc(entry->rows, (entry->n_rows + 1) * sizeof(*rows));
	if (!rows)
		return; /* the value is kept all the same */
	entry->rows = rows;
	rows[entry->n_rows++] = *row;
}

static void settle(struct ledger *ledger, struct ledger_entry *entry, const char *value)
{
	entry->intended = false;
	if (entry->foreign) { /* after ours: that was not refused */
		PUT(entry->ours, entry->intent.to);
	} else {
		PUT(entry->current, value);
		PUT(entry->intent.to, value);
	}
	count_scenario(entry, entry->intent.scenario, 1);
	push_row(entry, &entry->intent);
	ledger_file_entry(ledger, entry);
	ledger_file_row(ledger, entry, &entry->intent);
}

/* --- states ------------------------------------------------------------------------------------- */

const char *tuner_state_name(enum tuner_state state)
{
	static const char *const names[] = {
		[TUNER_ACTIVE] = "active",
		[TUNER_MANUAL] = "manual",
		[TUNER_PAUSED] = "paused",
		[TUNER_OFF] = "off",
	};

	return names[state];
}

const struct ledger_state *ledger_get_state(const struct ledger *ledger, uint64_t netns_cookie, const char *tuner)
{
	struct ledger_state *state = NULL;
	struct ledger_key key;

	if (make_key(&key, netns_cookie, tuner))
		HASH_FIND(hh, ledger->states, &key, sizeof(key), state);
	return state;
}

static void state_put(struct ledger *ledger, uint64_t netns_cookie, const char *tuner, enum tuner_state state,
		      const char *why)
{
	struct ledger_state *known = (struct ledger_state *)ledger_get_state(ledger, netns_cookie, tuner);
	struct ledger_key key;

	if (!known) {
		known = make_key(&key, netns_cookie, tuner) ? calloc(1, sizeof(*known)) : NULL;
		if (!known)
			return;
		known->key = key;
		HASH_ADD(hh, ledger->states, key, sizeof(known->key), known);
	}
	known->state = state;
	log_escape(why ? why : "", known->why, sizeof(known->why)); /* a process calls itself what it likes; JSON is UTF-8 */
}

static void forget(struct ledger *ledger, uint64_t netns_cookie, bool all)
{
	struct ledger_entry *entry, *next_entry;
	struct ledger_state *state, *next_state;

	HASH_ITER(hh, ledger->entries, entry, next_entry)
		if (all || entry->key.netns_cookie == netns_cookie) {
			HASH_DEL(ledger->entries, entry);
			free(entry->rows);
			free(entry);
		}
	HASH_ITER(hh, ledger->states, state, next_state)
		if (all || state->key.netns_cookie == netns_cookie) {
			HASH_DEL(ledger->states, state);
			free(state);
		}
}

/* --- what is recorded --------------------------------------------------------------------------- */

enum ledger_news ledger_value(struct ledger *ledger, uint64_t netns_cookie, const char *tunable, const char *value)
{
	struct ledger_entry *entry = entry_get(ledger, netns_cookie, tunable);
	enum ledger_news news = LEDGER_SAME;

	if (!entry)
		return LEDGER_SAME;
	if (!entry->known || entry->renew) {
		entry->known = true;
		PUT(entry->initial, value);
		news = LEDGER_FIRST;
	} else if (entry->intended && strcmp(value, entry->intent.from) &&
		   (!entry->foreign || (*entry->ours && strcmp(value, entry->current) && !strcmp(value, entry->intent.to)))) {
		entry->foreign = false; /* the kernel did not take theirs */
		settle(ledger, entry, value);
		return LEDGER_SAME;
	} else if (entry->foreign && strcmp(value, entry->current) && !strcmp(value, entry->ours)) {
		entry->foreign = false; /* the kernel did not take theirs */
	} else if (strcmp(value, entry->current)) {
		news = LEDGER_FOREIGN;
	}
	entry->ours[0] = '\0';
	if (news == LEDGER_SAME && !entry->intended && !strcmp(value, entry->current))
		return LEDGER_SAME; /* nothing new to write down */
	entry->renew = entry->intended = false;
	entry->foreign = news == LEDGER_FOREIGN || (entry->foreign && news != LEDGER_FIRST);
	PUT(entry->current, value);
	ledger_file_entry(ledger, entry);
	return news;
}

int ledger_intent(struct ledger *ledger, const struct ledger_change *change)
{
	struct ledger_entry *entry = ledger_find(ledger, change->netns_cookie, change->tunable);
	struct ledger_row *intent;
	int err;

	if (!entry || !entry->known)
		return -EINVAL;
	if (entry->intended)
		return -EBUSY;
	if (!entry->on_disk) { /* it could not be written when it was read */
		err = ledger_file_entry(ledger, entry);
		if (err)
			return err;
	}
	intent = &entry->intent;
	intent->time_us = log_realtime_us();
	PUT(intent->from, change->from);
	PUT(intent->to, change->to);
	PUT(intent->tuner, change->tuner);
	PUT(intent->scenario, change->scenario);
	log_escape(change->reason ? change->reason : "", intent->reason, sizeof(intent->reason));
	err = ledger_file_intent(ledger, entry);
	if (err)
		return err;
	entry->intended = true;
	entry->foreign = false; /* from now on it is */
	return 0;
}

void ledger_outcome(struct ledger *ledger, uint64_t netns_cookie, const char *tunable, int error, const char *value)
{
	struct ledger_entry *entry = ledger_find(ledger, netns_cookie, tunable);

	if (!entry || !entry->intended)
		return;
	if (!error) {
		settle(ledger, entry, value);
		return;
	}
	entry->intended = false;
	ledger_file_entry(ledger, entry);
}

void ledger_foreign(struct ledger *ledger, uint64_t netns_cookie, const char *tunable, const char *value)
{
	struct ledger_entry *entry = ledger_find(ledger, netns_cookie, tunable);

	if (!entry || (entry->foreign && !strcmp(entry->current, value)))
		return;
	if (!entry->foreign)
		PUT(entry->ours, entry->current);
	entry->foreign = true;
	PUT(entry->current, value);
	ledger_file_entry(ledger, entry);
}

void ledger_doubt(struct ledger *ledger, uint64_t netns_cookie, const char *tunable)
{
	struct ledger_entry *entry = ledger_find(ledger, netns_cookie, tunable);

	if (entry)
		entry->ours[0] = '\0';
}

void ledger_renew(struct ledger *ledger, uint64_t netns_cookie, const char *tunable)
{
	struct ledger_entry *entry = ledger_find(ledger, netns_cookie, tunable);

	if (!entry)
		return;
	entry->renew = true;
	ledger_file_entry(ledger, entry);
}

void ledger_set_state(struct ledger *ledger, uint64_t netns_cookie, const char *tuner, enum tuner_state state,
		      const char *why)
{
	state_put(ledger, netns_cookie, tuner, state, why);
	ledger_file_state(ledger, ledger_get_state(ledger, netns_cookie, tuner));
}

void ledger_gone(struct ledger *ledger, uint64_t netns_cookie)
{
	forget(ledger, netns_cookie, false);
	ledger_file_gone(ledger, netns_cookie);
}

void ledger_prune(struct ledger *ledger, bool (*lives)(void *arg, uint64_t netns_cookie), void *arg)
{
	const struct ledger_entry *entry = ledger->entries;
	const struct ledger_state *state;

	while (entry)
		if (lives(arg, entry->key.netns_cookie)) {
			entry = entry->hh.next;
		} else {
			ledger_gone(ledger, entry->key.netns_cookie);
			entry = ledger->entries; /* several may have gone at once */
		}
	state = ledger->states; /* some went with their entries */
	while (state)
		if (lives(arg, state->key.netns_cookie)) {
			state = state->hh.next;
		} else {
			ledger_gone(ledger, state->key.netns_cookie);
			state = ledger->states;
		}
}

void ledger_close(struct ledger *ledger)
{
	forget(ledger, 0, true);
	ledger_file_close(ledger);
}

/* --- what is read back -------------------------------------------------------------------------- */

static const char *text_of(json_t *line, const char *key)
{
	return json_string_value(json_object_get(line, key));
}

static bool replay_entry(struct ledger *ledger, uint64_t netns_cookie, json_t *line)
{
	const char *tunable = text_of(line, "tunable"), *initial = text_of(line, "initial"), *name;
	struct ledger_entry *entry = tunable ? entry_get(ledger, netns_cookie, tunable) : NULL;
	json_t *changes;

	if (!entry || !initial)
		return false;
	entry->known = entry->on_disk = true;
	PUT(entry->initial, initial);
	PUT(entry->current, text_of(line, "current"));
	entry->renew = json_is_true(json_object_get(line, "renew"));
	entry->foreign = json_is_true(json_object_get(line, "foreign"));
	entry->intended = false;
	memset(entry->scenarios, 0, sizeof(entry->scenarios));
	json_object_foreach(json_object_get(line, "scenarios"), name, changes)
		if (*name)
			count_scenario(entry, name, json_integer_value(changes));
	return true;
}

static struct ledger_entry *replay_row(const struct ledger *ledger, uint64_t netns_cookie, json_t *line,
				       struct ledger_row *ret_row)
{
	const char *tunable = text_of(line, "tunable"), *from = text_of(line, "from"), *to = text_of(line, "to");
	const char *scenario = text_of(line, "scenario");

	if (!tunable || !from || !to || !scenario || !*scenario)
		return NULL;
	memset(ret_row, 0, sizeof(*ret_row));
	ret_row->time_us = json_integer_value(json_object_get(line, "time_us"));
	PUT(ret_row->from, from);
	PUT(ret_row->to, to);
	PUT(ret_row->tuner, text_of(line, "tuner"));
	PUT(ret_row->scenario, scenario);
	PUT(ret_row->reason, text_of(line, "reason"));
	return ledger_find(ledger, netns_cookie, tunable);
}

static bool replay_intent(struct ledger *ledger, uint64_t netns_cookie, json_t *line)
{
	struct ledger_row row;
	struct ledger_entry *entry = replay_row(ledger, netns_cookie, line, &row);

	if (!entry)
		return false;
	entry->intent = row;
	entry->intended = true;
	return true;
}

static bool replay_change(struct ledger *ledger, uint64_t netns_cookie, json_t *line)
{
	struct ledger_row row;
	struct ledger_entry *entry = replay_row(ledger, netns_cookie, line, &row);

	if (entry)
		push_row(entry, &row);
	return entry != NULL;
}

static bool replay_state(struct ledger *ledger, uint64_t netns_cookie, json_t *line)
{
	const char *tuner = text_of(line, "tuner"), *state = text_of(line, "state");

	for (enum tuner_state i = TUNER_ACTIVE; tuner && state && i <= TUNER_OFF; i++)
		if (!strcmp(state, tuner_state_name(i))) {
			state_put(ledger, netns_cookie, tuner, i, text_of(line, "why"));
			return true;
		}
	return false;
}

static bool replay_gone(struct ledger *ledger, uint64_t netns_cookie, json_t *line)
{
	(void)line;
	forget(ledger, netns_cookie, false);
	return true;
}

static int replay_line(struct ledger *ledger, json_t *line)
{
	static const struct {
		const char *name;
		bool (*replay)(struct ledger *ledger, uint64_t netns_cookie, json_t *line);
	} kinds[] = {
		{ "entry", replay_entry }, { "intent", replay_intent }, { "change", replay_change },
		{ "state", replay_state }, { "gone", replay_gone },
	};
	const char *kind = text_of(line, "kind");
	json_t *cookie = json_object_get(line, "netns");

	for (size_t i = 0; kind && json_is_integer(cookie) && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kind, kinds[i].name))
			return kinds[i].replay(ledger, json_integer_value(cookie), line) ? 0 : -EBADMSG;
	return -EBADMSG;
}

static int replay_head(json_t *line, const char *boot_id)
{
	json_t *version = json_object_get(line, "bpftune_ledger");
	const char *boot = text_of(line, "boot");

	if (!json_is_integer(version) || !boot)
		return -EBADMSG;
	if (json_integer_value(version) != LEDGER_VERSION)
		return -EPROTONOSUPPORT;
	return strcmp(boot, boot_id) ? -ESTALE : 0;
}

int ledger_replay(struct ledger *ledger, const char *text, size_t size, const char *boot_id)
{
	const char *end = text + size, *newline;
	bool head = true;
	int err = 0;

	/* What has no newline is torn: the write that should have ended it never returned. */
	for (; !err && text < end && (newline = memchr(text, '\n', end - text)); text = newline + 1, head = false) {
		json_t *line = ledger_file_parse(text, newline - text);

		err = !line ? -EBADMSG : head ? replay_head(line, boot_id) : replay_line(ledger, line);
		json_decref(line);
	}
	if (!err && head && size)
		err = -EBADMSG; /* not even a first line */
	if (err)
		forget(ledger, 0, true);
	return err;
}
