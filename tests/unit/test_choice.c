// SPDX-License-Identifier: GPL-2.0-or-later
/* What an operator calls a namespace while no supervisor runs. */
#include "supervisor/changes/choice.h"
#include "tests/unit/temporary_ledger.h"

/* Namespaces that the ledger names; those of odd cookies exist. */
static const struct {
	uint64_t cookie;
	const char *name, *container_id;
} known[] = {
	{ 1, "web", NULL },
	{ 2, "web", NULL },
	{ 3, "db", NULL },
	{ 5, "db", NULL },
	{ 7, "abc123", "abc123" },
	{ 9, "abd456", "abd456" },
	{ 11, "abd456/in", "abd456/in" },
	{ 12, "fed1", "fed1" },
	{ 13, "fed2", "fed2" },
	{ 14, "gone", NULL },
	{ 16, "gone", NULL },
	{ 17, NULL, NULL },
};

static struct surveyed_netns netns_of[ARRAY_SIZE(known)];

static struct surveyed_netns *make(struct ledger *ledger)
{
	struct surveyed_netns *survey = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		assert_int_equal(ledger_call_netns(ledger, known[i].cookie, known[i].name, known[i].container_id), 0);
		netns_of[i] = (struct surveyed_netns){ .inode = i + 1, .cookie = known[i].cookie };
		if (known[i].cookie % 2)
			HASH_ADD_INT(survey, inode, &netns_of[i]);
	}
	return survey;
}

static void test_choice(void **state)
{
	static const struct {
		const char *container;
		int err;
		uint64_t cookies; /* bit n: that of cookie n is chosen */
	} cases[] = {
		{ "web", 0, 1 << 1 | 1 << 2 }, /* one that exists, and one that had its name */
		{ "db", -ENOTUNIQ, 0 },	       /* two that exist */
		{ "gone", 0, 1 << 14 | 1 << 16 },
		{ "we", -ENOENT, 0 }, /* a name has no beginning */
		{ "", -ENOENT, 0 },
		{ "abc123", 0, 1 << 7 },
		{ "abc", 0, 1 << 7 },
		{ "ab", -ENOTUNIQ, 0 },
		{ "abd", 0, 1 << 9 }, /* not what is inside of it */
		{ "abd456/in", 0, 1 << 11 },
		{ "fed", -ENOTUNIQ, 0 }, /* whichever was meant, it may be the one that is gone */
		{ "fed1", 0, 1 << 12 },
		{ NULL, 0,
		  1 << 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 |
			  1 << 16 | 1 << 17 },
	};
	struct ledger *ledger = ledger_of(state);
	struct surveyed_netns *survey = make(ledger);
	const struct ledger_netns *netns;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		choice *is_chosen;
		uint64_t cookies = 0;
		int err = choice_of(ledger, survey, cases[i].container, &is_chosen);

		for (netns = ledger->netns; netns && !err; netns = netns->hh.next)
			cookies |= is_chosen(netns, cases[i].container) ? 1ULL << netns->cookie : 0;
		if (err != cases[i].err || cookies != cases[i].cookies)
			fail_msg("%s: %d, %llx", cases[i].container, err, (unsigned long long)cookies);
	}
	HASH_CLEAR(hh, survey);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_a_ledger(test_choice),
	};

	return cmocka_run_group_tests_name("choice", tests, NULL, NULL);
}
