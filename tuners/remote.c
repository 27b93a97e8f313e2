// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/remote.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

const char *remote_text(const struct remote *remote, char text[REMOTE_TEXT_BYTES])
{
	static const __u8 v4_mapped[12] = { [10] = 0xff, [11] = 0xff };
	unsigned int prefix = remote->address[REMOTE_PREFIX];
	struct remote bare = *remote;
	char address[INET6_ADDRSTRLEN] = "";

	bare.address[REMOTE_PREFIX] = 0;
	if (memcmp(bare.address, v4_mapped, sizeof(v4_mapped))) {
		inet_ntop(AF_INET6, bare.address, address, sizeof(address));
		snprintf(text, REMOTE_TEXT_BYTES, "%s/%u", address, prefix ? prefix : 64);
	} else {
		inet_ntop(AF_INET, bare.address + 12, address, sizeof(address));
		snprintf(text, REMOTE_TEXT_BYTES, prefix ? "%s/%u" : "%s", address, prefix);
	}
	return text;
}
