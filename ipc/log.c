// SPDX-License-Identifier: GPL-2.0-or-later
#include "ipc/log.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unictype.h>
#include <unistd.h>
#include <unistr.h>

#include "ipc/cleanup.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define SYSLOG_SOCKET "/dev/log"
#define LINE_BYTES 2048

struct sink {
	const char *path; /* of a datagram socket; NULL: standard error */
	bool (*write)(int fd, const struct log_record *record);
	int fd;		     /* -1: not connected */
	unsigned int missed; /* records that are not in there */
};

/* Not what acts on a terminal, or hides, joins or reorders its neighbours: controls, formats, separators of lines, fillers. */
static bool is_shown(ucs4_t character)
{
	const uint32_t not_shown = UC_CATEGORY_MASK_Cc | UC_CATEGORY_MASK_Cf | UC_CATEGORY_MASK_Zl | UC_CATEGORY_MASK_Zp;

	if (character < 0x7f)
		return character >= ' ';
	return !uc_is_general_category_withtable(character, not_shown) &&
	       !uc_is_property_default_ignorable_code_point(character);
}

void log_escape(const char *text, char *ret_text, size_t size)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t at = 0;

	while (*p) {
		ucs4_t character;
		int bytes = u8_strmbtouc(&character, p);
		bool is_raw = bytes > 0 && is_shown(character);
		size_t taken = bytes > 0 ? bytes : 1, needed = is_raw ? taken : 4 * taken;

		if (at + needed >= size)
			break;
		if (is_raw)
			memcpy(ret_text + at, p, taken);
		for (size_t i = 0; !is_raw && i < taken; i++)
			snprintf(ret_text + at + 4 * i, 5, "\\x%02x", p[i]);
		at += needed;
		p += taken;
	}
	ret_text[at] = '\0';
}

/* snprintf(3) cuts a line that is too long at any byte. */
static void drop_cut_character(char *line)
{
	const uint8_t *cut = u8_check((const uint8_t *)line, strlen(line));

	if (cut)
		line[cut - (const uint8_t *)line] = '\0';
}

#define RECORD_STRINGS(r) { &(r)->container, &(r)->container_id, &(r)->tuner, &(r)->scenario, &(r)->text, \
			    &(r)->tunable, &(r)->from, &(r)->to }

struct log_record *log_record_new(struct heap *heap, const struct log_record *fields)
{
	struct log_record copy = *fields, *record;
	const char **strings[] = RECORD_STRINGS(&copy);
	char escaped[LINE_BYTES];
	size_t size = sizeof(*record);
	char *at;

	for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
		if (*strings[i]) {
			log_escape(*strings[i], escaped, sizeof(escaped));
			size += strlen(escaped) + 1;
		}
	record = heap_get(heap, size);
	if (!record)
		return NULL;
	at = (char *)(record + 1);
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
		if (*strings[i]) {
			log_escape(*strings[i], escaped, sizeof(escaped));
			*strings[i] = memcpy(at, escaped, strlen(escaped) + 1);
			at += strlen(escaped) + 1;
		}
	*record = copy;
	return record;
}

/* What the record says, without time and container. */
static void log_sentence(const struct log_record *record, char *ret_line, size_t size)
{
	const char *text = record->text ? record->text : "";
	const char *colon = record->tuner ? ": " : "", *tuner = record->tuner ? record->tuner : "";

	if (record->tunable && record->from && record->to)
		snprintf(ret_line, size, "%s%s%s %s -> %s (%s): %s", tuner, colon, record->tunable, record->from,
			 record->to, record->scenario ? record->scenario : "", text);
	else
		snprintf(ret_line, size, "%s%s%s", tuner, colon, text);
	drop_cut_character(ret_line);
}

uint64_t log_realtime_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000ULL + now.tv_nsec / 1000;
}

static void log_time(const struct log_record *record, char ret_text[48])
{
	time_t seconds = record->time_us / 1000000;
	char clock[32], zone[8];
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(clock, sizeof(clock), "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm); /* +0000; RFC 3339 wants +00:00 */
	snprintf(ret_text, 48, "%s.%03u%.3s:%s", clock, (unsigned int)(record->time_us / 1000 % 1000), zone, zone + 3);
}

void log_human(const struct log_record *record, char *ret_line, size_t size)
{
	char sentence[LINE_BYTES], time[48];

	log_sentence(record, sentence, sizeof(sentence));
	log_time(record, time);
	snprintf(ret_line, size, "%s %s %s", time, record->container ? record->container : "-", sentence);
	drop_cut_character(ret_line);
}

static json_t *optional(const char *text)
{
	return text ? json_string(text) : json_null();
}

json_t *log_json(const struct log_record *record)
{
	char time[48];

	log_time(record, time);
	return json_pack("{s:I s:s s:I s:o s:o s:o s:o s:i s:o s:o s:o s:o}", "seq", (json_int_t)record->seq,
			 "time", time, "instance", (json_int_t)record->instance,
			 "container", optional(record->container), "container_id", optional(record->container_id), "tuner", optional(record->tuner),
			 "scenario", optional(record->scenario), "severity", record->severity,
			 "text", optional(record->text), "tunable", optional(record->tunable),
			 "from", optional(record->from), "to", optional(record->to));
}

static int connect_datagram(const char *path)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return take_fd(&fd);
}

static bool to_stderr(int fd, const struct log_record *record)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	char line[LINE_BYTES + 256];
	size_t n;

	/* A pipe is writable when PIPE_BUF bytes fit: this write does not block. */
	if (poll(&poll_fd, 1, 0) != 1 || !(poll_fd.revents & POLLOUT))
		return false;
	log_human(record, line, sizeof(line) - 1);
	n = strlen(line);
	line[n++] = '\n';
	return write(fd, line, n) == (ssize_t)n;
}

static bool to_syslog(int fd, const struct log_record *record)
{
	char sentence[LINE_BYTES], line[LINE_BYTES + 256];

	log_sentence(record, sentence, sizeof(sentence));
	snprintf(line, sizeof(line), "<%d>bpftune[%d]: %s %s", LOG_DAEMON | record->severity, getpid(),
		 record->container ? record->container : "-", sentence);
	return send(fd, line, strlen(line), MSG_NOSIGNAL) >= 0;
}

/* https://systemd.io/JOURNAL_NATIVE_PROTOCOL/; our strings hold no newline, so KEY=value is enough. */
static bool to_journal(int fd, const struct log_record *record)
{
	const struct {
		const char *key, *value;
	} fields[] = {
		{ "BPFTUNE_CONTAINER", record->container }, { "BPFTUNE_CONTAINER_ID", record->container_id },
		{ "BPFTUNE_TUNER", record->tuner },
		{ "BPFTUNE_SCENARIO", record->scenario },   { "BPFTUNE_TUNABLE", record->tunable },
		{ "BPFTUNE_FROM", record->from },           { "BPFTUNE_TO", record->to },
	};
	char sentence[LINE_BYTES], datagram[3 * LINE_BYTES];
	size_t at;

	log_sentence(record, sentence, sizeof(sentence));
	at = snprintf(datagram, sizeof(datagram),
		      "MESSAGE=%s %s\nPRIORITY=%d\nSYSLOG_IDENTIFIER=bpftune\nBPFTUNE_INSTANCE=%llu\n",
		      record->container ? record->container : "-", sentence, record->severity,
		      (unsigned long long)record->instance);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (fields[i].value && at < sizeof(datagram))
			at += snprintf(datagram + at, sizeof(datagram) - at, "%s=%s\n", fields[i].key, fields[i].value);
	errno = EMSGSIZE;
	return at < sizeof(datagram) && send(fd, datagram, at, MSG_NOSIGNAL) >= 0;
}

/* In the order of preference. */
enum {
	JOURNAL,
	SYSLOG,
	STDERR,
	N_SINKS
};

static struct sink sinks[N_SINKS] = {
	[JOURNAL] = { JOURNAL_SOCKET, to_journal, -1, 0 },
	[SYSLOG] = { SYSLOG_SOCKET, to_syslog, -1, 0 },
	[STDERR] = { NULL, to_stderr, STDERR_FILENO, 0 },
};
static unsigned int wanted_sinks = 1U << STDERR; /* bit n: of sinks[n] */

/* The kernel's answers when the daemon that had the socket is gone: net/unix/af_unix.c, unix_dgram_sendmsg(). */
static bool is_peer_gone(int error)
{
	return error == ECONNREFUSED || error == ENOTCONN || error == ECONNRESET || error == EPIPE;
}

/* One attempt to connect a record: to a datagram socket that takes no time, whether somebody is there or not. */
static bool to_sink(struct sink *sink, const struct log_record *record)
{
	if (sink->fd >= 0 && sink->write(sink->fd, record))
		return true;
	if (!sink->path || (sink->fd >= 0 && !is_peer_gone(errno)))
		return false;
	close_fdp(&sink->fd);
	sink->fd = connect_datagram(sink->path);
	return sink->fd >= 0 && sink->write(sink->fd, record);
}

/* First that records are missing here, if some are. */
static bool write_to(struct sink *sink, const struct log_record *record)
{
	struct log_record note = { .time_us = record->time_us, .severity = LOG_WARNING };
	char text[64];

	snprintf(text, sizeof(text), "%u log records were not written here", sink->missed);
	note.text = text;
	if (sink->missed && !to_sink(sink, &note))
		return false;
	sink->missed = 0;
	return to_sink(sink, record);
}

void log_open(enum log_sink wanted)
{
	static const unsigned int chains[] = {
		[LOG_SINK_AUTO] = 1U << JOURNAL | 1U << SYSLOG | 1U << STDERR,
		[LOG_SINK_STDERR] = 1U << STDERR,
		[LOG_SINK_SYSLOG] = 1U << SYSLOG | 1U << STDERR,
		[LOG_SINK_JOURNAL] = 1U << JOURNAL | 1U << STDERR,
	};

	wanted_sinks = chains[wanted];
	for (size_t i = 0; i < N_SINKS; i++) {
		sinks[i].missed = 0;
		if (sinks[i].path)
			close_fdp(&sinks[i].fd);
	}
}

void log_write(const struct log_record *record)
{
	for (size_t i = 0; i < N_SINKS; i++) {
		if (!(wanted_sinks & 1U << i))
			continue;
		if (write_to(&sinks[i], record))
			return;
		sinks[i].missed++;
	}
}
