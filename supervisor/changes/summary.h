/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What has come of it all, said at the supervisor's end. */
#ifndef BPFTUNE_SUPERVISOR_CHANGES_SUMMARY_H
#define BPFTUNE_SUPERVISOR_CHANGES_SUMMARY_H

struct supervisor;

/* One record for each tunable that was changed, with the sysctl(8) line that sets its value elsewhere. */
void summary_log(struct supervisor *s);

#endif
