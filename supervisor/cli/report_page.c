// SPDX-License-Identifier: GPL-2.0-or-later
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/ask.h"
#include "supervisor/cli/html.h"
#include "supervisor/cli/report.h"
#include "supervisor/cli/report_style.h"

/* What is counted of all instances. */
struct totals {
	size_t instances, told, tunables;
	long long changes;
};

static bool is_changed(json_t *tunable)
{
	return number_of(tunable, "changes") > 0;
}

/* --- one instance ------------------------------------------------------------------------------- */

static void put_values(const struct page *page, json_t *tunables)
{
	FILE *out = page->out;
	json_t *tunable;
	size_t i;

	fprintf(out, "<div class=\"wide\"><table>\n<thead><tr><th>tunable</th><th>tuner</th><th>was</th><th>is</th>"
		     "<th class=\"number\">changes</th></tr></thead>\n<tbody>\n");
	json_array_foreach (tunables, i, tunable) {
		if (!is_changed(tunable))
			continue;
		fprintf(out, "<tr>");
		html_element(out, "td", "name", text_of(tunable, "name"));
		html_element(out, "td", "", text_of(tunable, "tuner"));
		html_element(out, "td", "value", text_of(tunable, "initial"));
		html_element(out, "td", "value now", text_of(tunable, "current"));
		fprintf(out, "<td class=\"number\">%lld</td></tr>\n", (long long)number_of(tunable, "changes"));
	}
	fprintf(out, "</tbody></table></div>\n");
}

/* One with a quote or a line's end is no value of the kernel's, and could be a line of its own. */
static bool is_plain(const char *text)
{
	return *text && !strpbrk(text, "'\"\\\n\r");
}

static bool is_to_be_kept(json_t *tunable)
{
	const char *value = text_of(tunable, "current");

	return is_changed(tunable) && is_plain(text_of(tunable, "name")) && is_plain(value) &&
	       strcmp(value, text_of(tunable, "initial")) != 0;
}

static void put_lines_to_keep(const struct page *page, json_t *instance)
{
	static const char host[] =
		"These lines in a file of <code>/etc/sysctl.d</code> set the same from the next start on, "
		"without bpftune:";
	static const char container[] =
		"A container that is made anew does not have them. Give them to its runtime (<code>bpftune advise "
		"--apply-hints</code> writes the options), or set them in its network namespace:";
	FILE *out = page->out;
	json_t *tunable;
	size_t i, n = 0;

	json_array_foreach (json_object_get(instance, "tunables"), i, tunable) {
		if (!is_to_be_kept(tunable))
			continue;
		if (!n++)
			fprintf(out, "<h3>To keep it</h3>\n<p>%s</p>\n<pre>",
				number_of(instance, "id") == 1 ? host : container);
		html_text(out, text_of(tunable, "name"));
		fprintf(out, " = ");
		html_text(out, text_of(tunable, "current"));
		fprintf(out, "\n");
	}
	if (n)
		fprintf(out, "</pre>\n");
}

static void put_learnt(const struct page *page, json_t *learnt)
{
	FILE *out = page->out;
	json_t *item;
	size_t i;

	if (!json_array_size(learnt))
		return;
	fprintf(out, "<h3>What tuners have learnt</h3>\n<ul>\n");
	json_array_foreach (learnt, i, item) {
		fprintf(out, "<li>");
		html_element(out, "b", "", text_of(item, "tuner"));
		fprintf(out, " ");
		html_text(out, text_of(item, "about"));
		fprintf(out, ": ");
		html_text(out, text_of(item, "text"));
		fprintf(out, "%s</li>\n",
			json_is_true(json_object_get(item, "in_effect")) ? " <span class=\"scenario\">in effect</span>"
									 : "");
	}
	fprintf(out, "</ul>\n");
}

static void put_limits_met(const struct page *page, json_t *instance)
{
	json_t *limits = json_object_get(instance, "limits_met"), *limit;
	FILE *out = page->out;
	size_t i, n = 0;

	json_array_foreach (limits, i, limit) {
		if (!number_of(limit, "count") || !strcmp(text_of(limit, "since"), "now"))
			continue;
		if (!n++)
			fprintf(out,
				"<h3>Limits that were met</h3>\n<div class=\"wide\"><table>\n<thead><tr><th>counter</th>"
				"<th class=\"number\">count</th><th>since</th><th>tuner</th></tr></thead>\n<tbody>\n");
		fprintf(out, "<tr>");
		html_element(out, "td", "name", text_of(limit, "name"));
		fprintf(out, "<td class=\"number\">%lld</td>", (long long)number_of(limit, "count"));
		html_element(out, "td", "",
			     strcmp(text_of(limit, "since"), "boot") ? "the namespace was made"
								     : "the machine's start");
		html_element(out, "td", "", text_of(limit, "tuner"));
		fprintf(out, "</tr>\n");
	}
	if (n)
		fprintf(out, "</tbody></table></div>\n");
	if (json_is_string(json_object_get(instance, "limits_met_why"))) {
		fprintf(out, "<p class=\"note\">Which limits were met is not known: ");
		html_text(out, text_of(instance, "limits_met_why"));
		fprintf(out, ".</p>\n");
	}
}

/* Tuners that do nothing there, and why. */
static void put_states(const struct page *page, json_t *tuners)
{
	FILE *out = page->out;
	json_t *tuner;
	size_t i;

	json_array_foreach (tuners, i, tuner) {
		if (!strcmp(text_of(tuner, "state"), "active"))
			continue;
		fprintf(out, "<p class=\"note\">");
		html_element(out, "b", "", text_of(tuner, "name"));
		fprintf(out, " is ");
		html_text(out, text_of(tuner, "state"));
		fprintf(out, ": ");
		html_text(out, text_of(tuner, "why"));
		fprintf(out, "</p>\n");
	}
}

static json_t *find_tunable(json_t *tunables, const char *name)
{
	json_t *tunable;
	size_t i;

	json_array_foreach (tunables, i, tunable)
		if (!strcmp(text_of(tunable, "name"), name))
			return tunable;
	return NULL;
}

/* Those that were changed, and those of which only the log tells: the host's, or what a dry run would have changed.
 * Each once. */
static void put_tunables(const struct page *page, json_t *tunables, json_t *records)
{
	json_t *seen = json_object(), *item;
	size_t i;

	json_array_foreach (tunables, i, item) {
		if (!is_changed(item))
			continue;
		report_tunable(page, text_of(item, "name"), item, records);
		json_object_set_new(seen, text_of(item, "name"), json_true());
	}
	json_array_foreach (records, i, item) {
		const char *name = text_of(item, "tunable");

		if (!*name || json_object_get(seen, name))
			continue;
		json_object_set_new(seen, name, json_true());
		report_tunable(page, name, find_tunable(tunables, name), records);
	}
	json_decref(seen);
}

static void put_instance(const struct page *page, json_t *instance, size_t n_changed)
{
	json_t *tunables = json_object_get(instance, "tunables");
	const char *runtime = text_of(instance, "runtime");
	FILE *out = page->out;

	fprintf(out, "<section class=\"instance\">\n");
	html_element(out, "h2", "", text_of(instance, "name"));
	fprintf(out, "<p class=\"about\">instance %lld", (long long)number_of(instance, "id"));
	if (*runtime) {
		fprintf(out, ", ");
		html_text(out, runtime);
	}
	if (json_is_true(json_object_get(json_object_get(instance, "netns"), "shared")))
		fprintf(out, ", in the host's network namespace: its tunables are the host's");
	fprintf(out, "</p>\n");
	if (n_changed)
		put_values(page, tunables);
	else
		fprintf(out, "<p>No tunable of its own was changed.</p>\n");
	put_states(page, json_object_get(instance, "tuners"));
	put_tunables(page, tunables, json_object_get(instance, "records"));
	put_limits_met(page, instance);
	put_learnt(page, json_object_get(instance, "learnt"));
	put_lines_to_keep(page, instance);
	fprintf(out, "</section>\n");
}

/* --- the page ----------------------------------------------------------------------------------- */

static size_t count_changed(json_t *instance, struct totals *totals)
{
	json_t *tunable;
	size_t i, n = 0;

	json_array_foreach (json_object_get(instance, "tunables"), i, tunable) {
		n += is_changed(tunable);
		totals->changes += number_of(tunable, "changes");
	}
	totals->tunables += n;
	return n;
}

static void put_figure(FILE *out, long long n, const char *one, const char *many)
{
	fprintf(out, "<div><b>%lld</b><span>%s</span></div>\n", n, n == 1 ? one : many);
}

static void put_head(const struct page *page, json_t *status, const struct totals *totals)
{
	time_t seconds = (time_t)floor(page->now_s);
	char host[65] = "", clock[48];
	FILE *out = page->out;
	struct tm tm;

	gethostname(host, sizeof(host) - 1);
	localtime_r(&seconds, &tm);
	strftime(clock, sizeof(clock), "%Y-%m-%d %H:%M:%S %z", &tm);
	fputs(report_style, out);
	fprintf(out, "<title>bpftune: ");
	html_text(out, page->container ? page->container : host);
	fprintf(out, "</title>\n</head>\n<body>\n<header>\n<p class=\"brand\">bpftune report</p>\n");
	html_element(out, "h1", "", page->container ? page->container : host);
	fprintf(out, "<p class=\"about\">");
	html_text(out, host);
	fprintf(out, ", Linux ");
	html_text(out, text_of(status, "kernel"));
	fprintf(out, ", bpftune ");
	html_text(out, text_of(status, "version"));
	fprintf(out, "; %s</p>\n</header>\n<main>\n<div class=\"figures\">\n", clock);
	put_figure(out, (long long)totals->instances, "namespace or container", "namespaces and containers");
	put_figure(out, (long long)totals->tunables, "tunable is changed", "tunables are changed");
	put_figure(out, totals->changes, "change", "changes");
	fprintf(out, "</div>\n");
	if (page->is_dry_run)
		fprintf(out,
			"<p class=\"warning\">A dry run: nothing was written. The changes are what would have been done.</p>\n");
}

bool report_has_news(json_t *instance)
{
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(instance, "tunables"), i, item)
		if (is_changed(item))
			return true;
	json_array_foreach (json_object_get(instance, "records"), i, item)
		if (*text_of(item, "tunable"))
			return true;
	return json_array_size(json_object_get(instance, "learnt")) > 0;
}

/* A container that was asked for is told of, whatever it has. */
static bool is_told(const struct page *page, json_t *instance)
{
	return page->container || report_has_news(instance);
}

void report_page(const struct page *page, json_t *status, json_t *instances)
{
	struct totals totals = { .instances = json_array_size(instances) }, ignored = { 0 };
	json_t *instance;
	size_t i;

	json_array_foreach (instances, i, instance) {
		count_changed(instance, &totals);
		totals.told += is_told(page, instance);
	}
	put_head(page, status, &totals);
	json_array_foreach (instances, i, instance)
		if (is_told(page, instance))
			put_instance(page, instance, count_changed(instance, &ignored));
	if (totals.told < totals.instances)
		fprintf(page->out, "<p class=\"note\">Nothing was changed and nothing learnt in %zu %s.</p>\n",
			totals.instances - totals.told, totals.told ? "others" : "of these");
	fprintf(page->out,
		"</main>\n<footer>Made by <code>bpftune report</code>: one file, without scripts, that loads nothing.</footer>\n"
		"</body>\n</html>\n");
}
