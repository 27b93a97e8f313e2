// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "ipc/cleanup.h"
#include "ipc/heap.h"
#include "ipc/pool.h"

#define OBJECTS 2000 /* of several chunks */

struct object {
	char text[100];
	void *at;
};

/* Nobody else's, aligned, and all zeros, also when another had it before. */
static void test_objects(void **state)
{
	static struct object *objects[OBJECTS];
	struct pool pool = { 0 };

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (size_t i = round ? OBJECTS / 2 : 0; i < OBJECTS; i++) {
			objects[i] = pool_get(&pool, sizeof(*objects[i]));
			assert_non_null(objects[i]);
			assert_int_equal((uintptr_t)objects[i] % _Alignof(max_align_t), 0);
			for (size_t j = 0; j < sizeof(*objects[i]); j++)
				assert_int_equal(((char *)objects[i])[j], 0);
			memset(objects[i], 0xff, sizeof(*objects[i]));
			objects[i]->at = objects[i];
		}
		for (size_t i = 0; i < OBJECTS; i++)
			assert_ptr_equal(objects[i]->at, objects[i]);
		for (size_t i = OBJECTS / 2; i < OBJECTS; i++)
			pool_put(&pool, objects[i]);
	}
	for (size_t i = 0; i < OBJECTS / 2; i++)
		pool_put(&pool, objects[i]);
	pool_close(&pool);
	pool_close(&pool);
	objects[0] = pool_get(&pool, sizeof(*objects[0])); /* as if new */
	assert_non_null(objects[0]);
	pool_put(&pool, objects[0]);
	pool_close(&pool);
}

/* Of each size: nobody else's, aligned, all zeros, also when another had it before. */
static void test_heap(void **state)
{
	static const size_t sizes[] = { 0, 1, 48, 49, 300, 4096, HEAP_POOL_BYTES_MAX, HEAP_POOL_BYTES_MAX + 1, 100000 };
	struct heap heap = { 0 };
	char *objects[2 * ARRAY_SIZE(sizes)];

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
			size_t bytes = sizes[i / 2];

			objects[i] = heap_get(&heap, bytes);
			assert_non_null(objects[i]);
			assert_int_equal((uintptr_t)objects[i] % _Alignof(max_align_t), 0);
			for (size_t j = 0; j < bytes; j++)
				assert_int_equal(objects[i][j], 0);
			memset(objects[i], 'a' + (int)i, bytes);
		}
		for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
			for (size_t j = 0; j < sizes[i / 2]; j++)
				assert_int_equal(objects[i][j], 'a' + (int)i);
			heap_put(&heap, objects[i]);
		}
	}
	assert_null(heap_get(&heap, SIZE_MAX));
	assert_null(heap_get(&heap, HEAP_BYTES_MAX + 1));
	heap_put(&heap, NULL);
	objects[0] = heap_strdup(&heap, "text");
	assert_string_equal(objects[0], "text");
	heap_put(&heap, objects[0]);
	heap_close(&heap);
}

/* What there was stays, whether the object grows into another pool, out of all pools, or is made smaller. */
static void test_resize(void **state)
{
	static const size_t sizes[] = { 10, 48, 49, 5000, HEAP_POOL_BYTES_MAX + 1, 100000, 10, 60000 };
	struct heap heap = { 0 };
	char *object = NULL;
	size_t kept = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		object = heap_resize(&heap, object, sizes[i]);
		assert_non_null(object);
		kept = kept < sizes[i] ? kept : sizes[i];
		for (size_t j = 0; j < kept; j++)
			assert_int_equal(object[j], (char)j);
		for (size_t j = 0; j < sizes[i]; j++)
			object[j] = (char)j;
		kept = sizes[i];
	}
	assert_null(heap_resize(&heap, object, HEAP_BYTES_MAX + 1));
	assert_int_equal(object[1], 1);
	heap_put(&heap, object);
	heap_close(&heap);
}

#ifndef __SANITIZE_ADDRESS__
/* A child has none of it: not even an address at which a system call could read. */
static void assert_no_childs(const char *object)
{
	int status, fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(write(fds[1], object, 1) < 0 && errno == EFAULT ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(write(fds[1], object, 1), 1);
	close(fds[0]);
	close(fds[1]);
}

static void test_children_have_none(void **state)
{
	static const size_t sizes[] = { 1, 64, 5000, HEAP_POOL_BYTES_MAX + 1 };
	struct heap heap = { 0 };
	struct pool pool = { 0 };
	void *object = pool_get(&pool, 64);

	(void)state;
	assert_no_childs(object);
	pool_put(&pool, object);
	pool_close(&pool);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		object = heap_get(&heap, sizes[i]);
		assert_no_childs(object);
		heap_put(&heap, object);
	}
	heap_close(&heap);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_heap),
		cmocka_unit_test(test_resize),
#ifndef __SANITIZE_ADDRESS__
		cmocka_unit_test(test_children_have_none),
#endif
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
