/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Readiness and life signs for a service manager: the protocol of sd_notify(3), without its library. */
#ifndef BPFTUNE_SUPERVISOR_OPERATOR_NOTIFY_H
#define BPFTUNE_SUPERVISOR_OPERATOR_NOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
	int fd; /* -1: nobody wants to know */
	struct sockaddr_un address;
	socklen_t address_size;
	uint64_t watchdog_ms; /* how often a life sign is due; 0: never */
};

/* The address of NOTIFY_SOCKET's value: a path, or '@' and an abstract name. */
int notify_address(const char *name, struct sockaddr_un *ret_address, socklen_t *ret_size);

/* Half of WATCHDOG_USEC in ms, so that one life sign may be late; 0 if there is none, or it is for another process. */
uint64_t notify_watchdog_ms(const char *usec, const char *for_pid, pid_t own_pid);

/* Takes the variables out of the environment: they are for this process only. */
void notify_open(struct notify *notify);
void notify_close(struct notify *notify);

/* One datagram of VARIABLE=value lines. Never blocks; -EAGAIN if there is no room just now. */
int notify_send(const struct notify *notify, const char *lines);

#endif
