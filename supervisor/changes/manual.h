/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Administrator first: whoever else writes a tuner's tunable takes that tuner over, in that instance. */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_MANUAL_H
#define BPFTUNE_SUPERVISOR_CHANGES_MANUAL_H

#include "supervisor/changes/changes.h"

/* A worker found another value than we left: written while nobody looked, or by netlink. */
void manual_found(struct changes *changes, struct instance *instance, const struct bpftune_owner *owner, const char *value);

/*
 * Somebody else's value of a tunable whose `higher_is_base`: it is higher than the value before, and the tuner is active.
 * Then the tuner goes on from there.
 */
bool manual_is_base(const struct changes *changes, const struct instance *instance, const struct bpftune_owner *owner,
		    const char *value);

/*
 * The first value that is read of an inherited tunable is not the host's: somebody wrote it before we looked. False, if
 * the tuner has stepped aside there before and was resumed.
 */
bool manual_is_explicit(const struct changes *changes, const struct instance *instance, const struct bpftune_owner *owner,
			const char *value);

/*
 * A worker has looked again, as it was asked to at that time (uv_hrtime()). If it was asked after the last write was told of,
 * and all of the tuner's values are still ours, the kernel did not take what was written, or it was another namespace's: the
 * tuner is back in service.
 */
void manual_looked_again(struct changes *changes, struct instance *instance, uint16_t number, uint64_t asked_ns);

#endif
