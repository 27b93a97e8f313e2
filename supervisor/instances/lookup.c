// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/lookup.h"

#include <grp.h>
#include <jansson.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utlist.h>

#include "ipc/cleanup.h"
#include "supervisor/instances/cgroup.h"
#include "supervisor/instances/name.h"
#include "supervisor/instances/on_record.h"
#include "supervisor/instances/opt_out.h"
#include "supervisor/instances/place.h"

#define SHEET_BYTES (LOOKUP_AT_ONCE * sizeof(struct on_record))

/* --- the child ---------------------------------------------------------------------------------- */

/* Nobody of the same user may trace it: it has a copy of what malloc(3) has in the supervisor. */
static bool become(const struct passwd *user)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return false;
	if (user && (setgroups(0, NULL) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
		     setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0))
		return false;
	if (syscall(SYS_capset, &header, none) < 0)
		return false;
	/* Only now: a change of credentials takes both back (kernel/cred.c: commit_creds()). */
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
}

static _Noreturn void look_up(struct on_record *sheet, size_t n, uid_t uid, pid_t parent)
{
	const struct passwd *user;

	prctl(PR_SET_PDEATHSIG, SIGKILL);   /* who a user is may be asked of a server */
	json_set_alloc_funcs(malloc, free); /* a child does not have what Jansson has allocated from */
	user = uid ? getpwuid(uid) : NULL;
	if ((!uid || (user && user->pw_uid == uid)) && become(user) && getppid() == parent)
		on_record_read(&(struct on_record_owner){ .uid = uid, .home = user ? user->pw_dir : NULL }, sheet, n);
	_exit(EXIT_SUCCESS);
}

/* --- what is asked ------------------------------------------------------------------------------ */

/* A number that is no user's is nobody's, not one that is left of it in fewer bits. */
static uid_t uid_of(const struct instance *instance)
{
	unsigned long long uid = instance->uid ? strtoull(instance->uid, NULL, 10) : 0;

	return uid < UINT32_MAX ? uid : UINT32_MAX;
}

/* A pod has no record that is found by its id: any of its containers' tells its name. */
static void describe(const struct instance *instance, struct on_record *about)
{
	const char *id = instance->container_id;
	struct cgroup_name name = { 0 };
	const struct place *place;

	for (place = id ? NULL : instance->places; place && !id; place = place->next)
		if (cgroup_parse(place->path, &name) && name.container_id[0] &&
		    !strcmp(name.pod_uid, instance->pod_uid))
			id = name.container_id;
	about->is_for_pod = !instance->container_id;
	snprintf(about->container_id, sizeof(about->container_id), "%s", id ? id : "");
}

/* Those of one user. */
static void take_from_queue(struct lookup *lookup, struct on_record *sheet)
{
	struct instance *instance, *next;
	uid_t uid = uid_of(lookup->queue);

	for (instance = lookup->queue; instance && lookup->n < LOOKUP_AT_ONCE; instance = next) {
		next = instance->lookup_next;
		if (uid_of(instance) != uid)
			continue;
		DL_DELETE2(lookup->queue, instance, lookup_prev, lookup_next);
		instance->queued_in = NULL;
		instance->is_looked_up = true;
		describe(instance, &sheet[lookup->n]);
		lookup->asked[lookup->n++] = instance->view.id;
	}
	lookup->uid = uid;
}

/* --- the answer --------------------------------------------------------------------------------- */

/* `found` NULL: there is no answer. */
static void answer(struct instances *instances, struct instance *instance, const struct on_record *found)
{
	instance->is_looked_up = instance->is_unread = false;
	if (found && found->is_off)
		instance->is_off_on_record = true;
	if (found && on_record_is_name(found->name))
		name_by_record(instances, instance, found->name);
	instance_read_opt_out(instances, instance);
	instances->listener.paired(instances->arg, instance);
	/* A young one is yet to be looked at: its namespace may come and go. */
	if (!instance->is_ending && instance->queue != QUEUE_YOUNG)
		instances->listener.wanted(instances->arg, instance);
}

/*
 * The child, which may still be there, writes to the sheet: a copy is looked at. If it has not read all of them, the
 * next one has taken too long, and is answered with what there is; those behind that one are looked up again. False: it
 * has read none, and all are answered with what there is.
 */
static bool answer_sheet(struct lookup *lookup)
{
	struct on_record *sheet = lookup->sheet;
	size_t n = lookup->n, n_read = 0;

	while (n_read < n && __atomic_load_n(&sheet[n_read].is_read, __ATOMIC_ACQUIRE))
		n_read++;
	lookup->sheet = NULL;
	lookup->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct instance *instance = instance_by_id(lookup->instances, lookup->asked[i]);
		struct on_record found;

		if (!instance || !instance->is_looked_up)
			continue; /* it has ended, or is another container's by now */
		if (n_read && i > n_read) {
			instance->is_looked_up = false;
			lookup_ask(lookup->instances, instance);
			continue;
		}
		memcpy(&found, &sheet[i], sizeof(found));
		found.name[sizeof(found.name) - 1] = '\0';
		answer(lookup->instances, instance, &found);
	}
	munmap(sheet, SHEET_BYTES);
	return n_read > 0;
}

static struct instance *first_of(const struct lookup *lookup, const uid_t *uid)
{
	struct instance *instance = lookup->queue;

	while (instance && uid && uid_of(instance) != *uid)
		instance = instance->lookup_next;
	return instance;
}

/* `uid` NULL: whoever's containers they are. */
static void answer_queue_without(struct lookup *lookup, const uid_t *uid)
{
	struct instance *instance;

	while ((instance = first_of(lookup, uid))) {
		lookup_drop(instance);
		answer(lookup->instances, instance, NULL);
	}
}

/* --- one child after the other ------------------------------------------------------------------ */

static pid_t fork_child(struct lookup *lookup)
{
	pid_t parent = getpid(), pid = task_fork(STDERR_FILENO + 1);

	if (!pid)
		look_up(lookup->sheet, lookup->n, lookup->uid, parent);
	madvise(lookup->sheet, SHEET_BYTES, MADV_DONTFORK); /* it is nothing to workers */
	return pid;
}

static void begin(struct lookup *lookup)
{
	struct on_record *sheet = mmap(NULL, SHEET_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (sheet == MAP_FAILED) {
		answer_queue_without(lookup, NULL);
		return;
	}
	take_from_queue(lookup, sheet);
	lookup->sheet = sheet;
	lookup->begun_ms = uv_now(lookup->instances->loop);
	lookup->n_ticks = 0;
	lookup->pid = fork_child(lookup);
	if (lookup->pid < 0) {
		lookup->pid = 0;
		answer_sheet(lookup);
	}
}

static void on_due(uv_timer_t *timer);

static void arm(struct lookup *lookup)
{
	uint64_t now = uv_now(lookup->instances->loop), due = lookup->begun_ms + LOOKUP_PACE_MS;

	if (lookup->pid)
		uv_timer_start(&lookup->due, on_due, LOOKUP_TICK_MS, 0);
	else if (lookup->queue) /* not at once: others may be asked for in the same turn */
		uv_timer_start(&lookup->due, on_due, due > now ? due - now : 1, 0);
}

/* That this user's files hang says nothing of others'; a child that does not even end keeps them all from an answer. */
static void give_up(struct lookup *lookup)
{
	const uid_t uid = lookup->uid;

	lookup->n_ticks = 0;
	kill(lookup->pid, SIGKILL); /* which may take its time, too */
	if (!lookup->sheet)
		answer_queue_without(lookup, NULL);
	else if (!answer_sheet(lookup))
		answer_queue_without(lookup, &uid);
}

static void on_due(uv_timer_t *timer)
{
	struct lookup *lookup = timer->data;

	if (lookup->pid && ++lookup->n_ticks == LOOKUP_TICKS)
		give_up(lookup);
	else if (!lookup->pid && lookup->queue)
		begin(lookup);
	arm(lookup);
}

bool lookup_child_ended(struct instances *instances, pid_t pid)
{
	for (struct lookup *lookup = instances->lookups; lookup < instances->lookups + N_LOOKUPS; lookup++) {
		if (lookup->pid != pid)
			continue;
		lookup->pid = 0;
		uv_timer_stop(&lookup->due);
		if (lookup->sheet)
			answer_sheet(lookup);
		arm(lookup);
		return true;
	}
	return false;
}

void lookup_ask(struct instances *instances, struct instance *instance)
{
	struct lookup *lookup = &instances->lookups[instance->uid ? LOOKUP_OF_USERS : LOOKUP_OF_ROOT];

	if (!instance->is_unread || instance->is_looked_up || instance->queued_in == lookup)
		return;
	lookup_drop(instance);
	instance->queued_in = lookup;
	DL_APPEND2(lookup->queue, instance, lookup_prev, lookup_next);
	if (!lookup->pid && !uv_is_active((uv_handle_t *)&lookup->due))
		arm(lookup);
}

void lookup_drop(struct instance *instance)
{
	if (instance->queued_in)
		DL_DELETE2(instance->queued_in->queue, instance, lookup_prev, lookup_next);
	instance->queued_in = NULL;
	instance->is_looked_up = false;
}

void lookup_start(struct instances *instances)
{
	for (struct lookup *lookup = instances->lookups; lookup < instances->lookups + N_LOOKUPS; lookup++) {
		lookup->instances = instances;
		uv_timer_init(instances->loop, &lookup->due);
		lookup->due.data = lookup;
	}
}

void lookup_stop(struct instances *instances)
{
	for (struct lookup *lookup = instances->lookups; lookup < instances->lookups + N_LOOKUPS; lookup++) {
		if (!lookup->due.data)
			continue;
		uv_close((uv_handle_t *)&lookup->due, NULL);
		if (lookup->pid)
			kill(lookup->pid, SIGKILL);
		if (lookup->sheet)
			munmap(lookup->sheet, SHEET_BYTES);
	}
}
