// SPDX-License-Identifier: GPL-2.0-or-later
/* bpftune: the one program; this is its command line. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "ipc/cleanup.h"
#include "ipc/exit.h"
#include "supervisor/cli/cli.h"
#include "supervisor/supervisor.h"

static const char usage[] =
	"bpftune: tunes Linux networking while it runs, for the host and for each container\n"
	"\n"
	"  bpftune run [--stderr] [--debug] [--dry-run] [--rollback] [--plugin-dir DIR]\n"
	"                                                       the supervisor, in the foreground\n"
	"  bpftune status [CONTAINER|--all] [--json]            what was changed, from which value to which\n"
	"  bpftune watch [CONTAINER]                            the same while it changes, and limits met\n"
	"  bpftune log [CONTAINER] [-f] [-n N] [--json]         what was changed, and why\n"
	"  bpftune report [CONTAINER] [-o FILE.html]            a page of what was tuned, with plots\n"
	"  bpftune metrics [-o FILE|--listen ADDRESS:PORT]      the same as numbers, for Prometheus\n"
	"  bpftune rollback CONTAINER|--all [--dry-run] [--json] [--offline]\n"
	"                                                       put initial values back\n"
	"  bpftune resume CONTAINER [TUNER]                     a tuner that stepped aside goes on\n"
	"  bpftune off|on CONTAINER|--all [TUNER]               turn a tuner off or on, or all\n"
	"  bpftune tuners [--json]                              loaded tuners and their hooks\n"
	"  bpftune advise [FILE...]                             what sysctl.d files do, and where\n"
	"  bpftune advise --apply-hints CONTAINER               its values for its runtime\n"
	"  bpftune probe [--plugin-dir DIR]                     what this kernel supports\n"
	"  bpftune --version | --help\n"
	"\n"
	"  --run-dir DIR   the supervisor's directory (default " BPFTUNE_RUN_DIR ")\n"
	"  CONTAINER is a name, an id or its beginning, pid:N, or instance:N. See bpftune(8).\n";

enum { OPTION_JSON = 256, OPTION_STDERR, OPTION_DEBUG, OPTION_DRY_RUN, OPTION_ROLLBACK, OPTION_PLUGIN_DIR, OPTION_RUN_DIR, OPTION_VERSION,
       OPTION_ALL, OPTION_OFFLINE, OPTION_APPLY_HINTS, OPTION_LISTEN };

static const struct option long_options[] = {
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "all", no_argument, NULL, OPTION_ALL },
	{ "offline", no_argument, NULL, OPTION_OFFLINE },
	{ "apply-hints", required_argument, NULL, OPTION_APPLY_HINTS },
	{ "listen", required_argument, NULL, OPTION_LISTEN },
	{ "stderr", no_argument, NULL, OPTION_STDERR },
	{ "debug", no_argument, NULL, OPTION_DEBUG },
	{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },
	{ "rollback", no_argument, NULL, OPTION_ROLLBACK },
	{ "plugin-dir", required_argument, NULL, OPTION_PLUGIN_DIR },
	{ "run-dir", required_argument, NULL, OPTION_RUN_DIR },
	{ "follow", no_argument, NULL, 'f' },
	{ "lines", required_argument, NULL, 'n' },
	{ "output", required_argument, NULL, 'o' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ 0 },
};

struct command_line {
	struct options run;
	struct question question;
};

#define OPTIONS_MAX 6
#define FILES_MAX INT_MAX /* operands are files, and the command goes on if no supervisor answers */

static const struct command {
	const char *name;
	int (*ask)(const struct question *question); /* a running supervisor; NULL: run and probe need none */
	int options[OPTIONS_MAX]; /* besides --run-dir, --help and --version */
	int operands_min, operands_max; /* one less with --all, which stands in the place of CONTAINER */
	bool is_told_without; /* it goes on if no supervisor answers */
} commands[] = {
	{ "run", NULL, { OPTION_STDERR, OPTION_DEBUG, OPTION_DRY_RUN, OPTION_ROLLBACK, OPTION_PLUGIN_DIR }, 0, 0 },
	{ "status", client_status, { OPTION_JSON, OPTION_ALL }, 0, 1 },
	{ "watch", client_watch, { 0 }, 0, 1 },
	{ "log", client_log, { OPTION_JSON, 'f', 'n' }, 0, 1 },
	{ "report", client_report, { 'o' }, 0, 1 },
	{ "metrics", client_metrics, { 'o', OPTION_LISTEN }, 0, 0, true },
	{ "rollback", client_rollback, { OPTION_ALL, OPTION_JSON, OPTION_DRY_RUN, OPTION_OFFLINE }, 1, 1 },
	{ "resume", client_resume, { 0 }, 1, 2 },
	{ "off", client_off, { OPTION_ALL }, 1, 2 },
	{ "on", client_on, { OPTION_ALL }, 1, 2 },
	{ "tuners", client_tuners, { OPTION_JSON }, 0, 0 },
	{ "advise", client_advise, { OPTION_APPLY_HINTS }, 0, FILES_MAX },
	{ "probe", NULL, { OPTION_PLUGIN_DIR }, 0, 0 },
};

static int carry_out(const struct command *command, const struct command_line *line)
{
	if (line->question.offline)
		return client_offline(&line->question);
	if (command->ask) {
		int status = command->operands_max == FILES_MAX || command->is_told_without ? EXIT_DONE : client_compare_versions(&line->question);

		return status ? status : command->ask(&line->question);
	}
	return strcmp(command->name, "run") ? probe_run(line->run.plugin_dir) : supervisor_run(&line->run);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static bool takes(const struct command *command, int option)
{
	for (size_t i = 0; i < OPTIONS_MAX; i++)
		if (command->options[i] == option)
			return true;
	return false;
}

static int say_wrong(const char *what, const char *which)
{
	fprintf(stderr, "bpftune: %s: %s ('bpftune --help' shows the usage)\n", what, which);
	return EXIT_USAGE;
}

/* Each option has a long name. */
static int say_not_taken(const struct command *command, int option)
{
	const struct option *named = long_options;

	while (named->name && named->val != option)
		named++;
	fprintf(stderr, "bpftune: '%s' does not take the option --%s ('bpftune --help' shows the usage)\n", command->name, named->name);
	return EXIT_USAGE;
}

static int say_no_container(const struct command *command)
{
	fprintf(stderr, "bpftune: '%s' needs a CONTAINER%s ('bpftune status --all' lists them)\n", command->name,
		takes(command, OPTION_ALL) ? ", or --all" : "");
	return EXIT_USAGE;
}

/* What a command has printed is there, or it has failed. A reader that has gone (`| head`) knows that. */
static int close_output(int status)
{
	errno = 0;
	if (fflush(stdout) != EOF && !ferror(stdout))
		return status;
	if (errno != EPIPE)
		fprintf(stderr, "bpftune: cannot write the output: %s\n", errno ? strerror(errno) : "the device failed");
	return status ? status : EXIT_FAILED;
}

static int print_usage(void)
{
	fputs(usage, stdout);
	return close_output(EXIT_DONE);
}

static bool parse_lines(const char *text, int *ret_lines)
{
	char *end;
	long lines = strtol(text, &end, 10);

	if (!*text || *end || lines < 0 || lines > INT_MAX)
		return false;
	*ret_lines = lines;
	return true;
}

/* 0, or the option's trouble, said. */
static int take_option(struct command_line *line, int option)
{
	switch (option) {
	case OPTION_JSON:
		line->question.json = true;
		break;
	case OPTION_ALL:
		line->question.all = true;
		break;
	case OPTION_OFFLINE:
		line->question.offline = true;
		break;
	case OPTION_STDERR:
		line->run.to_stderr = true;
		break;
	case OPTION_DEBUG:
		line->run.debug = true;
		break;
	case OPTION_DRY_RUN:
		line->run.dry_run = line->question.dry_run = true;
		break;
	case OPTION_ROLLBACK:
		line->run.rollback = true;
		break;
	case OPTION_PLUGIN_DIR:
		line->run.plugin_dir = optarg;
		break;
	case OPTION_RUN_DIR:
		/* One of two supervisors on a machine, or one of a test: what it keeps is not the other's. */
		line->run.run_dir = line->run.state_dir = line->question.run_dir = optarg;
		break;
	case OPTION_APPLY_HINTS:
		line->question.container = optarg;
		break;
	case OPTION_LISTEN:
		line->question.listen = optarg;
		break;
	case 'f':
		line->question.follow = true;
		break;
	case 'n':
		if (!parse_lines(optarg, &line->question.lines))
			return say_wrong("-n needs a number of lines, not", optarg);
		break;
	case 'o':
		line->question.output = optarg;
		break;
	}
	return 0;
}

/* As the service manager says: systemd.exec(5). */
static const char *state_dir(void)
{
	const char *dir = getenv("STATE_DIRECTORY");

	return dir && *dir ? dir : STATEDIR;
}

static void take_operands(struct question *question, const struct command *command, char *const *operands, int n)
{
	if (command->operands_max == FILES_MAX) {
		question->files = operands;
		question->n_files = n;
		return;
	}
	if (n && !question->all) {
		question->container = *operands++;
		n--;
	}
	question->tuner = n ? *operands : NULL;
}

int main(int argc, char **argv)
{
	struct command_line line = {
		.run = { .run_dir = BPFTUNE_RUN_DIR, .plugin_dir = TUNERSDIR, .state_dir = state_dir() },
		.question = { .run_dir = BPFTUNE_RUN_DIR, .lines = -1 },
	};
	const struct command *command = NULL;
	int option, wrong, seen[32], n_seen = 0, n_operands, n_all;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":fn:o:h", long_options, NULL)) != -1) {
		if (option == '?' || option == ':')
			return say_wrong(option == ':' ? "this option needs a value" : "no such option", argv[optind - 1]);
		if (option == 'h')
			return print_usage();
		if (option == OPTION_VERSION)
			return close_output(puts(PACKAGE_STRING) == EOF ? EXIT_FAILED : EXIT_DONE);
		wrong = take_option(&line, option);
		if (wrong)
			return wrong;
		if (option != OPTION_RUN_DIR && n_seen < (int)ARRAY_SIZE(seen))
			seen[n_seen++] = option;
	}
	if (optind == argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[optind], "help"))
		return print_usage();
	command = find_command(argv[optind++]);
	if (!command)
		return say_wrong("no such command", argv[optind - 1]);
	for (int i = 0; i < n_seen; i++)
		if (!takes(command, seen[i]))
			return say_not_taken(command, seen[i]);
	n_all = line.question.all;
	n_operands = n_all + argc - optind;
	if (n_operands > command->operands_max)
		return say_wrong("one argument too many", argv[optind + command->operands_max - n_all]);
	if (line.question.container && n_operands)
		return say_wrong("one argument too many: it is of --apply-hints", argv[optind]);
	if (n_operands < command->operands_min)
		return say_no_container(command);
	take_operands(&line.question, command, argv + optind, argc - optind);
	return close_output(carry_out(command, &line));
}
