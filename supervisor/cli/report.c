// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/report.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "ipc/cleanup.h"
#include "ipc/exit.h"
#include "supervisor/cli/ask.h"

struct gathered {
	json_t *status, *instances;
};

static void take_status(const struct question *question, json_t *status, void *arg)
{
	(void)question;
	json_object_update(arg, status);
}

static void take_instance(const struct question *question, json_t *reply, void *arg)
{
	json_t *instance = json_object_get(reply, "instance");

	(void)question;
	if (json_is_object(instance)) /* else it has ended */
		json_array_append(arg, instance);
}

static void take_log(const struct question *question, json_t *reply, void *arg)
{
	json_t *instance = arg;

	(void)question;
	json_object_set(instance, "records", json_object_get(reply, "records"));
}

static int ask_logs(const struct question *question, const struct gathered *gathered)
{
	/* A dry run leaves the values: the log alone tells of changes. */
	bool is_dry_run = json_is_true(json_object_get(gathered->status, "dry_run"));
	json_t *instance;
	size_t i;

	json_array_foreach (gathered->instances, i, instance) {
		struct question one = *question;
		json_t *call, *parameters;
		int status;

		if (!question->container && !is_dry_run && !report_has_news(instance))
			continue;
		one.container = text_of(instance, "name"); /* for what is said of it */
		call = call_of(&one, "io.bpftune.GetLog");
		parameters = json_object_get(call, "parameters");
		json_object_set_new(parameters, "container", container_json(number_of(instance, "id")));
		json_object_set_new(parameters, "lines", json_integer(REPORT_RECORDS));
		status = ask(&one, call, take_log, instance);
		if (status == EXIT_NOT_RUNNING || (status && question->container))
			return status;
	}
	return EXIT_DONE;
}

static int gather(const struct question *question, const struct gathered *gathered)
{
	json_t *call = call_of(question, "io.bpftune.ListInstances");
	int status = ask(question, json_pack("{s:s}", "method", "io.bpftune.GetStatus"), take_status, gathered->status);

	json_object_set_new(call, "more", json_boolean(!question->container));
	if (!status)
		status = ask(question, json_incref(call), take_instance, gathered->instances);
	json_decref(call);
	if (!status && question->container && !json_array_size(gathered->instances)) {
		fprintf(stderr, "bpftune: %s has just ended\n", question->container);
		status = EXIT_FAILED;
	}
	return status ? status : ask_logs(question, gathered);
}

static char *compose(const struct question *question, const struct gathered *gathered, size_t *ret_size)
{
	struct timespec now;
	struct tm tm = { 0 };
	struct page page = { 0 };
	char *text = NULL;
	bool has_failed;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	if (question->container) /* which may be pid:N */
		page.container = text_of(json_array_get(gathered->instances, 0), "name");
	page.is_dry_run = json_is_true(json_object_get(gathered->status, "dry_run"));
	page.now_s = now.tv_sec + now.tv_nsec / 1e9;
	page.utc_offset_s = tm.tm_gmtoff;
	page.out = open_memstream(&text, ret_size);
	if (!page.out)
		return NULL;
	report_page(&page, gathered->status, gathered->instances);
	has_failed = ferror(page.out);
	if (fclose(page.out) == EOF || has_failed) {
		free(text);
		return NULL;
	}
	return text;
}

static int save(const char *path, const char *text, size_t size)
{
	FILE *file = path ? fopen(path, "we") : stdout;
	bool is_written = file && fwrite(text, 1, size, file) == size && fflush(file) != EOF;
	int error = errno;

	if (file && path && fclose(file) == EOF && is_written) {
		is_written = false;
		error = errno;
	}
	if (is_written)
		return EXIT_DONE;
	fprintf(stderr, "bpftune: cannot write %s: %s\n", path ? path : "to standard output", strerror(error));
	return EXIT_FAILED;
}

int client_report(const struct question *question)
{
	struct gathered gathered = { .status = json_object(), .instances = json_array() };
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int status = gather(question, &gathered);

	if (!status) {
		text = compose(question, &gathered, &size);
		if (!text)
			fprintf(stderr, "bpftune: not enough memory for the report\n");
		status = text ? save(question->output, text, size) : EXIT_FAILED;
	}
	json_decref(gathered.status);
	json_decref(gathered.instances);
	return status;
}
