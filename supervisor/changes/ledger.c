// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "ipc/log.h"
#include "ipc/unshared.h"
#include "supervisor/changes/ledger_file.h"
#include "supervisor/changes/ledger_replay.h"

/* --- start -------------------------------------------------------------------------------------- */

static const char reading[] = "read the ledger";

/* All of it, which may take several reads. */
static int read_whole(const char *path, char **ret_text, size_t *ret_size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	_cleanup_unshared_ char *text = NULL;
	size_t size = 0;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > LEDGER_FILE_MAX)
		return -EFBIG;
	if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return -EKEYREJECTED; /* put there when others could: a rollback would write what they like */
	text = unshared_alloc(st.st_size + 1);
	if (!text)
		return -ENOMEM;
	while ((n = read(fd, text + size, st.st_size - size)) > 0)
		size += n;
	if (n < 0)
		return -errno;
	*ret_size = size;
	*ret_text = take_ptr(text);
	return 0;
}

/* Of a file that was read, and is of no use as a whole; NULL: it could not be read, or is sound. */
static const char *why_aside(int err)
{
	switch (-err) {
	case ESTALE:
		return "other-boot";
	case EPROTONOSUPPORT:
		return "other-version";
	case EKEYREJECTED:
		return "not-ours";
	case EBADMSG:
		return "damaged";
	default:
		return NULL;
	}
}

static int read_file(struct ledger *ledger)
{
	_cleanup_unshared_ char *text = NULL;
	char boot_id[64];
	size_t size = 0;
	int err = ledger_file_read_boot_id(boot_id);

	if (!err)
		err = read_whole(ledger->path, &text, &size);
	if (!err)
		err = ledger_replay(ledger, text, size, boot_id);
	ledger->aside = why_aside(err);
	return ledger->aside || err == -ENOENT ? 0 : err;
}

int ledger_read(struct ledger *ledger, const char *run_dir, void (*complain_to)(void *arg, const char *text), void *arg)
{
	*ledger = (struct ledger){ .fd = -1, .doing = reading, .complain = complain_to, .arg = arg };
	if (asprintf(&ledger->path, "%s/ledger", run_dir) < 0) {
		ledger->path = NULL;
		return -ENOMEM;
	}
	return read_file(ledger);
}

/* A second name: at no moment is there no ledger. */
static int set_aside(struct ledger *ledger)
{
	char path[4096], text[8192 + 256];
	int n = snprintf(path, sizeof(path), "%s.%s-%lld", ledger->path, ledger->aside, (long long)time(NULL));

	for (int i = 2; link(ledger->path, path) < 0; i++) {
		if (errno != EEXIST || n < 0 || (size_t)n + sizeof(".123") > sizeof(path) || i > 999)
			return -errno;
		snprintf(path + n, sizeof(path) - n, ".%d", i);
	}
	if (ledger->netns)
		snprintf(text, sizeof(text),
			 "lines of the ledger are damaged: the others count, and the file is kept as %s", path);
	else
		snprintf(text, sizeof(text),
			 "the ledger was of no use (%s) and is kept as %s: initial values are now those found",
			 ledger->aside, path);
	ledger->complain(ledger->arg, text);
	return 0;
}

int ledger_begin(struct ledger *ledger)
{
	int err = 0;

	ledger->doing = "set aside the ledger";
	if (ledger->aside)
		err = set_aside(ledger);
	if (err)
		return err;
	ledger->aside = NULL;
	ledger->doing = "write the ledger";
	return ledger_file_rewrite(ledger);
}

int ledger_open(struct ledger *ledger, const char *run_dir, void (*complain_to)(void *arg, const char *text), void *arg)
{
	int err = ledger_read(ledger, run_dir, complain_to, arg);

	return err ? err : ledger_begin(ledger);
}

#define KEPT "it is left as it is, as it may hold initial values; "

const char *ledger_hint(const struct ledger *ledger, int error)
{
	if (ledger->doing != reading)
		return " (no change is made without one)";
	switch (-error) {
	case EMFILE:
	case ENFILE:
		return " (" KEPT "allow more open files, as with 'ulimit -n')";
	case ENOMEM:
		return " (" KEPT "it needs as much memory as the file is long)";
	case EFBIG:
		return " (" KEPT "it is longer than 256 MiB; if it is moved away, initial values will be those found)";
	case EINVAL:
	case ELOOP:
		return " (" KEPT "it is no regular file: move it away)";
	case EACCES:
	case EPERM:
		return " (" KEPT "it must be root's to read)";
	default:
		return " (" KEPT "if it is moved away, initial values will be those found)";
	}
}

/* --- what is recorded --------------------------------------------------------------------------- */

static void settle(struct ledger *ledger, struct ledger_entry *entry, const char *value)
{
	entry->intended = false;
	if (entry->foreign) { /* after ours: that was not refused */
		PUT(entry->ours, entry->history->intent.to);
	} else {
		PUT(entry->current, value);
		PUT(entry->history->intent.to, value);
	}
	ledger_count_scenario(entry, entry->history->intent.scenario, 1);
	entry->history->last = entry->history->intent;
	ledger_file_entry(ledger, entry);
	ledger_file_change(ledger, entry);
}

enum ledger_news ledger_value(struct ledger *ledger, uint64_t netns_cookie, const char *tunable, const char *value)
{
	struct ledger_entry *entry = ledger_entry_get(ledger, netns_cookie, tunable);
	enum ledger_news news = LEDGER_SAME;
	bool is_one_more;

	if (!entry)
		return LEDGER_SAME;
	if (!entry->known || entry->renew) {
		entry->known = true;
		PUT(entry->initial, value);
		news = LEDGER_FIRST;
	} else if (entry->intended && strcmp(value, entry->history->intent.from) &&
		   (!entry->foreign || (*entry->ours && strcmp(value, entry->current) && !strcmp(value, entry->history->intent.to)))) {
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
	/* Whoever writes one value after the other costs the file nothing: theirs is theirs. */
	is_one_more = news == LEDGER_FOREIGN && entry->foreign && !entry->intended;
	entry->renew = entry->intended = false;
	entry->foreign = news == LEDGER_FOREIGN || (entry->foreign && news != LEDGER_FIRST);
	PUT(entry->current, value);
	if (!is_one_more)
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
	err = ledger_make_history(entry);
	if (!err)
		err = ledger_call_netns(ledger, change->netns_cookie, change->container, change->container_id);
	if (err)
		return err;
	intent = &entry->history->intent;
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
	bool is_news;

	if (!entry || (entry->foreign && !strcmp(entry->current, value)))
		return;
	is_news = !entry->foreign;
	if (is_news)
		PUT(entry->ours, entry->current);
	entry->foreign = true;
	PUT(entry->current, value);
	if (is_news)
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
	if (!ledger_state_put(ledger, netns_cookie, tuner, state, why))
		ledger_file_state(ledger, ledger_get_state(ledger, netns_cookie, tuner));
}

int ledger_remember(struct ledger *ledger, uint64_t netns_cookie, const char *name, const struct bpftune_memory *memory)
{
	int err = ledger_memory_put(ledger, netns_cookie, name, memory);

	if (err == -EINVAL)
		return err;
	if (err) { /* the old one is gone, in the file, too */
		ledger_file_memory(ledger, netns_cookie, name, &(struct bpftune_memory){ 0 });
		return err;
	}
	return ledger_file_memory(ledger, netns_cookie, name, memory);
}

void ledger_gone(struct ledger *ledger, uint64_t netns_cookie)
{
	ledger_forget(ledger, netns_cookie);
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
	ledger_forget_all(ledger);
	ledger_file_close(ledger);
}
