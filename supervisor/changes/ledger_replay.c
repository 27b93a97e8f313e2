// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/ledger_replay.h"

#include <errno.h>
#include <string.h>

#include "supervisor/changes/ledger_file.h"

static const char *text_of(json_t *line, const char *key)
{
	return json_string_value(json_object_get(line, key));
}

static int replay_entry(struct ledger *ledger, uint64_t netns_cookie, json_t *line)
{
	const char *tunable = text_of(line, "tunable"), *initial = text_of(line, "initial"), *name;
	struct ledger_entry *entry;
	json_t *changes;

	if (!tunable || !ledger_is_name(tunable) || !initial)
		return -EBADMSG;
	entry = ledger_entry_get(ledger, netns_cookie, tunable);
	if (!entry)
		return -ENOMEM;
	entry->known = entry->on_disk = true;
	PUT(entry->initial, initial);
	PUT(entry->current, text_of(line, "current"));
	entry->renew = json_is_true(json_object_get(line, "renew"));
	entry->foreign = json_is_true(json_object_get(line, "foreign"));
	entry->intended = false;
	if (ledger_changes(entry))
		memset(entry->history->scenarios, 0, sizeof(entry->history->scenarios));
	json_object_foreach(json_object_get(line, "scenarios"), name, changes)
		if (*name)
			ledger_count_scenario(entry, name, json_integer_value(changes));
	return 0;
}

/* A change, granted or carried out. */
static int replay_row(struct ledger *ledger, uint64_t netns_cookie, json_t *line, struct ledger_entry **ret_entry,
		      struct ledger_row *ret_row)
{
	const char *tunable = text_of(line, "tunable"), *from = text_of(line, "from"), *to = text_of(line, "to");
	const char *scenario = text_of(line, "scenario"), *container = text_of(line, "container");
	struct ledger_entry *entry = tunable ? ledger_find(ledger, netns_cookie, tunable) : NULL;
	int err;

	if (!entry || !from || !to || !scenario || !*scenario)
		return -EBADMSG;
	err = ledger_make_history(entry);
	if (!err && container)
		err = ledger_call_netns(ledger, netns_cookie, container, text_of(line, "container_id"));
	if (err)
		return err;
	memset(ret_row, 0, sizeof(*ret_row));
	ret_row->time_us = json_integer_value(json_object_get(line, "time_us"));
	PUT(ret_row->from, from);
	PUT(ret_row->to, to);
	PUT(ret_row->tuner, text_of(line, "tuner"));
	PUT(ret_row->scenario, scenario);
	PUT(ret_row->reason, text_of(line, "reason"));
	*ret_entry = entry;
	return 0;
}

static int replay_intent(struct ledger *ledger, uint64_t netns_cookie, json_t *line)
{
	struct ledger_entry *entry;
	struct ledger_row row;
	int err = replay_row(ledger, netns_cookie, line, &entry, &row);

	if (err)
		return err;
	entry->history->intent = row;
	entry->intended = true;
	return 0;
}

static int replay_change(struct ledger *ledger, uint64_t netns_cookie, json_t *line)
{
	struct ledger_entry *entry;
	struct ledger_row row;
	int err = replay_row(ledger, netns_cookie, line, &entry, &row);

	if (!err)
		entry->history->last = row;
	return err;
}

static int replay_state(struct ledger *ledger, uint64_t netns_cookie, json_t *line)
{
	const char *tuner = text_of(line, "tuner"), *state = text_of(line, "state");

	for (enum tuner_state i = TUNER_ACTIVE; tuner && state && i <= TUNER_OFF; i++)
		if (!strcmp(state, tuner_state_name(i)))
			return ledger_state_put(ledger, netns_cookie, tuner, i, text_of(line, "why"));
	return -EBADMSG;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A damaged memory is left out: initial values do not depend on it. */
static int replay_memory(struct ledger *ledger, uint64_t netns_cookie, json_t *line)
{
	const char *name = text_of(line, "name"), *digits = text_of(line, "data");
	size_t size = digits ? strlen(digits) / 2 : 0;
	uint8_t data[BPFTUNE_MEMORY_BYTES_MAX];
	int err;

	if (!name || !digits)
		return -EBADMSG;
	for (size_t i = 0; i < size && size <= sizeof(data); i++) {
		int high = digit(digits[2 * i]), low = digit(digits[2 * i + 1]);

		if (high < 0 || low < 0)
			return 0;
		data[i] = high << 4 | low;
	}
	err = ledger_memory_put(
		ledger, netns_cookie, name,
		&(struct bpftune_memory){ json_integer_value(json_object_get(line, "version")), size, data });
	return err == -ENOMEM ? err : 0;
}

static int replay_gone(struct ledger *ledger, uint64_t netns_cookie, json_t *line)
{
	(void)line;
	ledger_forget(ledger, netns_cookie);
	return 0;
}

static int replay_line(struct ledger *ledger, json_t *line)
{
	static const struct {
		const char *name;
		int (*replay)(struct ledger *ledger, uint64_t netns_cookie, json_t *line);
	} kinds[] = {
		{ "entry", replay_entry }, { "intent", replay_intent }, { "change", replay_change },
		{ "state", replay_state }, { "memory", replay_memory }, { "gone", replay_gone },
	};
	const char *kind = text_of(line, "kind");
	json_t *cookie = json_object_get(line, "netns");

	for (size_t i = 0; kind && json_is_integer(cookie) && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kind, kinds[i].name))
			return kinds[i].replay(ledger, json_integer_value(cookie), line);
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
	bool head = true, damaged = false;
	int err = 0;

	/* What has no newline is torn: the write that should have ended it never returned. */
	for (; !err && text < end && (newline = memchr(text, '\n', end - text)); text = newline + 1, head = false) {
		json_t *line = NULL;

		err = ledger_file_parse(text, newline - text, &line);
		if (!err)
			err = head ? replay_head(line, boot_id) : replay_line(ledger, line);
		json_decref(line);
		if (err == -EBADMSG && !head) {
			damaged = true; /* each line stands for itself */
			err = 0;
		}
	}
	if (!err && head && size)
		err = -EBADMSG; /* not even a first line */
	damaged |= end - text > LEDGER_LINE_MAX; /* no one write */
	if (err)
		ledger_forget_all(ledger);
	return err ? err : damaged ? -EBADMSG : 0;
}
