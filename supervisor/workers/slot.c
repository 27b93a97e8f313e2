// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/workers/slot.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "ipc/cleanup.h"

static int reserve(const struct slots *slots, struct slot *slot)
{
	for (size_t i = 0; i < N_WORKER_FDS; i++) {
		slot->fds[i] = fcntl(slots->null_fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		if (slot->fds[i] < 0)
			return -errno;
	}
	return 0;
}

int slots_reserve(struct slots *slots)
{
	int high, err = 0;

	*slots = (struct slots){ .null_fd = open("/dev/null", O_RDWR | O_CLOEXEC) };
	high = slots->null_fd < 0
		       ? -1
		       : fcntl(slots->null_fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1 + SLOTS_MAX * N_WORKER_FDS);
	if (high < 0)
		err = -errno;
	close_fdp(&slots->null_fd);
	slots->null_fd = high;
	while (!err && slots->n < SLOTS_MAX) {
		err = reserve(slots, &slots->slots[slots->n]);
		slots->n += !err;
	}
	return err;
}

struct slot *slot_find_free(struct slots *slots)
{
	for (size_t i = 0; i < slots->n; i++)
		if (!slots->slots[i].is_taken)
			return &slots->slots[i];
	return NULL;
}

int slot_take(struct slots *slots, struct slot *slot, const int fds[N_WORKER_FDS])
{
	slot->is_taken = true;
	slots->n_taken++;
	for (size_t i = 0; i < N_WORKER_FDS; i++)
		if (fds[i] >= 0 && dup3(fds[i], slot->fds[i], O_CLOEXEC) < 0) {
			int err = -errno;

			slot_release(slots, slot);
			return err;
		}
	return 0;
}

void slot_release(struct slots *slots, struct slot *slot)
{
	bool is_lost = false;

	for (size_t i = 0; slot && i < N_WORKER_FDS; i++)
		if (dup3(slots->null_fd, slot->fds[i], O_CLOEXEC) < 0) {
			close(slot->fds[i]); /* our limit was lowered: another may get the number */
			is_lost = true;
		}
	if (!slot || is_lost)
		return;
	slot->is_taken = false;
	slots->n_taken--;
}

void slots_close(struct slots *slots)
{
	for (size_t i = 0; i < slots->n; i++)
		for (size_t j = 0; j < N_WORKER_FDS; j++)
			close(slots->slots[i].fds[j]);
	if (slots->n)
		close_fdp(&slots->null_fd);
	slots->n = 0;
}
