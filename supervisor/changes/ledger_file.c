// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/changes/ledger_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "ipc/cleanup.h"
#include "ipc/unshared.h"

#define CRC_CHARS 8
#define COMPACT_LOOK_BYTES (256 * 1024) /* after so much more it is looked whether the file is to be rewritten */
#define COMPACT_MORE_BYTES (8 << 20) /* memories are long lines, of which the last counts */
#define BOOT_ID "/proc/sys/kernel/random/boot_id"

int ledger_file_parse(const char *line, size_t n, json_t **ret_object)
{
	char crc_text[CRC_CHARS + 1] = "", *end;
	json_error_t error;
	json_t *object;
	uint32_t crc;

	if (n < CRC_CHARS + 3 || n > LEDGER_LINE_MAX || line[CRC_CHARS] != ' ')
		return -EBADMSG;
	memcpy(crc_text, line, CRC_CHARS);
	crc = strtoul(crc_text, &end, 16);
	if (*end || crc != crc32(0, (const Bytef *)line + CRC_CHARS + 1, n - CRC_CHARS - 1))
		return -EBADMSG;
	object = json_loadb(line + CRC_CHARS + 1, n - CRC_CHARS - 1, JSON_REJECT_DUPLICATES, &error);
	if (!object)
		return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : -EBADMSG;
	if (!json_is_object(object)) {
		json_decref(object);
		return -EBADMSG;
	}
	*ret_object = object;
	return 0;
}

/* One write(2), so a line is whole or torn, never mixed. */
static int write_text(int fd, const char *json, size_t *bytes)
{
	size_t size = CRC_CHARS + strlen(json) + sizeof(" \n"), n;
	char *line = size > LEDGER_LINE_MAX ? NULL : unshared_alloc(size);
	ssize_t written;
	int err;

	if (!line)
		return size > LEDGER_LINE_MAX ? -EMSGSIZE : -ENOMEM;
	n = snprintf(line, size, "%08lx %s\n", crc32(0, (const Bytef *)json, strlen(json)), json);
	written = write(fd, line, n);
	err = written == (ssize_t)n ? 0 : written < 0 ? -errno : -ENOSPC;
	unshared_free(line);
	*bytes += err ? 0 : n;
	return err;
}

/* Takes the reference. */
static int write_line(int fd, json_t *object, size_t *bytes)
{
	_cleanup_json_text_ char *json = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return json ? write_text(fd, json, bytes) : -ENOMEM;
}

static json_t *entry_json(const struct ledger_entry *entry)
{
	json_t *scenarios = json_object();

	for (size_t i = 0; i < LEDGER_SCENARIOS_MAX && entry->history->scenarios[i].name[0]; i++)
		json_object_set_new(scenarios, entry->history->scenarios[i].name, json_integer(entry->history->scenarios[i].changes));
	return json_pack("{s:s s:I s:s s:s s:s s:b s:b s:o}", "kind", "entry", "netns",
			 (json_int_t)entry->key.netns_cookie, "tunable", entry->key.name, "initial", entry->initial,
			 "current", entry->current, "renew", entry->renew,
			 "foreign", entry->foreign, "scenarios", scenarios);
}

static json_t *row_json(const struct ledger *ledger, const char *kind, const struct ledger_entry *entry,
			const struct ledger_row *row)
{
	const struct ledger_netns *netns = ledger_find_netns(ledger, entry->key.netns_cookie);

	return json_pack("{s:s s:I s:s s:I s:s s:s s:s s:s s:s s:s* s:s*}", "kind", kind, "netns",
			 (json_int_t)entry->key.netns_cookie, "tunable", entry->key.name, "time_us",
			 (json_int_t)row->time_us, "from", row->from, "to", row->to, "tuner", row->tuner, "scenario",
			 row->scenario, "reason", row->reason, "container", netns->name, "container_id",
			 netns->container_id);
}

static json_t *state_json(const struct ledger_state *state)
{
	return json_pack("{s:s s:I s:s s:s s:s}", "kind", "state", "netns", (json_int_t)state->key.netns_cookie,
			 "tuner", state->key.name, "state", tuner_state_name(state->state), "why", state->why);
}

static json_t *memory_json(uint64_t netns_cookie, const char *name, const struct bpftune_memory *memory)
{
	char *digits = unshared_alloc(2 * (size_t)memory->size + 1);
	const uint8_t *data = memory->data;
	json_t *object;

	if (!digits)
		return NULL;
	for (uint32_t i = 0; i < memory->size; i++) {
		digits[2 * i] = "0123456789abcdef"[data[i] >> 4];
		digits[2 * i + 1] = "0123456789abcdef"[data[i] & 15];
	}
	digits[2 * memory->size] = '\0';
	object = json_pack("{s:s s:I s:s s:I s:s}", "kind", "memory", "netns", (json_int_t)netns_cookie, "name", name,
			   "version", (json_int_t)memory->version, "data", digits);
	unshared_free(digits);
	return object;
}

/* --- the file as a whole ------------------------------------------------------------------------ */

void ledger_file_complain(const struct ledger *ledger, const char *what, int error)
{
	char text[512];

	snprintf(text, sizeof(text), "cannot %s the ledger %s: %s (no change is made that it does not hold)", what,
		 ledger->path ? ledger->path : "", strerror(-error));
	if (ledger->complain)
		ledger->complain(ledger->arg, text);
}

int ledger_file_read_boot_id(char ret_boot_id[64])
{
	_cleanup_fclose_ FILE *file = fopen(BOOT_ID, "re");

	if (!file || !fgets(ret_boot_id, 64, file))
		return -errno;
	ret_boot_id[strcspn(ret_boot_id, "\n")] = '\0';
	return 0;
}

static int write_all(struct ledger *ledger, int fd, const char *boot_id, size_t *bytes)
{
	struct ledger_memory *memory;
	const struct ledger_entry *entry;
	const struct ledger_state *state;
	int err = write_line(fd, json_pack("{s:i s:s}", "bpftune_ledger", LEDGER_VERSION, "boot", boot_id), bytes);

	for (entry = ledger->entries; entry && !err; entry = entry->hh.next) {
		err = write_line(fd, entry_json(entry), bytes);
		if (!err && ledger_last(entry))
			err = write_line(fd, row_json(ledger, "change", entry, ledger_last(entry)), bytes);
		if (!err && entry->intended)
			err = write_line(fd, row_json(ledger, "intent", entry, &entry->history->intent), bytes);
	}
	for (state = ledger->states; state && !err; state = state->hh.next)
		err = write_line(fd, state_json(state), bytes);
	for (memory = ledger->memories; memory && !err; memory = memory->hh.next)
		err = write_line(fd,
				 memory_json(memory->key.netns_cookie, memory->key.name,
					     &(struct bpftune_memory){ memory->version, memory->size, memory->data }),
				 bytes);
	return err;
}

/* As many as write_all() writes. */
static size_t lines_to_keep(const struct ledger *ledger)
{
	const struct ledger_entry *entry;
	size_t n = 1 + HASH_COUNT(ledger->states) + HASH_COUNT(ledger->memories);

	for (entry = ledger->entries; entry; entry = entry->hh.next)
		n += 1 + (ledger_last(entry) != NULL) + entry->intended;
	return n;
}

/* A new file with what is known now takes the old one's place, at once or not at all: rename(2). */
int ledger_file_rewrite(struct ledger *ledger)
{
	_cleanup_close_ int fd = -1;
	char path[4096], boot_id[64];
	size_t bytes = 0;
	int err;

	err = ledger_file_read_boot_id(boot_id);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s.new", ledger->path);
	unlink(path); /* what a supervisor that was killed has left; whatever it is, nothing is written through it */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = write_all(ledger, fd, boot_id, &bytes);
	if (!err && rename(path, ledger->path) < 0)
		err = -errno;
	if (err) {
		unlink(path);
		return err;
	}
	close_fdp(&ledger->fd);
	ledger->fd = take_fd(&fd);
	ledger->file_bytes = ledger->rewritten_bytes = bytes;
	ledger->file_lines = lines_to_keep(ledger);
	ledger->compact_at = bytes + COMPACT_LOOK_BYTES;
	return 0;
}

/* The next start would not read a longer one. */
static bool is_full(const struct ledger *ledger)
{
	return ledger->file_bytes + LEDGER_LINE_MAX > LEDGER_FILE_MAX;
}

/* Rewriting takes 6 us a line, while all else waits: only where it makes the file half as long, by lines or by bytes. */
static bool is_worth_rewriting(const struct ledger *ledger)
{
	size_t keep = lines_to_keep(ledger);

	return ledger->file_lines > 2 * keep || ledger->file_bytes > 2 * ledger->rewritten_bytes + COMPACT_MORE_BYTES ||
	       (is_full(ledger) && ledger->file_lines > keep + keep / 8);
}

static void compact(struct ledger *ledger)
{
	int err = is_worth_rewriting(ledger) ? ledger_file_rewrite(ledger) : -EAGAIN;

	if (err)
		ledger->compact_at = ledger->file_bytes + COMPACT_LOOK_BYTES;
	if (err && err != -EAGAIN)
		ledger_file_complain(ledger, "rewrite", err);
}

static int append(struct ledger *ledger, json_t *line)
{
	off_t end;
	int err;

	if (ledger->fd < 0) {
		json_decref(line);
		return -EROFS;
	}
	if (is_full(ledger))
		compact(ledger);
	if (is_full(ledger)) {
		json_decref(line);
		ledger_file_complain(ledger, "write", -EFBIG);
		return -EFBIG;
	}
	end = ledger->file_bytes;
	err = write_line(ledger->fd, line, &ledger->file_bytes);
	if (err) {
		ledger_file_complain(ledger, "write", err);
		/* A part of a line would make the next one part of it. */
		if (ftruncate(ledger->fd, end) < 0)
			close_fdp(&ledger->fd);
		return err;
	}
	ledger->file_lines++;
	if (ledger->file_bytes > ledger->compact_at)
		compact(ledger);
	return 0;
}

int ledger_file_entry(struct ledger *ledger, struct ledger_entry *entry)
{
	int err = append(ledger, entry_json(entry));

	entry->on_disk = entry->on_disk || !err;
	return err;
}

int ledger_file_intent(struct ledger *ledger, const struct ledger_entry *entry)
{
	return append(ledger, row_json(ledger, "intent", entry, &entry->history->intent));
}

int ledger_file_change(struct ledger *ledger, const struct ledger_entry *entry)
{
	return append(ledger, row_json(ledger, "change", entry, &entry->history->last));
}

int ledger_file_state(struct ledger *ledger, const struct ledger_state *state)
{
	return state ? append(ledger, state_json(state)) : -ENOMEM;
}

int ledger_file_memory(struct ledger *ledger, uint64_t netns_cookie, const char *name,
		       const struct bpftune_memory *memory)
{
	return append(ledger, memory_json(netns_cookie, name, memory));
}

int ledger_file_gone(struct ledger *ledger, uint64_t netns_cookie)
{
	return append(ledger, json_pack("{s:s s:I}", "kind", "gone", "netns", (json_int_t)netns_cookie));
}

void ledger_file_close(struct ledger *ledger)
{
	close_fdp(&ledger->fd);
	free(ledger->path);
	ledger->path = NULL;
}
