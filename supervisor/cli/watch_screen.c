// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/cli/watch_screen.h"

#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termcap.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "supervisor/cli/watch_view.h"

#define ESCAPE_MS 25 /* after which an escape is the key, and not the beginning of another's sequence */

/* Of one that is not, newterm(3) says so, and leaks. */
static bool is_known_terminal(void)
{
	const char *name = getenv("TERM");

	return name && tgetent(NULL, name) == 1;
}

int screen_open(int fd)
{
	int keys = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	FILE *in = keys < 0 ? NULL : fdopen(keys, "r");

	/* What is printed is UTF-8, whatever the environment says. */
	if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
		setlocale(LC_CTYPE, "C.UTF-8");
	set_escdelay(ESCAPE_MS);
	if (!in || !is_known_terminal() || !newterm(NULL, stdout, in)) {
		if (in)
			fclose(in);
		return -ENOTTY;
	}
	if (!tigetstr("cup")) { /* it cannot move the cursor */
		endwin();
		return -ENOTTY;
	}
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	leaveok(stdscr, TRUE);
	curs_set(0);
	return 0;
}

void screen_close(void)
{
	endwin();
}

void screen_size(int *ret_width, int *ret_height)
{
	struct winsize size = { 0 };

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col &&
	    is_term_resized(size.ws_row, size.ws_col))
		resizeterm(size.ws_row, size.ws_col);
	*ret_width = COLS > 0 ? COLS : 1;
	*ret_height = LINES > 0 ? LINES : 1;
}

static chtype attribute_of(enum watch_style style)
{
	static const chtype attributes[] = {
		[WATCH_PLAIN] = A_NORMAL,
		[WATCH_STRONG] = A_BOLD,
		[WATCH_DIM] = A_DIM,
		[WATCH_TITLE] = A_REVERSE,
		[WATCH_SELECTED] = A_REVERSE | A_BOLD,
	};

	return attributes[style];
}

void screen_show(const struct watch_lines *lines)
{
	erase();
	for (size_t i = 0; i < lines->n && (int)i < LINES; i++) {
		chtype attribute = attribute_of(lines->items[i].style);

		attrset((int)attribute);
		mvaddstr((int)i, 0, lines->items[i].text);
		/* To the edge; after a line that is as wide as the terminal, the cursor is in the next. */
		if (attribute & A_REVERSE && getcury(stdscr) == (int)i)
			chgat(-1, attribute, 0, NULL);
	}
	refresh();
}

bool screen_key(uint32_t *ret_key)
{
	static const struct {
		wint_t code;
		uint32_t key;
	} named[] = {
		{ KEY_UP, WATCH_KEY_UP },	    { KEY_DOWN, WATCH_KEY_DOWN },   { KEY_PPAGE, WATCH_KEY_PAGE_UP },
		{ KEY_NPAGE, WATCH_KEY_PAGE_DOWN }, { KEY_HOME, WATCH_KEY_HOME },   { KEY_END, WATCH_KEY_END },
		{ KEY_ENTER, WATCH_KEY_ENTER },	    { KEY_LEFT, WATCH_KEY_ESCAPE }, { KEY_RIGHT, WATCH_KEY_ENTER },
		{ KEY_BACKSPACE, WATCH_KEY_ERASE },
	};
	wint_t code = 0;
	int kind = get_wch(&code);

	if (kind == ERR)
		return false;
	*ret_key = 0; /* no key of ours: it does nothing */
	if (kind == KEY_CODE_YES) {
		for (size_t i = 0; i < ARRAY_SIZE(named); i++)
			if (named[i].code == code)
				*ret_key = named[i].key;
	} else if (code == '\r' || code == '\n') {
		*ret_key = WATCH_KEY_ENTER;
	} else if (code == 0x1b) {
		*ret_key = WATCH_KEY_ESCAPE;
	} else if (code == 0x7f || code == '\b') {
		*ret_key = WATCH_KEY_ERASE;
	} else {
		*ret_key = code;
	}
	return true;
}
