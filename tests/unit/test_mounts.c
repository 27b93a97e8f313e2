// SPDX-License-Identifier: GPL-2.0-or-later
/* Namespaces that get a name: none is missed, in whichever moment. It needs root, and a mount namespace of its own. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/instances/mounts.h"
#include "supervisor/instances/scan.h"

#define DEADLINE_MS 60000

struct lab {
	struct kernel kernel;
	struct instances instances;
	uv_loop_t loop;
	uv_timer_t deadline;
	uv_prepare_t turn;
	char directory[32];
	unsigned int n_made;
};

static bool has_mount_namespace;

static void note_started(void *arg)
{
	(void)arg;
}

static void name_a_namespace(struct lab *lab)
{
	char path[64];
	int status;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%u", lab->directory, ++lab->n_made);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	pid = fork();
	if (!pid)
		_exit(unshare(CLONE_NEWNET) < 0 || mount("/proc/self/ns/net", path, "none", MS_BIND, NULL) < 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Of ours: what others had named when the mount namespace was made goes when they take the name away. */
static unsigned int n_found(const struct lab *lab)
{
	unsigned int n = 0;

	for (const struct mounted_netns *each = lab->instances.mounted; each; each = each->hh.next)
		n += each->path && !strncmp(each->path, lab->directory, strlen(lab->directory));
	return n;
}

/* Where supervisor.c does its work, as forking a scout: before the loop waits. */
static void on_turn(uv_prepare_t *turn)
{
	struct lab *lab = turn->data;

	if (n_found(lab) == 1 && lab->n_made == 1)
		name_a_namespace(lab);
}

static void on_deadline(uv_timer_t *timer)
{
	(void)timer;
}

static void wait_for(struct lab *lab, unsigned int n)
{
	uv_update_time(&lab->loop);
	uv_timer_start(&lab->deadline, on_deadline, DEADLINE_MS, 0);
	while (n_found(lab) != n && uv_is_active((uv_handle_t *)&lab->deadline))
		uv_run(&lab->loop, UV_RUN_ONCE);
	assert_int_equal(n_found(lab), n);
}

static int set_up(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	*state = lab;
	if (!lab || !has_mount_namespace)
		return lab ? 0 : -1;
	strcpy(lab->directory, "/tmp/bpftune-mounts-XXXXXX");
	if (!mkdtemp(lab->directory) || uv_loop_init(&lab->loop))
		return -1;
	lab->instances =
		(struct instances){ .kernel = &lab->kernel, .loop = &lab->loop, .listener.started = note_started };
	uv_timer_init(&lab->loop, &lab->deadline);
	uv_prepare_init(&lab->loop, &lab->turn);
	lab->turn.data = lab;
	if (mounts_start(&lab->instances))
		return -1;
	return 0;
}

static int tear_down(void **state)
{
	struct lab *lab = *state;
	char path[64];

	if (has_mount_namespace) {
		mounts_stop(&lab->instances);
		uv_close((uv_handle_t *)&lab->deadline, NULL);
		uv_close((uv_handle_t *)&lab->turn, NULL);
		uv_run(&lab->loop, UV_RUN_DEFAULT);
		uv_loop_close(&lab->loop);
		for (; lab->n_made; lab->n_made--) {
			snprintf(path, sizeof(path), "%s/%u", lab->directory, lab->n_made);
			umount2(path, MNT_DETACH);
			unlink(path);
		}
		rmdir(lab->directory);
	}
	free(lab);
	return 0;
}

/* After the mounts were read at the start, and before the loop waits for the first time. */
static void test_named_at_the_start(void **state)
{
	struct lab *lab = *state;

	if (!has_mount_namespace)
		skip();
	name_a_namespace(lab);
	lab->instances.scan_is_due = false; /* no scout is forked */
	instances_ring_is_empty(&lab->instances);
	wait_for(lab, 1);
}

/* After they were read, and before the loop waits again. */
static void test_named_after_another(void **state)
{
	struct lab *lab = *state;

	if (!has_mount_namespace)
		skip();
	uv_prepare_start(&lab->turn, on_turn);
	uv_run(&lab->loop, UV_RUN_NOWAIT);
	name_a_namespace(lab);
	wait_for(lab, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_named_at_the_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_named_after_another, set_up, tear_down),
	};

	has_mount_namespace = unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
