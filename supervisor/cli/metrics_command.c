// SPDX-License-Identifier: GPL-2.0-or-later
/* `bpftune metrics`: to standard output, into a file, or by the program that serves them. */
#include "supervisor/cli/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "ipc/cleanup.h"
#include "ipc/exit.h"
#include "supervisor/cli/ask.h"
#include "supervisor/cli/scrape.h"

#define TIMEOUT_MS 30000
#define SERVER "bpftune-metrics"

/* Its reader sees the old text or the new one, whole: the node_exporter reads whenever it is asked. */
static int replace_file(const char *path, const char *text, size_t size)
{
	char next[PATH_MAX];
	bool is_written;
	FILE *file;
	int fd, error;

	if ((size_t)snprintf(next, sizeof(next), "%s.XXXXXX", path) >= sizeof(next))
		return -ENAMETOOLONG;
	fd = mkostemp(next, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	file = fdopen(fd, "w");
	if (!file) {
		error = errno;
		close(fd);
		unlink(next);
		return -error;
	}
	is_written = fwrite(text, 1, size, file) == size && fflush(file) != EOF && fchmod(fd, 0644) == 0;
	error = errno;
	if (fclose(file) == EOF && is_written) {
		is_written = false;
		error = errno;
	}
	if (is_written && rename(next, path) == 0)
		return 0;
	error = is_written ? errno : error;
	unlink(next);
	return -error;
}

/* A device, or a pipe. */
static int write_into(const char *path, const char *text, size_t size)
{
	_cleanup_fclose_ FILE *file = fopen(path, "we");

	return file && fwrite(text, 1, size, file) == size && fflush(file) != EOF ? 0 : -errno;
}

/* What is no regular file stays what it is: another in its place would be the end of /dev/null. */
static int save_as(const char *path, const char *text, size_t size)
{
	_cleanup_free_ char *file = realpath(path, NULL);
	struct stat st;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return write_into(path, text, size);
	return replace_file(file ? file : path, text, size);
}

static int save(const char *path, const char *text, size_t size)
{
	int err;

	if (!path)
		return fwrite(text, 1, size, stdout) == size ? EXIT_DONE : EXIT_FAILED; /* main() says why */
	err = save_as(path, text, size);
	if (!err)
		return EXIT_DONE;
	fprintf(stderr, "bpftune: cannot write %s: %s\n", path, strerror(-err));
	return EXIT_FAILED;
}

/* The server is a program of its own: what it links, and what listens to the network, is no part of the supervisor's.
 */
static int serve(const struct question *question)
{
	static const char *const installed = LIBEXECDIR "/" SERVER;
	char beside[PATH_MAX] = "";
	ssize_t n = readlink("/proc/self/exe", beside, sizeof(beside) - sizeof(SERVER) - 1);
	char *slash = n > 0 ? strrchr(beside, '/') : NULL;

	if (slash) { /* where it was built */
		memcpy(slash + 1, SERVER, sizeof(SERVER));
		if (access(beside, X_OK) < 0)
			slash = NULL;
	}
	execl(slash ? beside : installed, SERVER, question->run_dir, question->listen, NULL);
	fprintf(stderr, "bpftune: cannot run %s: %s%s\n", slash ? beside : installed, strerror(errno),
		errno == ENOENT ? " (was bpftune built with --disable-metrics-server?)" : "");
	return EXIT_FAILED;
}

int client_metrics(const struct question *question)
{
	struct scrape scrape = {
		.run_dir = question->run_dir,
		.timeout_ms = TIMEOUT_MS,
		.limits_ms = TIMEOUT_MS,
	};
	struct metrics *metrics;
	char *text = NULL;
	size_t size = 0;
	int error = 0, status;

	if (question->listen && question->output) {
		fprintf(stderr, "bpftune: metrics takes -o or --listen, not both\n");
		return EXIT_USAGE;
	}
	if (question->listen)
		return serve(question);
	metrics = scrape_metrics(&scrape, &error);
	scrape_forget(&scrape);
	if (metrics)
		text = metrics_text(metrics, question->output ? METRICS_PROMETHEUS : METRICS_OPENMETRICS, &size);
	metrics_free(metrics);
	if (!text) {
		fprintf(stderr, "bpftune: not enough memory for the metrics\n");
		return EXIT_FAILED;
	}
	status = save(question->output, text, size);
	free(text);
	return error ? ask_say_failed(question->run_dir, error) : status;
}
