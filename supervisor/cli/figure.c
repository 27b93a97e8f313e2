// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/figure.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATE " Mbit/s"

/* A number in digits, maybe with a fraction; nothing else that strtod() takes, such as "nan" or "0x1". NULL: none. */
static const char *parse_number(const char *text, double *ret_number)
{
	size_t n = strspn(text, "0123456789");
	char digits[32];

	if (text[n] == '.' && isdigit((unsigned char)text[n + 1]))
		n += 1 + strspn(text + n + 1, "0123456789");
	if (!isdigit((unsigned char)*text) || n >= sizeof(digits))
		return NULL;
	memcpy(digits, text, n);
	digits[n] = '\0';
	*ret_number = strtod(digits, NULL);
	return text + n;
}

static bool rate_of(const char *text, struct figure *ret_figure)
{
	const char *unit = strstr(text, RATE), *number = unit;

	if (!unit)
		return false;
	while (number > text && (isdigit((unsigned char)number[-1]) || number[-1] == '.'))
		number--;
	if (parse_number(number, &ret_figure->value) != unit)
		return false;
	snprintf(ret_figure->name, sizeof(ret_figure->name), "Mbit/s");
	return true;
}

/* "NUMBER NAME", where a name is one word. NULL: the text does not begin so. */
static const char *parse_count(const char *text, double *ret_number, char ret_name[48])
{
	size_t n;

	text = parse_number(text, ret_number);
	if (!text || *text != ' ')
		return NULL;
	n = strcspn(++text, " ,;:");
	if (!n || n >= 48)
		return NULL;
	memcpy(ret_name, text, n);
	ret_name[n] = '\0';
	return text + n;
}

static double share(double trouble, double work)
{
	return work > 0 ? 100 * trouble / work : 0;
}

/* Of a step that was of no use: how much trouble there has been since. */
static bool share_since(const char *text, double *ret_share)
{
	static const char before[] = " before it, ", per[] = " per ";
	double trouble, work;

	text = strncmp(text, before, strlen(before)) ? NULL : parse_number(text + strlen(before), &trouble);
	if (!text || strncmp(text, per, strlen(per)) != 0 || !parse_number(text + strlen(per), &work))
		return false;
	*ret_share = share(trouble, work);
	return true;
}

/* As worker/remedy.c says it: "12 ReasmFails per 340 ReasmReqds in 2 s". */
static bool trouble_of(const char *text, struct figure *ret_figure)
{
	static const char no_use[] = "the last step was of no use: ", per[] = " per ";
	double trouble, work;
	char name[48], unit[48];

	if (!strncmp(text, no_use, strlen(no_use)))
		text += strlen(no_use);
	text = parse_count(text, &trouble, name);
	text = text && !strncmp(text, per, strlen(per)) ? parse_count(text + strlen(per), &work, unit) : NULL;
	if (!text)
		return false;
	ret_figure->value = share(trouble, work);
	share_since(text, &ret_figure->value);
	snprintf(ret_figure->name, sizeof(ret_figure->name), "%s per 100 %s", name, unit);
	return true;
}

bool figure_of_reason(const char *text, struct figure *ret_figure)
{
	return rate_of(text, ret_figure) || trouble_of(text, ret_figure);
}

bool figure_of_value(const char *value, unsigned int place, double *ret_number)
{
	value += strspn(value, " \t");
	while (place--) {
		value += strcspn(value, " \t");
		value += strspn(value, " \t");
	}
	value = parse_number(value, ret_number);
	return value && (!*value || isspace((unsigned char)*value));
}
