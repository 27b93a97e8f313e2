// SPDX-License-Identifier: GPL-2.0-or-later
/* One tunable, one owner, whichever way its name is written. */
#include <errno.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "supervisor/kernel/plugin.h"

static const struct bpftune_tunable of_first[] = {
	{ .name = "net.ipv4.tcp_wmem" },
	{ .name = "net.ipv4.conf.eth0/1.rp_filter" },
};
static const struct bpftune_tuner first = { .name = "first", .tunables = of_first, .n_tunables = ARRAY_SIZE(of_first) };
static const struct bpftune_tuner none = { .name = "none" };

static void test_owned(void **state)
{
	static const struct {
		struct bpftune_tunable tunable;
		bool owned;
	} cases[] = {
		{ { .name = "net.ipv4.tcp_wmem" }, true },
		{ { .name = "net.ipv4.tcp_rmem" }, false },
		{ { .name = "net.ipv4.conf.eth0/1.rp_filter" }, true },
		{ { .name = "net.ipv4.conf.eth0.1.rp_filter" }, false },
		{ { .name = "/a" }, false }, /* no sysctl's name */
	};
	const struct plugins plugins = { .n = 2, .tuners = { &none, &first } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct bpftune_tunable both[] = { { .name = "net.core.somaxconn" }, cases[i].tunable };
		const struct bpftune_tuner second = { .name = "second",
						      .tunables = both,
						      .n_tunables = ARRAY_SIZE(both) };
		const struct bpftune_tuner *owner = NULL;
		const struct bpftune_tunable *found = plugins_find_owned(&plugins, &second, &owner);

		if (found != (cases[i].owned ? &both[1] : NULL) || owner != (cases[i].owned ? &first : NULL))
			fail_msg("%s", cases[i].tunable.name);
	}
}

/* A removed tuner's tunables are its own, to be rolled back, until a later tuner owns them. */
static void test_owner(void **state)
{
	static const struct bpftune_tuner one = { .name = "one", .tunables = of_first, .n_tunables = 1 };
	struct plugins plugins = { .n = 2, .tuners = { &first, &one }, .states = { PLUGIN_REMOVED } };

	(void)state;
	assert_false(plugins_is_owner(&plugins, 0, 0));
	assert_true(plugins_is_owner(&plugins, 0, 1));
	assert_true(plugins_is_owner(&plugins, 1, 0));
	plugins.states[1] = PLUGIN_REMOVED; /* the last one to go */
	assert_false(plugins_is_owner(&plugins, 0, 0));
	assert_true(plugins_is_owner(&plugins, 1, 0));
}

/* What a removed tuner owned is free for another; of the tuner, nothing is left that could be called. */
static void test_removed(void **state)
{
	struct plugins plugins = { .n = 1, .tuners = { &first }, .paths = { (char[]){ "/first.so" } } };
	const struct bpftune_tuner *owner;

	(void)state;
	assert_int_equal(plugins_find_path(&plugins, "/first.so"), 0);
	assert_non_null(plugins_find_owned(&plugins, &first, &owner));
	plugins_remove(&plugins, 0);
	assert_int_equal(plugins_find_path(&plugins, "/first.so"), -1);
	assert_null(plugins_find_owned(&plugins, &first, &owner));
	assert_string_equal(plugins.tuners[0]->name, "first");
	assert_ptr_equal(plugins.tuners[0]->tunables, of_first);
	assert_int_equal(plugins.tuners[0]->n_scenarios, 0);
	assert_null(plugins.tuners[0]->event);
}

static void test_file_names(void **state)
{
	static const char *const tuners[] = { "a.so", "poke.so", "x.1.so" };
	static const char *const others[] = { ".so", ".poke.so", "poke.so.dpkg-new", "poke.so;5f3a", "poke", "poke.so~",
					      "so",  "" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tuners); i++)
		assert_true(plugin_file_is_tuner(tuners[i]));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(plugin_file_is_tuner(others[i]));
}

/* --- the note ----------------------------------------------------------------------------------- */

/* A whole shared object, as far as the note goes. */
struct object {
	ElfW(Ehdr) header;
	ElfW(Phdr) segment;
	struct {
		ElfW(Nhdr) header;
		char owner[4];
		uint32_t note;
	} other; /* another owner's, before ours */
	struct bpftune_note_section section;
};

static struct object good_object(void)
{
	return (struct object){
		.header = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3,
					 sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32,
					 __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB,
					 EV_CURRENT },
			    .e_type = ET_DYN,
			    .e_version = EV_CURRENT,
			    .e_ehsize = sizeof(ElfW(Ehdr)),
			    .e_phoff = offsetof(struct object, segment),
			    .e_phentsize = sizeof(ElfW(Phdr)),
			    .e_phnum = 1 },
		.segment = { .p_type = PT_NOTE,
			     .p_offset = offsetof(struct object, other),
			     .p_filesz = sizeof(struct object) - offsetof(struct object, other),
			     .p_align = 4 },
		.other = { { 4, 4, 1 }, "GNU", 7 },
		.section = { 8,
			     sizeof(struct bpftune_note),
			     BPFTUNE_NOTE_TUNER,
			     BPFTUNE_NOTE_OWNER,
			     { BPFTUNE_ABI, "some" } },
	};
}

static int note_of(const void *content, size_t size, struct bpftune_note *ret_note)
{
	_cleanup_fclose_ FILE *file = tmpfile();

	assert_non_null(file);
	assert_int_equal(fwrite(content, 1, size, file), size);
	fflush(file);
	return plugin_file_note(fileno(file), ret_note);
}

static void test_note(void **state)
{
	struct object object = good_object();
	struct bpftune_note note;

	(void)state;
	assert_int_equal(note_of(&object, sizeof(object), &note), 0);
	assert_int_equal(note.abi, BPFTUNE_ABI);
	assert_string_equal(note.name, "some");
	object.section.note.abi = BPFTUNE_ABI + 1;
	memset(object.section.note.name, 'x', sizeof(object.section.note.name) - 1);
	assert_int_equal(note_of(&object, sizeof(object), &note), 0);
	assert_int_equal(note.abi, BPFTUNE_ABI + 1);
	assert_int_equal(strlen(note.name), sizeof(note.name) - 1);
}

static void test_no_note(void **state)
{
	static const struct {
		const char *what;
		size_t at; /* of a 32-bit word */
		uint32_t word;
	} cases[] = {
		{ "no notes", offsetof(struct object, segment.p_type), PT_LOAD },
		{ "owner's length", offsetof(struct object, section.owner_bytes), 7 },
		{ "owner without end", offsetof(struct object, section.owner_bytes), UINT32_MAX },
		{ "length", offsetof(struct object, section.note_bytes), 4 },
		{ "note without end", offsetof(struct object, section.note_bytes), UINT32_MAX },
		{ "type", offsetof(struct object, section.type), 2 },
		{ "owner", offsetof(struct object, section.owner), 0 },
		{ "no name", offsetof(struct object, section.note.name), 0 },
		{ "the note before has no end", offsetof(struct object, other.header.n_descsz), UINT32_MAX },
		{ "the note before is long", offsetof(struct object, other.header.n_descsz), 60 },
	};
	struct object object = good_object();
	struct bpftune_note note = { .abi = 99 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		object = good_object();
		memcpy((char *)&object + cases[i].at, &cases[i].word, sizeof(cases[i].word));
		if (note_of(&object, sizeof(object), &note) != -ENOENT)
			fail_msg("%s", cases[i].what);
	}
	object = good_object();
	memset(object.section.note.name, 'x', sizeof(object.section.note.name));
	assert_int_equal(note_of(&object, sizeof(object), &note), -ENOENT);
	object = good_object();
	object.segment.p_filesz -= 1;
	assert_int_equal(note_of(&object, sizeof(object), &note), -ENOENT);
	assert_int_equal(note.abi, 99);
}

static void test_no_shared_object(void **state)
{
	struct object object = good_object(), spoilt[7];
	struct bpftune_note note;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(spoilt); i++)
		spoilt[i] = object;
	spoilt[0].header.e_type = ET_EXEC;
	spoilt[1].header.e_ident[EI_CLASS] = sizeof(void *) == 8 ? ELFCLASS32 : ELFCLASS64;
	spoilt[2].segment.p_filesz += 1;
	spoilt[3].segment.p_offset = -(size_t)8; /* with the size, it wraps */
	spoilt[4].segment.p_filesz = -(size_t)8;
	spoilt[5].header.e_phnum = 1000;
	spoilt[6].header.e_shoff = -(size_t)8, spoilt[6].header.e_shnum = 1,
	spoilt[6].header.e_shentsize = sizeof(ElfW(Shdr));
	for (size_t i = 0; i < ARRAY_SIZE(spoilt); i++)
		if (note_of(&spoilt[i], sizeof(object), &note) != -ENOEXEC)
			fail_msg("%zu", i);
	for (size_t size = 0; size < sizeof(object); size += 4)
		assert_int_equal(note_of(&object, size, &note), -ENOEXEC);
	assert_int_equal(note_of("#!/bin/sh\n", 10, &note), -ENOEXEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owned),		cmocka_unit_test(test_owner), cmocka_unit_test(test_removed),
		cmocka_unit_test(test_file_names),	cmocka_unit_test(test_note),  cmocka_unit_test(test_no_note),
		cmocka_unit_test(test_no_shared_object)
	};

	return cmocka_run_group_tests_name("plugin", tests, NULL, NULL);
}
