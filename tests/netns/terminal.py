# SPDX-License-Identifier: GPL-2.0-or-later
"""A terminal, which is tmux, and a command in it."""
import os
import pathlib
import re
import shlex
import subprocess
import tempfile

from lab import SLOWNESS, run, wait_for

DEADLINE = 30


class Terminal:
    """tmux, and in it a shell that starts a command, and notes what it left."""

    def __init__(self, command, width=80, height=24, **variables):
        self.temporary = tempfile.TemporaryDirectory(prefix="bpftune-terminal-")
        self.directory = pathlib.Path(self.temporary.name)
        self.socket = self.directory / "tmux"
        words = shlex.join(["env", *(f"{name}={value}" for name, value in variables.items()), *command])
        script = f"trap : INT; stty -g >before; {words} 2>said; echo $? >status.new; stty -g >after; mv status.new status; exec sleep infinity"
        environment = {key: value for key, value in os.environ.items() if key not in ("TMUX", "TMUX_PANE", "TERM")}
        # tmux forks its server, which has what it inherits: no pipe of ours.
        subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null", "-u", "new-session", "-d", "-x", str(width), "-y", str(height),
                        f"cd {self.directory} && {script}"], check=True, timeout=30 * SLOWNESS,
                       env={**environment, "LC_ALL": "C.UTF-8", "TERM": "xterm", "SHELL": "/bin/sh"},
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def tmux(self, *words):
        return run("tmux", "-S", self.socket, *words).stdout

    def lines(self):
        return self.tmux("capture-pane", "-p").splitlines()

    def shows(self, pattern, deadline=DEADLINE):
        """Waits for a line that the pattern matches somewhere; gives the match."""
        def found():
            return next((match for line in self.lines() if (match := re.search(pattern, line))), None)
        try:
            return wait_for(found, deadline, pattern)
        except AssertionError as error:
            raise AssertionError(f"{error}; the terminal has\n" + "\n".join(self.lines())) from None

    def hides(self, pattern, deadline=DEADLINE):
        wait_for(lambda: not any(re.search(pattern, line) for line in self.lines()), deadline, f"no {pattern}")

    def type(self, *keys):
        self.tmux("send-keys", *keys)

    def pid(self):
        """Of the command, whose parent is the shell."""
        shell = self.tmux("display-message", "-p", "#{pane_pid}").strip()
        return int(wait_for(lambda: run("ps", "-o", "pid=", "--ppid", shell).stdout, DEADLINE, "the command").split()[0])

    def ended(self):
        """Waits for its end: the exit status, once the terminal is as before; and what was said."""
        wait_for((self.directory / "status").exists, DEADLINE, "its end")
        assert (self.directory / "before").read_text() == (self.directory / "after").read_text()
        wait_for(lambda: self.tmux("display-message", "-p", "#{alternate_on} #{cursor_flag}") == "0 1\n", DEADLINE, "the old screen")
        return int((self.directory / "status").read_text()), (self.directory / "said").read_text()

    def remove(self):
        run("tmux", "-S", self.socket, "kill-server", check=False)
        self.temporary.cleanup()
