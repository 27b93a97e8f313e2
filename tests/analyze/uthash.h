/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What gcc -fanalyzer and clang-tidy see in the place of <uthash.h>: the same tables, but what a macro does inside is
 * two functions that nobody knows. Expanded in full, a hash of a struct is some hundred branches, which
 * one file's analysis spends minutes on, and of an element that was taken out the analyzers do not see that
 * nothing in the table points to it any more.
 */
#include_next <uthash.h>

unsigned int analyze_hash(const void *key, size_t size);
void *analyze_without(void *head, const void *element);

#undef HASH_FUNCTION
#define HASH_FUNCTION(key, size, value) ((value) = analyze_hash(key, size))
#undef HASH_DELETE
#define HASH_DELETE(hh, head, element) ((head) = analyze_without(head, element))
