// SPDX-License-Identifier: GPL-2.0-or-later
/* Which instances `bpftune watch` asks about, and how often each has its turn. */
#include "tests/unit/fake_screen.h"

static void take_listed(int id, int events)
{
	json_t *instance = json_pack("{s:i s:o s:{s:s s:i}}", "id", id, "name", json_sprintf("c%d", id), "worker", "state",
				     "ready", "events", events);

	watch_view_instance(&screen.view, instance, NOW_S);
	json_decref(instance);
}

/* Who had events is asked about first, twice, which makes a rate; then all have their turn. */
static void test_names_of_who_had_events(void **state)
{
	uint64_t ids[101];

	(void)state;
	take_many(99);
	take_listed(50, 3);
	take_listed(60, 1);
	draw();
	for (int i = 0; i < 2; i++) {
		assert_int_equal(watch_view_asked(&screen.view, ids), WATCH_AT_ONCE);
		assert_int_equal(ids[WATCH_ON_PAGE], 50);
		assert_int_equal(ids[WATCH_ON_PAGE + 1], 60);
		take(50, 0, ", \"limits_met\": []");
		take(60, 0, ", \"limits_met\": null"); /* its worker says nothing */
		take_listed(50, 3);
	}
	watch_view_asked(&screen.view, ids);
	assert_int_not_equal(ids[WATCH_ON_PAGE], 50);
	for (int id = 20; id < 60; id++)
		take_listed(id, 4);
	draw();
	assert_int_equal(watch_view_asked(&screen.view, ids), WATCH_AT_ONCE);
	assert_int_equal(ids[WATCH_ON_PAGE + WATCH_STIRRED - 1], 23);
	for (int i = WATCH_ON_PAGE + WATCH_STIRRED; i < WATCH_AT_ONCE; i++)
		assert_true(ids[i] < 20 || ids[i] > 59);
}

/* However many have events all the time, everybody is asked about; two looks at one that has are a round apart. */
static void test_nobody_starves(void **state)
{
	uint64_t ids[100];
	unsigned int asked[100] = { 0 }, last[100] = { 0 }, pairs = 0;

	(void)state;
	take_many(99);
	for (unsigned int round = 1; round <= 200; round++) {
		size_t n = watch_view_asked(&screen.view, ids);

		for (size_t i = 0; i < n; i++) {
			int id = (int)ids[i];

			pairs += id >= 50 && id < 80 && last[id] == round - 1;
			last[id] = round;
			asked[id]++;
			take(id, 0, ", \"limits_met\": [{\"name\": \"n\", \"count\": 7, \"per_second\": 0.0, \"over_s\": 2.0}]");
		}
		for (int id = 50; id < 80 && round % 3 == 0; id++)
			take_listed(id, (int)round);
		draw();
	}
	for (int id = 1; id < 100; id++)
		assert_in_range(asked[id], 5, 200);
	assert_in_range(pairs, 300, 800);
}

/* Without a rate of now another look is due, a single one. */
static void test_look_without_a_rate(void **state)
{
	static const char *const first[] = {
		", \"limits_met\": [{\"name\": \"n\", \"count\": 7, \"per_second\": null, \"over_s\": null}]",
		", \"limits_met\": [{\"name\": \"n\", \"count\": 7, \"per_second\": 3.0, \"over_s\": 330.0}]",
	};
	uint64_t ids[100];

	(void)state;
	take_many(99);
	for (int i = 0; i < 2; i++) {
		take(50, 0, first[i]);
		draw();
		watch_view_asked(&screen.view, ids);
		assert_int_equal(ids[WATCH_ON_PAGE], 50);
		take(50, 0, ", \"limits_met\": [{\"name\": \"n\", \"count\": 7, \"per_second\": 0.0, \"over_s\": 2.0}]");
		watch_view_asked(&screen.view, ids);
		assert_int_not_equal(ids[WATCH_ON_PAGE], 50);
	}
}

/* Those on the page are asked about in turn, more often than everybody else. */
static void test_names(void **state)
{
	uint64_t ids[101];
	unsigned int asked[101] = { 0 };
	size_t n;

	(void)state;
	assert_int_equal(watch_view_asked(&screen.view, ids), 0);
	take_many(100);
	press(WATCH_KEY_END);
	for (int i = 0; i < 15; i++) {
		n = watch_view_asked(&screen.view, ids);
		assert_int_equal(n, WATCH_AT_ONCE);
		for (size_t j = 0; j < n; j++)
			asked[ids[j]]++;
	}
	for (int id = 1; id <= 100; id++) /* 15 times 10 of 13, and 15 times 6 of the 87 others */
		assert_in_range(asked[id], id > 87 ? 11 : 1, id > 87 ? 12 : 2);
	/* A terminal without room for a row is not one that has room for all. */
	screen.height = 3;
	draw();
	assert_int_equal(watch_view_asked(&screen.view, ids), WATCH_AT_ONCE);
	/* On no terminal the page has all. */
	screen.height = 0;
	draw();
	assert_int_equal(watch_view_asked(&screen.view, ids), 100);
	watch_view_open(&screen.view, 7);
	assert_int_equal(watch_view_asked(&screen.view, ids), 1);
	assert_int_equal(ids[0], 7);
	screen.view.opened.has_ended = true;
	assert_int_equal(watch_view_asked(&screen.view, ids), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_names),
		TEST(test_names_of_who_had_events),
		TEST(test_nobody_starves),
		TEST(test_look_without_a_rate),
	};

	return cmocka_run_group_tests_name("watch_asked", tests, NULL, NULL);
}
