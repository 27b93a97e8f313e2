# SPDX-License-Identifier: GPL-2.0-or-later
"""The log daemon is restarted: it gets what is logged from then on, and is told how much it has not got."""
import contextlib
import re
import socket

import pytest

from lab import Host, only, said, wait_for

pytestmark = pytest.mark.alone


class Daemon:
    """Takes datagrams at a path."""

    def __init__(self, path):
        self.path, self.text = path, ""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(path))

    def took(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.text += self.socket.recv(65536).decode()
        return self.text

    def remove(self):
        self.socket.close()
        self.path.unlink(missing_ok=True)


# In a mount namespace of its own, in which the given directory is /run; the log goes where it goes by itself.
WITH_RUN = """mount --bind "$0" /run
for word; do
    shift
    [ "$word" = --stderr ] || set -- "$@" "$word"
done
exec "$@"
"""


def test_journal_restarts(lab, tmp_path):
    path = tmp_path / "systemd/journal/socket"
    path.parent.mkdir(parents=True)
    journal = lab.keep(Daemon(path))
    supervisor = lab.supervisor(tuners=only("poke"), wrap=("unshare", "--mount", "sh", "-ec", WITH_RUN, tmp_path))
    supervisor.ready("host")

    def learn(count):
        """One record more: a verdict about "poke 0"."""
        Host().poke("learn")
        said(supervisor, "host", "poke 0: is ", count)

    learn(1)
    wait_for(lambda: "MESSAGE=host poke: poke 0: is 1\n" in journal.took(), 3, "the journal to have it")
    journal.remove()
    learn(2)
    learn(3)
    journal = lab.keep(Daemon(path))
    learn(4)
    wait_for(lambda: "poke 0: is 0\n" in journal.took(), 3, "the journal to go on")
    missed, = re.findall(r"^MESSAGE=- (\d+) log records were not written here$", journal.text, re.M)
    assert int(missed) >= 2 and "is 2" not in journal.text and "is 3" not in journal.text
    assert journal.text.startswith(f"MESSAGE=- {missed} log records")
