// SPDX-License-Identifier: GPL-2.0-or-later
/* `bpftune rollback --offline`: initial values put back by what the ledger says, while no supervisor runs. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "supervisor/changes/changes.h"
#include "supervisor/changes/choice.h"
#include "supervisor/changes/errand.h"
#include "supervisor/changes/rollback.h"

struct offline {
	struct ledger ledger;
	struct surveyed_netns *survey;
	bool is_partial; /* the survey */
	bool dry_run;
	json_t *result;
	struct confinement confinement; /* of workers */
	struct offline_refusal *refusal;
};

/* --- what is told ------------------------------------------------------------------------------- */

static const char *name_of(const struct ledger_netns *netns, char text[64])
{
	snprintf(text, 64, "netns cookie %llu", (unsigned long long)netns->cookie);
	return netns->name ? netns->name : text;
}

static json_t *row(const struct ledger_netns *netns, const struct ledger_entry *entry, const char *from,
		   const char *why)
{
	char text[64];

	return json_pack("{s:n s:s s:s s:s s:s s:s?}", "instance", "container", name_of(netns, text), "tunable",
			 entry->key.name, "from", from, "to", entry->initial, "why", why);
}

static void tell(const struct offline *offline, const char *list, json_t *item)
{
	json_array_append_new(json_object_get(offline->result, list), item);
}

static bool is_plain(const char *path)
{
	return strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@") == strlen(path);
}

/* The words that take a command there; false: none do. */
static bool way_into(const struct surveyed_netns *found, char *ret_words, size_t size)
{
	struct stat own;

	if (stat("/proc/self/ns/net", &own) == 0 && own.st_ino == found->inode)
		*ret_words = '\0';
	else if (found->path && is_plain(found->path))
		snprintf(ret_words, size, "nsenter --net=%s ", found->path);
	else if (found->tid)
		snprintf(ret_words, size, "nsenter -t %d -n ", found->tid);
	else
		return false;
	return true;
}

static void tell_plan(const struct offline *offline, const struct surveyed_netns *found,
		      const struct ledger_netns *netns, const struct ledger_entry *entry, const char *why)
{
	char enter[4096], command[8192];
	json_t *item = row(netns, entry, entry->current, why), *text = json_null();

	if (way_into(found, enter, sizeof(enter))) {
		snprintf(command, sizeof(command), "%ssysctl -w %s='%s'", enter, entry->key.name, entry->initial);
		text = json_string(command);
	}
	json_object_set_new(item, "command", text);
	tell(offline, "plan", item);
}

static void tell_restored(const struct offline *offline, const struct ledger_netns *netns,
			  const struct ledger_entry *entry, const char *from)
{
	const struct ledger_row *last = ledger_last(entry);
	char text[64];

	tell(offline, "restored", row(netns, entry, from, NULL));
	log_write(&(struct log_record){
		.severity = LOG_NOTICE,
		.time_us = log_realtime_us(),
		.container = name_of(netns, text),
		.tuner = last && *last->tuner ? last->tuner : NULL,
		.scenario = LEDGER_ROLLBACK,
		.tunable = entry->key.name,
		.from = from,
		.to = entry->current,
		.text = "the initial value is put back, while no supervisor runs",
	});
}

/* --- one value ---------------------------------------------------------------------------------- */

/* The worker has ended, or hangs. */
static bool is_lost(int err)
{
	return err == -EPIPE || err == -EBADMSG || err == -ETIMEDOUT;
}

/* On record first, as all changes. 0 or -errno. */
static int restore(struct offline *offline, const struct ledger_netns *netns, struct ledger_entry *entry,
		   struct errand *errand, size_t i)
{
	const struct ledger_row *last = ledger_last(entry);
	char value[BPFTUNE_VALUE_BYTES];
	int err = ledger_intent(&offline->ledger,
				&(struct ledger_change){
					.netns_cookie = netns->cookie,
					.container = netns->name,
					.container_id = netns->container_id,
					.tuner = last ? last->tuner : NULL,
					.tunable = entry->key.name,
					.scenario = LEDGER_ROLLBACK,
					.from = entry->current,
					.to = entry->initial,
					.reason = "the initial value is put back, while no supervisor runs",
				});

	if (err)
		return err;
	err = errand_restore(errand, i, entry->initial, value);
	if (is_lost(err))
		return err; /* it may have been written: the next who reads the value sees */
	ledger_outcome(&offline->ledger, netns->cookie, entry->key.name, err, value);
	if (err == -ESTALE) /* somebody set it meanwhile */
		ledger_value(&offline->ledger, netns->cookie, entry->key.name, value);
	return err;
}

static const char *why_left(const struct ledger_entry *entry, const struct errand *errand, size_t i)
{
	if (errand->values[i].error)
		return strerror(-errand->values[i].error);
	return entry->foreign ? ROLLBACK_SET_SINCE : NULL;
}

/* 0; -errno: the worker is lost, and nothing was told. */
static int put_back(struct offline *offline, const struct surveyed_netns *found, const struct ledger_netns *netns,
		    struct ledger_entry *entry, struct errand *errand, size_t i)
{
	char from[BPFTUNE_VALUE_BYTES];
	const char *why;
	int err;

	/* What a change came to whose worker died, or whether somebody else has set it: as a worker's first look. */
	if (!errand->values[i].error)
		ledger_value(&offline->ledger, netns->cookie, entry->key.name, errand->values[i].value);
	if (!entry->intended && !strcmp(entry->current, entry->initial))
		return 0;
	why = why_left(entry, errand, i);
	memcpy(from, entry->current, sizeof(from));
	if (offline->dry_run) {
		tell_plan(offline, found, netns, entry, why);
		return 0;
	}
	err = why ? 0 : restore(offline, netns, entry, errand, i);
	if (is_lost(err))
		return err;
	if (why || err)
		tell(offline, "left",
		     row(netns, entry, from,
			 why		  ? why
			 : err == -ESTALE ? ROLLBACK_SET_SINCE
					  : strerror(-err)));
	else
		tell_restored(offline, netns, entry, from);
	return 0;
}

/* --- one namespace ------------------------------------------------------------------------------ */

static uint64_t changed_us(const struct ledger_entry *entry)
{
	return entry->intended ? entry->history->intent.time_us : entry->history->last.time_us;
}

static int last_first(const void *a, const void *b)
{
	uint64_t x = changed_us(*(struct ledger_entry *const *)a), y = changed_us(*(struct ledger_entry *const *)b);

	return x < y ? 1 : x > y ? -1 : 0;
}

/* The values that are not, or maybe not, the initial ones; the last changed one first. */
static size_t find_changed(const struct ledger_netns *netns, struct ledger_entry **ret_entries)
{
	size_t n = 0;

	for (struct ledger_entry *entry = netns->entries; entry; entry = entry->next)
		if (entry->intended || strcmp(entry->current, entry->initial)) {
			if (ret_entries)
				ret_entries[n] = entry;
			n++;
		}
	if (ret_entries)
		qsort(ret_entries, n, sizeof(*ret_entries), last_first);
	return n;
}

static void leave_all(const struct offline *offline, const struct ledger_netns *netns,
		      struct ledger_entry *const *entries, size_t n, const char *why)
{
	for (size_t i = 0; i < n; i++)
		tell(offline, "left", row(netns, entries[i], entries[i]->current, why));
}

/* 0 or -errno: nothing was told of the namespace. */
static int put_back_all(struct offline *offline, const struct surveyed_netns *found, const struct ledger_netns *netns,
			struct ledger_entry **entries, size_t n)
{
	_cleanup_close_ int fd = survey_open(found);
	_cleanup_free_ struct errand_value *values = fd < 0 ? NULL : calloc(n, sizeof(*values));
	struct errand errand = { .n = n, .values = values, .confinement = &offline->confinement };
	size_t i;
	int err;

	if (!values)
		return fd < 0 ? fd : -ENOMEM;
	for (i = 0; i < n; i++)
		PUT(values[i].name, entries[i]->key.name);
	err = errand_start(&errand, netns->cookie, fd);
	for (i = 0; i < n && !err; i += !err)
		err = put_back(offline, found, netns, entries[i], &errand, i);
	leave_all(offline, netns, entries + i, n - i, *errand.said ? errand.said : "its worker did not answer");
	errand_end(&errand);
	return 0;
}

static int visit(struct offline *offline, const struct ledger_netns *netns)
{
	const struct surveyed_netns *found = survey_find(offline->survey, netns->cookie);
	size_t n = find_changed(netns, NULL);
	_cleanup_free_ struct ledger_entry **entries = n ? calloc(n, sizeof(*entries)) : NULL;
	char text[64];
	int err;

	if (!n)
		return 0;
	if (!entries)
		return -ENOMEM;
	find_changed(netns, entries);
	if (!found && !offline->is_partial) {
		tell(offline, "gone",
		     json_pack("{s:s s:I}", "container", name_of(netns, text), "netns", (json_int_t)netns->cookie));
		return 0;
	}
	err = found ? put_back_all(offline, found, netns, entries, n) : -ETIMEDOUT;
	if (err)
		leave_all(offline, netns, entries, n,
			  found ? strerror(-err) : "not all namespaces could be looked into");
	return 0;
}

/* --- all of it ---------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static int refuse(struct offline *offline, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(offline->refusal->text, sizeof(offline->refusal->text), format, args);
	va_end(args);
	return err;
}

static int refuse_ledger(struct offline *offline, int err)
{
	const struct ledger *ledger = &offline->ledger;

	return refuse(offline, err, "cannot %s %s: %s%s", ledger->doing, ledger->path ? ledger->path : "",
		      strerror(-err), ledger_hint(ledger, err));
}

static int read_ledger(struct offline *offline, const char *run_dir)
{
	struct ledger *ledger = &offline->ledger;
	int err = ledger_read(ledger, run_dir, ledger->complain, ledger->arg);

	if (err)
		return refuse_ledger(offline, err);
	if (access(ledger->path, F_OK) < 0)
		return refuse(offline, -errno, "cannot read the ledger %s: %s (--run-dir names another directory)",
			      ledger->path, strerror(errno));
	if (ledger->aside && strcmp(ledger->aside, "other-boot") != 0 && !ledger->netns)
		return refuse(offline, -EBADMSG, "cannot tell initial values from the ledger %s: it is of no use (%s)",
			      ledger->path, ledger->aside);
	return 0;
}

static int find(struct offline *offline, const char *container, choice **ret_choice)
{
	int err = survey_take(&offline->survey);

	offline->is_partial = err == -ETIMEDOUT;
	if (err && !offline->is_partial)
		return refuse(offline, err, "cannot look into the network namespaces: %s", strerror(-err));
	err = choice_of(&offline->ledger, offline->survey, container, ret_choice);
	if (err == -ENOENT)
		return refuse(offline, err, "the ledger %s tells of no change in a container %s", offline->ledger.path,
			      container);
	return err ? refuse(offline, err, "several containers are called %s", container) : 0;
}

static int run(struct offline *offline, const char *container)
{
	const struct ledger_netns *netns;
	choice *is_chosen = NULL;
	int err = find(offline, container, &is_chosen);

	if (err || !is_chosen)
		return err;
	err = confine_prepare(&offline->confinement);
	if (err)
		return refuse(offline, err, "cannot prepare what workers may do: %s", strerror(-err));
	err = offline->dry_run ? 0 : ledger_begin(&offline->ledger);
	if (err)
		return refuse_ledger(offline, err);
	for (netns = offline->ledger.netns; netns; netns = netns->hh.next) {
		err = is_chosen(netns, container) ? visit(offline, netns) : 0;
		if (err)
			return refuse(offline, err, "cannot put values back: %s", strerror(-err));
	}
	return 0;
}

int rollback_offline(const char *run_dir, const char *container, bool dry_run,
		     void (*complain)(void *arg, const char *text), void *arg, json_t **ret_result,
		     struct offline_refusal *ret_refusal)
{
	struct offline offline = {
		.ledger = { .fd = -1, .complain = complain, .arg = arg },
		.dry_run = dry_run,
		.result = json_pack("{s:[] s:[] s:[]}", "restored", "left", "gone"),
		.refusal = ret_refusal,
	};
	int err = read_ledger(&offline, run_dir);

	if (dry_run)
		json_object_set_new(offline.result, "plan", json_array());
	if (!err && offline.ledger.aside && !offline.ledger.netns)
		complain(arg,
			 "the ledger is of another boot, and its values went with that: nothing is to be put back");
	else if (!err)
		err = run(&offline, container);
	survey_free(offline.survey);
	confine_release(&offline.confinement);
	ledger_close(&offline.ledger);
	if (err)
		json_decref(offline.result);
	else
		*ret_result = offline.result;
	return err;
}
