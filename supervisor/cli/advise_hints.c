// SPDX-License-Identifier: GPL-2.0-or-later
/* A container's values, as its runtime is told them when it is made anew. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ipc/cleanup.h"
#include "ipc/exit.h"
#include "supervisor/cli/advise.h"
#include "supervisor/cli/advise_known.h"
#include "supervisor/cli/ask.h"

struct hint {
	const char *name, *value;
};

/* It goes to a shell, and into YAML: the kernel's values have no such characters, what somebody has written might. */
static bool is_plain(const char *value)
{
	return *value && !value[strspn(value, "0123456789abcdefghijklmnopqrstuvwxyz_- ")];
}

/* Why a runtime is not told a value that bpftune has changed; NULL: it is. */
static const char *why_left_out(json_t *instance, json_t *tunable, enum sysctl_scope scope)
{
	if (scope == SCOPE_UNKNOWN)
		return "only root can find out whether a container has its own";
	if (scope != SCOPE_NAMESPACE)
		return "a container has none of its own";
	if (!advise_is_tuned(instance, tunable))
		return "its tuner has stepped aside, or the value is the first one again";
	return is_plain(text_of(tunable, "current")) ? NULL : "bpftune writes no such value";
}

/* Returns how many there are; says which ones are left out. */
static size_t find_hints(json_t *instance, const struct sysctl_look *looks, struct hint *ret_hints)
{
	json_t *tunable;
	size_t i, n = 0;

	json_array_foreach (json_object_get(instance, "tunables"), i, tunable) {
		const char *name = text_of(tunable, "name"), *why = why_left_out(instance, tunable, looks[i].scope);

		if (!number_of(tunable, "changes"))
			continue;
		if (why)
			printf("# %s is left out: %s\n", name, why);
		else
			ret_hints[n++] = (struct hint){ name, text_of(tunable, "current") };
	}
	return n;
}

static void print_options(const struct hint *hints, size_t n)
{
	printf("# docker run, docker create, podman run, podman create:\n");
	for (size_t i = 0; i < n; i++)
		printf("--sysctl '%s=%s'%s\n", hints[i].name, hints[i].value, i + 1 < n ? " \\" : "");
}

static void print_unsafe(const struct hint *hints, size_t n)
{
	size_t n_unsafe = 0;

	for (size_t i = 0; i < n; i++)
		if (!known_safe_for_pods(hints[i].name))
			printf("%s%s",
			       n_unsafe++
				       ? ","
				       : "# unsafe sysctls: a node takes the pod if its kubelet has\n#   --allowed-unsafe-sysctls=",
			       hints[i].name);
	if (n_unsafe)
		printf("\n");
}

static void print_pod(const struct hint *hints, size_t n)
{
	printf("\n# Kubernetes, of a pod; as of 1.32:\n");
	print_unsafe(hints, n);
	printf("spec:\n  securityContext:\n    sysctls:\n");
	for (size_t i = 0; i < n; i++)
		printf("    - name: %s%s\n      value: \"%s\"\n", hints[i].name,
		       known_safe_for_pods(hints[i].name) ? "" : "  # unsafe", hints[i].value);
}

static int print_hints(json_t *instance, const struct sysctl_look *looks, struct hint *hints)
{
	const char *name = text_of(instance, "name");
	size_t n = find_hints(instance, looks, hints);

	if (!n)
		printf("# bpftune has changed nothing in %s that its runtime could set\n", name);
	if (n)
		printf("# what bpftune has changed in %s\n", name);
	if (n)
		print_options(hints, n);
	if (n)
		print_pod(hints, n);
	return fflush(stdout) == EOF ? EXIT_FAILED : EXIT_DONE;
}

static int give_hints(json_t *instance, struct hint *hints, const char **keys)
{
	json_t *tunables = json_object_get(instance, "tunables"), *tunable;
	size_t n = json_array_size(tunables), i;
	struct sysctl_look *looks;
	int status;

	json_array_foreach (tunables, i, tunable)
		keys[i] = text_of(tunable, "name");
	looks = sysctl_look_at(keys, n);
	if (!looks) {
		fprintf(stderr, "bpftune: cannot look at sysctls: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	status = print_hints(instance, looks, hints);
	sysctl_look_free(looks, n);
	return status;
}

int advise_hints(json_t *instance)
{
	size_t n = json_array_size(json_object_get(instance, "tunables"));
	struct hint *hints;
	const char **keys;
	int status = EXIT_FAILED;

	if (json_is_true(json_object_get(json_object_get(instance, "netns"), "shared")) ||
	    number_of(instance, "id") == 1) {
		fprintf(stderr,
			"bpftune: %s has the host's network namespace: no runtime sets sysctls of it (a file in /etc/sysctl.d does)\n",
			text_of(instance, "name"));
		return EXIT_FAILED;
	}
	hints = calloc(n + 1, sizeof(*hints));
	keys = calloc(n + 1, sizeof(*keys));
	if (hints && keys)
		status = give_hints(instance, hints, keys);
	free(hints);
	free(keys);
	return status;
}
