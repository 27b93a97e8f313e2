// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/instances/known.h"

#include <stdlib.h>

#include "ipc/unshared.h"

struct known_netns *known_add(struct instances *instances, uint32_t inode, pid_t tid)
{
	struct known_netns *known;

	HASH_FIND_INT(instances->known, &inode, known);
	if (known)
		return known;
	known = unshared_alloc(sizeof(*known));
	if (!known)
		return NULL;
	known->inode = inode;
	known->tid = tid;
	HASH_ADD_INT(instances->known, inode, known);
	return known;
}

bool known_take(struct instances *instances, struct instance *instance)
{
	struct known_netns *known;

	HASH_FIND_INT(instances->known, &instance->view.netns_inode, known);
	if (!known)
		return false;
	instance->places = known->places;
	instance->tid = known->tid;
	HASH_DEL(instances->known, known);
	unshared_free(known);
	return true;
}

void known_forget(struct instances *instances)
{
	struct known_netns *known, *next;

	HASH_ITER(hh, instances->known, known, next) {
		HASH_DEL(instances->known, known);
		place_free(known->places);
		unshared_free(known);
	}
}
