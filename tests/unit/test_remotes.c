// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "tuners/remotes.h"

#define NOW_NS 1000

static unsigned int n_forgotten;
static char last_forgotten[REMOTE_TEXT_BYTES];

static void forget(void *arg, const struct remotes_entry *entry)
{
	assert_ptr_equal(arg, &n_forgotten);
	n_forgotten++;
	remote_text((const struct remote *)entry->key, last_forgotten);
}

static int setup(void **state)
{
	static struct remotes remotes;

	remotes = (struct remotes){ .entry_bytes = sizeof(struct remotes_entry), .forget = forget };
	n_forgotten = 0;
	*state = &remotes;
	return 0;
}

static int teardown(void **state)
{
	remotes_free(*state);
	return 0;
}

/* Of IPv4 by its number; or the network that it is in. */
static struct remote remote_of(unsigned int number, bool network)
{
	struct remote remote = { { [10] = 0xff, 0xff, 10, number >> 16, number >> 8, number } };

	if (network)
		remote_widen(&remote);
	return remote;
}

static struct remotes_entry *get(struct remotes *remotes, unsigned int number, bool network)
{
	struct remote remote = remote_of(number, network);
	uint8_t key[32] = { 0 };

	memcpy(key, &remote, sizeof(remote));
	return remotes_get(remotes, key, NOW_NS, &n_forgotten);
}

static bool has(const struct remotes *remotes, unsigned int number, bool network)
{
	struct remote remote = remote_of(number, network);

	return remotes_find(remotes, &remote) != NULL;
}

static void test_oldest_goes(void **state)
{
	struct remotes *remotes = *state;

	for (unsigned int i = 0; i < REMOTES_HOSTS_MAX; i++)
		assert_int_equal(get(remotes, i, false)->valid_until_ns, 0);
	assert_ptr_equal(get(remotes, 0, false)->hh.next, NULL); /* the newest, by now */
	assert_int_equal(n_forgotten, 0);
	get(remotes, REMOTES_HOSTS_MAX, false);
	assert_int_equal(n_forgotten, 1);
	assert_string_equal(last_forgotten, "10.0.0.1");
	assert_true(has(remotes, 0, false) && !has(remotes, 1, false) && has(remotes, 2, false));
	assert_int_equal(HASH_COUNT(remotes->first), REMOTES_HOSTS_MAX);
}

/* What something was decided about outlives any number of strangers. */
static void test_crowd(void **state)
{
	struct remotes *remotes = *state;

	get(remotes, 1, false)->valid_until_ns = NOW_NS + 1;
	get(remotes, 2, false)->valid_until_ns = NOW_NS; /* not any more */
	get(remotes, 1, true)->valid_until_ns = NOW_NS + 1;
	for (unsigned int i = 3; i < 1000; i++) {
		get(remotes, i << 8, false);
		get(remotes, i << 8, true);
	}
	assert_true(has(remotes, 1, false) && has(remotes, 1, true) && !has(remotes, 2, false));
	assert_int_equal(HASH_COUNT(remotes->first), REMOTES_MAX);
	assert_int_equal(n_forgotten, 3 + 2 * 997 - REMOTES_MAX);
}

/* Where nearly all have a verdict, a newcomer stays for so many others that something can be decided about it. */
static void test_full_of_verdicts(void **state)
{
	struct remotes *remotes = *state;
	unsigned int strangers = REMOTES_NETWORKS_MAX / 8;

	for (unsigned int i = 0; i < REMOTES_NETWORKS_MAX; i++)
		get(remotes, i << 8, true)->valid_until_ns = NOW_NS + 1;
	for (unsigned int i = 0; i < strangers; i++) {
		get(remotes, (100 + i) << 8, true);
		assert_false(has(remotes, i << 8, true));
	}
	get(remotes, 200 << 8, true);
	assert_true(has(remotes, strangers << 8, true));
	assert_false(has(remotes, 100 << 8, true));
	assert_true(has(remotes, 101 << 8, true));
}

/* A tuner may say how many hosts it has room for. */
static void test_room(void **state)
{
	struct remotes *remotes = *state;

	remotes->hosts_max = 100;
	for (unsigned int i = 0; i < 101; i++)
		get(remotes, i, false);
	assert_int_equal(HASH_COUNT(remotes->first), 100);
	assert_false(has(remotes, 0, false));
}

/* The rest of a key tells records of one remote apart. */
static void test_key(void **state)
{
	struct remotes *remotes = *state;
	uint8_t key[32] = { [10] = 0xff, 0xff, 10, 0, 0, 1, [31] = 1 };

	assert_ptr_not_equal(remotes_get(remotes, key, NOW_NS, &n_forgotten), get(remotes, 1, false));
	assert_int_equal(HASH_COUNT(remotes->first), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_oldest_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crowd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_of_verdicts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_key, setup, teardown),
	};

	return cmocka_run_group_tests_name("remotes", tests, NULL, NULL);
}
