// SPDX-License-Identifier: GPL-2.0-or-later
#include "tuners/remote.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

const char *remote_text(const struct remote *remote, char text[REMOTE_TEXT_BYTES])
{
	static const __u8 v4_mapped[12] = { [10] = 0xff, [11] = 0xff };
	char address[INET6_ADDRSTRLEN] = "";

	if (!memcmp(remote->address, v4_mapped, sizeof(v4_mapped))) {
		inet_ntop(AF_INET, remote->address + 12, address, sizeof(address));
		snprintf(text, REMOTE_TEXT_BYTES, "%s", address);
	} else {
		inet_ntop(AF_INET6, remote->address, address, sizeof(address));
		snprintf(text, REMOTE_TEXT_BYTES, "%s/64", address);
	}
	return text;
}
