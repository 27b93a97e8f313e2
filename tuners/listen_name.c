// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/listen_name.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

const char *listen_name(const struct listen_queue *queue, char name[LISTEN_NAME_BYTES])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool is_mapped = !memcmp(queue->address, mapped, sizeof(mapped));
	const uint32_t *address = queue->address;
	char text[INET6_ADDRSTRLEN] = "";

	if (!address[3] && (is_mapped || (!address[0] && !address[1] && !address[2]))) {
		snprintf(name, LISTEN_NAME_BYTES, "port %u", queue->port);
		return name;
	}
	if (is_mapped)
		inet_ntop(AF_INET, &address[3], text, sizeof(text));
	else
		inet_ntop(AF_INET6, address, text, sizeof(text));
	snprintf(name, LISTEN_NAME_BYTES, "%s port %u", text, queue->port);
	return name;
}
