# SPDX-License-Identifier: GPL-2.0-or-later
"""What a service manager is told (sd_notify(3)), and by whom."""
import contextlib
import os
import pathlib
import signal
import socket
import struct

import pytest

from lab import SLOWNESS, Supervisor, only, wait_for

WATCHDOG_S = 1.0


class Manager:
    """The end that a service manager has: each message comes with the process that sent it."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind("\0" + path[1:] if path.startswith("@") else path)
        self.environment = "env", f"NOTIFY_SOCKET={path}", f"WATCHDOG_USEC={int(WATCHDOG_S * 1e6)}"

    def receive(self, deadline):
        """The lines of the next message, and who sent them."""
        self.socket.settimeout(deadline * SLOWNESS)
        text, ancillary, _, _ = self.socket.recvmsg(4096, 64)
        pid = struct.unpack("3i", next(data for level, kind, data in ancillary if kind == socket.SCM_CREDENTIALS))[0]
        return text.decode().splitlines(), pid

    def remove(self):
        self.socket.close()


class Notifying(Supervisor):
    """Waits for READY=1, and takes the first answer there is then."""
    manager = first = None

    def answers(self):
        if not self.first:
            self.first = self.manager.receive(10)
            self.answered_at_once = super().answers()
        return super().answers()


@pytest.fixture(params=["path", "abstract"])
def notifying(lab, tmp_path, request, monkeypatch):
    manager = lab.keep(Manager(str(tmp_path / "notify") if request.param == "path" else f"@bpftune-{os.getpid()}"))
    monkeypatch.setattr(Notifying, "manager", manager)
    return lab.keep(Notifying(wrap=manager.environment, tuners=only("poke")))


def test_notify(notifying):
    """READY=1 is the first word, and true; then WATCHDOG=1 in time, and STOPPING=1 at the end; all by the supervisor."""
    manager, (lines, pid) = notifying.manager, notifying.first
    assert lines[0] == "READY=1" and notifying.answered_at_once
    assert pid == notifying.pid
    for _ in range(3):
        lines, pid = manager.receive(WATCHDOG_S)
        assert lines[0] == "WATCHDOG=1" and pid == notifying.pid
    notifying.ready("host")
    wait_for(lambda: any("workers: 1" in line for line in manager.receive(WATCHDOG_S)[0]), 5, "the worker in the status")
    notifying.stop()
    left = []
    with contextlib.suppress(BlockingIOError):
        while True:
            lines, pid = manager.receive(0)
            assert pid == notifying.pid
            left.append(lines)
    assert [lines for lines in left if lines[0] != "WATCHDOG=1"] == [["STOPPING=1"]]


def test_workers_have_no_way_to_notify(notifying):
    """None of a worker's descriptors is a socket."""
    notifying.ready("host")
    for worker in notifying.workers().values():
        links = [os.readlink(entry) for entry in pathlib.Path(f"/proc/{worker}/fd").iterdir()]
        assert links and not [link for link in links if link.startswith("socket:")]


def test_stopped_supervisor_gives_no_life_sign(notifying):
    """What the watchdog is for: a loop that stands still is silent, and then speaks again."""
    manager = notifying.manager
    manager.receive(WATCHDOG_S)
    os.kill(notifying.pid, signal.SIGSTOP)
    wait_for(lambda: pathlib.Path(f"/proc/{notifying.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    try:
        with pytest.raises(TimeoutError):
            while True:     # what was sent before
                manager.receive(WATCHDOG_S)
    finally:
        os.kill(notifying.pid, signal.SIGCONT)
    assert manager.receive(WATCHDOG_S)[0][0] == "WATCHDOG=1"
