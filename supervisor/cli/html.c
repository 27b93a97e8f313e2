// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/html.h"

#include <stdbool.h>
#include <string.h>
#include <unistr.h>

#define REPLACEMENT 0xfffd

/* XML 1.0 takes no other controls; and U+FFFE and U+FFFF are no characters. */
static bool is_allowed(ucs4_t character)
{
	return character == '\t' || character == '\n' ||
	       (character >= 0x20 && !(character >= 0x7f && character < 0xa0) && (character & 0xfffe) != 0xfffe);
}

static void put_character(FILE *out, ucs4_t character)
{
	static const char *const escapes[] = {
		['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;",
	};
	uint8_t bytes[6];
	int n;

	if (character < sizeof(escapes) / sizeof(escapes[0]) && escapes[character]) {
		fputs(escapes[character], out);
		return;
	}
	n = u8_uctomb(bytes, is_allowed(character) ? character : REPLACEMENT, sizeof(bytes));
	fwrite(bytes, 1, n > 0 ? n : 0, out);
}

void html_text(FILE *out, const char *text)
{
	size_t n = strlen(text);

	while (n) {
		ucs4_t character;
		int bytes = u8_mbtouc(&character, (const uint8_t *)text, n); /* U+FFFD for what is no UTF-8 */

		put_character(out, character);
		text += bytes;
		n -= bytes;
	}
}

void html_element(FILE *out, const char *name, const char *class, const char *text)
{
	fprintf(out, *class ? "<%s class=\"%s\">" : "<%s>", name, class);
	html_text(out, text);
	fprintf(out, "</%s>", name);
}
