// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "ipc/log.h"

/* --- escape ------------------------------------------------------------------------------------- */

static void test_escape(void **state)
{
	static const struct {
		const char *text, *escaped;
	} cases[] = {
		{ "", "" },
		{ "plain text", "plain text" },
		{ "a\nb", "a\\x0ab" },
		{ "\x1b[31mred", "\\x1b[31mred" },
		{ "\x01\t\r\x1f \x7f~", "\\x01\\x09\\x0d\\x1f \\x7f~" },
		{ "\xc2\x9b" "31m", "\\xc2\\x9b31m" }, /* C1: CSI */
		{ "\xc2\x80\xc2\x9f\xc2\xa0", "\\xc2\\x80\\xc2\\x9f\xc2\xa0" },
		{ "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80" }, /* around the surrogates */
		{ "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },		    /* the last one */
		/* what hides or reorders others, of each category and plane */
		{ "a\xe2\x80\xae" "b", "a\\xe2\\x80\\xaeb" },	 /* U+202E: from right to left from here on */
		{ "\xe2\x81\xa6\xe2\x81\xa9", "\\xe2\\x81\\xa6\\xe2\\x81\\xa9" }, /* U+2066, U+2069: isolates */
		{ "\xe2\x80\x8b\xe2\x80\x8d", "\\xe2\\x80\\x8b\\xe2\\x80\\x8d" }, /* zero width, joined */
		{ "\xef\xbb\xbf", "\\xef\\xbb\\xbf" },		 /* a byte order mark */
		{ "\xe2\x80\xa8\xe2\x80\xa9", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9" }, /* separators of lines and paragraphs */
		{ "\xf3\xa0\x81\xa1", "\\xf3\\xa0\\x81\\xa1" },	 /* a tag character */
		{ "\xc2\xad\xd8\x9c", "\\xc2\\xad\\xd8\\x9c" },	 /* a soft hyphen, the Arabic letter mark */
		{ "\xe3\x85\xa4\xef\xb8\x8f", "\\xe3\\x85\\xa4\\xef\\xb8\\x8f" }, /* a filler, a variation selector */
		{ "e\xcc\x81\xd7\x90", "e\xcc\x81\xd7\x90" },	 /* a combining accent and a Hebrew letter are text */
		/* not UTF-8 */
		{ "\x80", "\\x80" },
		{ "\xff\xfe", "\\xff\\xfe" },
		{ "a\xe9z", "a\\xe9z" },
		{ "\xc0\xaf", "\\xc0\\xaf" },			/* overlong */
		{ "\xc1\xbf", "\\xc1\\xbf" },
		{ "\xe0\x9f\xbf", "\\xe0\\x9f\\xbf" },
		{ "\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },		/* a surrogate */
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" }, /* past the last one */
		{ "\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80" },
		/* ends in the middle of a character */
		{ "\xc3", "\\xc3" },
		{ "\xe2\x82", "\\xe2\\x82" },
		{ "\xf0\x9f\x98", "\\xf0\\x9f\\x98" },
		{ "\xf0\x9f\x98z", "\\xf0\\x9f\\x98z" },
		{ "\xe2\n\x82", "\\xe2\\x0a\\x82" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char escaped[64];

		log_escape(cases[i].text, escaped, sizeof(escaped));
		if (strcmp(escaped, cases[i].escaped))
			fail_msg("case %zu: \"%s\", not \"%s\"", i, escaped, cases[i].escaped);
	}
}

/* At every size: a prefix of whole characters and whole escapes, as long as fits, and not a byte behind. */
static void test_escape_cut(void **state)
{
	static const char text[] = "a\xe2\x82\xac\nz";
	static const struct {
		size_t size;
		const char *escaped;
	} cases[] = {
		{ 1, "" },		    { 2, "a" },
		{ 3, "a" },		    { 4, "a" },
		{ 5, "a\xe2\x82\xac" },	    { 6, "a\xe2\x82\xac" },
		{ 8, "a\xe2\x82\xac" },	    { 9, "a\xe2\x82\xac\\x0a" },
		{ 10, "a\xe2\x82\xac\\x0az" }, { 11, "a\xe2\x82\xac\\x0az" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char escaped[16];

		memset(escaped, '#', sizeof(escaped));
		log_escape(text, escaped, cases[i].size);
		if (strcmp(escaped, cases[i].escaped))
			fail_msg("size %zu: \"%s\"", cases[i].size, escaped);
		for (size_t at = cases[i].size; at < sizeof(escaped); at++)
			assert_int_equal(escaped[at], '#');
	}
}

/* --- records ------------------------------------------------------------------------------------ */

static const struct log_record change = {
	.seq = 42,
	.time_us = 1700000000123456,
	.instance = 7,
	.severity = LOG_NOTICE,
	.container = "c1",
	.container_id = "c1d",
	.tuner = "tcp_buffer",
	.scenario = "send_buffer_limited",
	.tunable = "net.ipv4.tcp_wmem",
	.from = "4096 16384 262144",
	.to = "4096 16384 524288",
	.text = "a flow waited",
};
static const struct log_record plain = {
	.time_us = 1700000000000999,
	.instance = 1,
	.severity = LOG_INFO,
	.container = "host",
	.text = "worker 77 is ready",
};

static void test_copy(void **state)
{
	struct heap heap = { 0 };
	struct log_record *copy = log_record_new(&heap, &change), *without = log_record_new(&heap, &plain);

	(void)state;
	assert_non_null(copy);
	assert_int_equal(copy->seq, 42);
	assert_int_equal(copy->time_us, change.time_us);
	assert_int_equal(copy->instance, 7);
	assert_int_equal(copy->severity, LOG_NOTICE);
	assert_string_equal(copy->container, change.container);
	assert_string_equal(copy->container_id, change.container_id);
	assert_string_equal(copy->tuner, change.tuner);
	assert_string_equal(copy->scenario, change.scenario);
	assert_string_equal(copy->tunable, change.tunable);
	assert_string_equal(copy->from, change.from);
	assert_string_equal(copy->to, change.to);
	assert_string_equal(copy->text, change.text);
	assert_ptr_not_equal(copy->text, change.text);
	assert_string_equal(without->text, plain.text);
	assert_null(without->tuner);
	assert_null(without->scenario);
	assert_null(without->tunable);
	assert_null(without->from);
	assert_null(without->to);
	heap_put(&heap, copy);
	heap_put(&heap, without);
	heap_close(&heap);
}

static void test_copy_is_escaped(void **state)
{
	struct log_record hostile = { .container = "c1\nfake: line", .tuner = "\x1b[2J", .text = "\xff" };
	struct heap heap = { 0 };
	struct log_record *copy = log_record_new(&heap, &hostile);

	(void)state;
	assert_string_equal(copy->container, "c1\\x0afake: line");
	assert_string_equal(copy->tuner, "\\x1b[2J");
	assert_string_equal(copy->text, "\\xff");
	heap_put(&heap, copy);
	heap_close(&heap);
}

/* All strings at once, each as long as it likes and growing fourfold. */
static void test_copy_is_bounded(void **state)
{
	static char text[65536];
	struct log_record hostile = { .container = text, .tuner = text, .scenario = text, .text = text,
				      .tunable = text, .from = text, .to = text };
	struct log_record *copy;
	struct heap heap = { 0 };
	char line[128];

	(void)state;
	memset(text, '\n', sizeof(text) - 1);
	copy = log_record_new(&heap, &hostile);
	assert_non_null(copy);
	assert_true(strlen(copy->to) < 4096);
	assert_int_equal(strlen(copy->to) % strlen("\\x0a"), 0);
	memset(line, '#', sizeof(line));
	log_human(copy, line, 100);
	assert_int_equal(strlen(line), 99);
	assert_int_equal(line[100], '#');
	heap_put(&heap, copy);
	heap_close(&heap);
}

/* What is too long ends with a whole character. */
static void test_line_is_cut(void **state)
{
	static const struct log_record euros = { .container = "c", .text = "\xe2\x82\xac\xe2\x82\xac" };
	char line[64];

	(void)state;
	log_human(&euros, line, sizeof(line));
	for (size_t size = strlen(line), whole = size; whole - size < 6; size--) {
		log_human(&euros, line, size);
		assert_int_equal(strlen(line), size > whole - 3 ? whole - 3 : whole - 6);
	}
}

static void test_human(void **state)
{
	static const struct log_record bare = { .time_us = 0 }, tuner_says = { .tuner = "tcp_buffer", .text = "off" };
	static const struct log_record half = { .tuner = "t", .tunable = "a.b", .from = "1", .text = "no outcome" };
	static const struct {
		const char *zone;
		const struct log_record *record;
		const char *line;
	} cases[] = {
		{ "UTC0", &change,
		  "2023-11-14T22:13:20.123+00:00 c1 tcp_buffer: net.ipv4.tcp_wmem 4096 16384 262144 -> "
		  "4096 16384 524288 (send_buffer_limited): a flow waited" },
		{ "UTC0", &plain, "2023-11-14T22:13:20.000+00:00 host worker 77 is ready" },
		{ "IST-5:30", &plain, "2023-11-15T03:43:20.000+05:30 host worker 77 is ready" },
		{ "NST3:30", &plain, "2023-11-14T18:43:20.000-03:30 host worker 77 is ready" },
		{ "UTC0", &tuner_says, "1970-01-01T00:00:00.000+00:00 - tcp_buffer: off" },
		{ "UTC0", &half, "1970-01-01T00:00:00.000+00:00 - t: no outcome" },
		{ "UTC0", &bare, "1970-01-01T00:00:00.000+00:00 - " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char line[512];

		setenv("TZ", cases[i].zone, 1);
		tzset();
		log_human(cases[i].record, line, sizeof(line));
		assert_string_equal(line, cases[i].line);
	}
}

static void test_json(void **state)
{
	static const struct {
		const struct log_record *record;
		const char *text;
	} cases[] = {
		{ &change,
		  "{\"seq\":42,\"time\":\"2023-11-14T22:13:20.123+00:00\",\"instance\":7,\"container\":\"c1\",\"container_id\":\"c1d\","
		  "\"tuner\":\"tcp_buffer\",\"scenario\":\"send_buffer_limited\",\"severity\":5,\"text\":\"a flow waited\","
		  "\"tunable\":\"net.ipv4.tcp_wmem\",\"from\":\"4096 16384 262144\",\"to\":\"4096 16384 524288\"}" },
		{ &plain,
		  "{\"seq\":0,\"time\":\"2023-11-14T22:13:20.000+00:00\",\"instance\":1,\"container\":\"host\",\"container_id\":null,"
		  "\"tuner\":null,\"scenario\":null,\"severity\":6,\"text\":\"worker 77 is ready\","
		  "\"tunable\":null,\"from\":null,\"to\":null}" },
	};

	(void)state;
	setenv("TZ", "UTC0", 1);
	tzset();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *json = log_json(cases[i].record);
		_cleanup_free_ char *text = json_dumps(json, JSON_COMPACT);

		json_decref(json);
		assert_string_equal(text, cases[i].text);
	}
}

/* --- the sink ----------------------------------------------------------------------------------- */

/* A full standard error loses records, is not waited for, and is told how many when it takes some again. */
static void test_sink_that_is_full(void **state)
{
	static const char *const notes[] = { "3 log records were not written here\n",
					     "1 log records were not written here\n" };
	static char text[65536 + 1];
	_cleanup_close_ int real = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	_cleanup_close_ int reader = -1, writer = -1;
	int fds[2], page;
	ssize_t n;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	reader = fds[0], writer = fds[1];
	page = fcntl(writer, F_SETPIPE_SZ, 1);
	assert_true(page > 0 && (size_t)page < sizeof(text));
	assert_int_equal(write(writer, text, page), page); /* one more byte would block */
	log_open(LOG_SINK_STDERR);
	for (size_t i = 0; i < ARRAY_SIZE(notes); i++) {
		dup2(writer, STDERR_FILENO);
		for (int j = 0; !i && j < 3; j++)
			log_write(&plain);
		n = read(reader, text, page);
		log_write(&plain); /* the note is taken; the pipe's one page is then in use again */
		dup2(real, STDERR_FILENO);
		assert_true(n > 0);
		n = read(reader, text, page);
		assert_true(n > 0);
		text[n] = '\0';
		assert_non_null(strstr(text, notes[i]));
		assert_int_equal(text[n - 1], '\n');
		assert_int_equal(write(writer, text, 1), 1);
	}
}

/* --- daemons that come and go ------------------------------------------------------------------- */

static char run_dir[90]; /* where the daemons' sockets are */

/* In the place of libc's: leads to the test's own daemons. */
int connect(int fd, const struct sockaddr *address, socklen_t size)
{
	struct sockaddr_un own = { .sun_family = AF_UNIX };
	const char *path = ((const struct sockaddr_un *)address)->sun_path;
	int flags = fcntl(fd, F_GETFL);

	assert_int_equal(size, sizeof(own));
	assert_true(flags & O_NONBLOCK);
	snprintf(own.sun_path, sizeof(own.sun_path), "%s/%s", run_dir, strrchr(path, '/') + 1);
	return syscall(SYS_connect, fd, &own, sizeof(own));
}

/* "log" is syslog's socket, "socket" the journal's. */
static int open_daemon(const char *name)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", run_dir, name);
	unlink(address.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void assert_next(int fd, const char *text)
{
	char datagram[8192];
	ssize_t n = recv(fd, datagram, sizeof(datagram) - 1, 0);

	assert_true(n > 0);
	datagram[n] = '\0';
	if (!strstr(datagram, text))
		fail_msg("%s, not %s", datagram, text);
}

static void assert_no_more(int fd)
{
	char datagram[8192];

	assert_int_equal(recv(fd, datagram, sizeof(datagram), 0), -1);
	assert_int_equal(errno, EAGAIN);
}

static int make_run_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	*state = NULL;
	snprintf(run_dir, sizeof(run_dir), "%s/log.XXXXXX", tmp ? tmp : "/tmp");
	return mkdtemp(run_dir) ? 0 : -1;
}

static int remove_run_dir(void **state)
{
	static const char *const names[] = { "log", "socket" };
	char path[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", run_dir, names[i]);
		unlink(path);
	}
	return rmdir(run_dir);
}

/* Standard error takes nothing meanwhile, so the daemon is the only sink. */
static void check_restarts(enum log_sink wanted, const char *name)
{
	_cleanup_close_ int real = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	_cleanup_close_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	_cleanup_close_ int server = open_daemon(name);

	assert_true(real >= 0 && full >= 0);
	log_open(wanted);
	log_write(&plain);
	assert_next(server, "worker 77 is ready");
	assert_no_more(server);
	dup2(full, STDERR_FILENO);
	for (unsigned int restart = 0; restart < 2; restart++) {
		close(server);
		for (unsigned int i = 0; i < 3 + restart; i++)
			log_write(&plain);
		server = open_daemon(name);
		log_write(&change);
		assert_next(server,
			    restart ? "4 log records were not written here" : "3 log records were not written here");
		assert_next(server, "net.ipv4.tcp_wmem");
		log_write(&plain);
		assert_next(server, "worker 77 is ready");
		assert_no_more(server);
	}
	close_fdp(&server);
	server = open_daemon(name); /* at once: no record is lost */
	log_write(&plain);
	dup2(real, STDERR_FILENO);
	assert_next(server, "worker 77 is ready");
	assert_no_more(server);
}

static void test_journal_restarts(void **state)
{
	(void)state;
	check_restarts(LOG_SINK_JOURNAL, "socket");
	check_restarts(LOG_SINK_AUTO, "socket");
}

static void test_syslog_restarts(void **state)
{
	(void)state;
	check_restarts(LOG_SINK_SYSLOG, "log");
	check_restarts(LOG_SINK_AUTO, "log");
}

/* A full daemon is not waited for; another sink takes the records, and the daemon is told later what it has not. */
static void test_other_sink_takes_over(void **state)
{
	_cleanup_close_ int journal = open_daemon("socket"), syslog_fd = open_daemon("log");
	unsigned int taken = 0, wanted = 1000;
	char datagram[8192], note[64];

	(void)state;
	log_open(LOG_SINK_AUTO);
	for (unsigned int i = 0; i < wanted && recv(syslog_fd, datagram, sizeof(datagram), 0) < 0; i++, taken++)
		log_write(&plain);
	assert_in_range(taken, 2, wanted - 1);
	log_write(&change);
	assert_next(syslog_fd, "net.ipv4.tcp_wmem");
	for (unsigned int i = 0; i < taken - 1; i++)
		assert_next(journal, "worker 77 is ready");
	assert_no_more(journal);
	log_write(&plain);
	snprintf(note, sizeof(note), "%u log records were not written here", 2);
	assert_next(journal, note);
	assert_next(journal, "worker 77 is ready");
	assert_no_more(journal);
	assert_no_more(syslog_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_escape_cut),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_copy_is_escaped),
		cmocka_unit_test(test_copy_is_bounded),
		cmocka_unit_test(test_line_is_cut),
		cmocka_unit_test(test_human),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_sink_that_is_full),
		cmocka_unit_test_setup_teardown(test_journal_restarts, make_run_dir, remove_run_dir),
		cmocka_unit_test_setup_teardown(test_syslog_restarts, make_run_dir, remove_run_dir),
		cmocka_unit_test_setup_teardown(test_other_sink_takes_over, make_run_dir, remove_run_dir),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
