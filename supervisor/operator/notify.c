// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/operator/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/cleanup.h"

int notify_address(const char *name, struct sockaddr_un *ret_address, socklen_t *ret_size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || !name[1])
		return -EAFNOSUPPORT;
	if (length >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, name, length);
	if (name[0] == '@')
		address.sun_path[0] = '\0'; /* abstract: its length is part of the name, unix(7) */
	*ret_address = address;
	*ret_size = offsetof(struct sockaddr_un, sun_path) + length + (name[0] == '/');
	return 0;
}

uint64_t notify_watchdog_ms(const char *usec, const char *for_pid, pid_t own_pid)
{
	unsigned long long us;
	char *end;

	if (!usec || (for_pid && strtoll(for_pid, NULL, 10) != own_pid))
		return 0;
	us = strtoull(usec, &end, 10);
	if (end == usec || *end || us == 0)
		return 0;
	return us < 2000 ? 1 : us / 2000;
}

void notify_open(struct notify *notify)
{
	const char *name = getenv("NOTIFY_SOCKET");

	*notify = (struct notify){ .fd = -1 };
	if (name && notify_address(name, &notify->address, &notify->address_size) == 0)
		notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (notify->fd >= 0)
		notify->watchdog_ms = notify_watchdog_ms(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"), getpid());
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void notify_close(struct notify *notify)
{
	close_fdp(&notify->fd);
}

/* Addressed anew each time: the manager may have been executed again in the meantime. */
int notify_send(const struct notify *notify, const char *lines)
{
	if (notify->fd < 0)
		return 0;
	if (sendto(notify->fd, lines, strlen(lines), MSG_NOSIGNAL, (const struct sockaddr *)&notify->address,
		   notify->address_size) < 0)
		return -errno;
	return 0;
}
