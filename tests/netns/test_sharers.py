# SPDX-License-Identifier: GPL-2.0-or-later
"""A container that shares the host's namespace is named where the host's values change for it: in the host's log and in its own."""
import subprocess
import sys

import pytest

from lab import Host, kept_sysctls, only, said, sysctl_path, wait_for
from sharer import FULL_QUEUE, Program, Sharer
from test_tcp_mem import SMALL, TCP_MEM, Load, allocated

SOMAXCONN, RMEM_MAX = "net.core.somaxconn", "net.core.rmem_max"
START = 300000

WISH = """
import socket, sys
socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def supervisor(shared):
    supervisor = shared.supervisor(tuners=only("listen", "sock_buf", "tcp_mem"))
    supervisor.ready("host")
    return supervisor


@pytest.fixture(scope="module")
def sharer(shared, supervisor):
    sharer = Sharer(shared, 0x7c)
    assert supervisor.ready(sharer.name)["netns"]["shared"]
    return sharer


@pytest.fixture
def host(supervisor):
    """The host's limits, small; put back at the end, whatever happens."""
    values = {SOMAXCONN: 16, TCP_MEM: SMALL, RMEM_MAX: START}
    with kept_sysctls(tuple(values)):
        for name, value in values.items():
            sysctl_path(name).write_text(str(value))
        supervisor.give_back("host")
        yield Host()


def named_change(supervisor, sharer, tunable):
    """The host's change that the container asked for; the container's own log has the same."""
    def asked_for():
        return [change for change in supervisor.changes("host", tunable)
                if change["text"].endswith(f"; asked for by {sharer.name}")]
    change = wait_for(asked_for, 10, f"{tunable} to change for the container")[-1]
    assert change["to"] in [own["to"] for own in supervisor.changes(sharer.name, tunable)]
    return change


def test_full_queue(lab, supervisor, sharer, host):
    lab.keep(Program(sharer, FULL_QUEUE, 1000, 100))
    change = named_change(supervisor, sharer, SOMAXCONN)
    assert (change["scenario"], change["from"], change["to"]) == ("accept_queue_full", "16", "32")


def test_hosts_own_queue(lab, supervisor, sharer, host):
    """Nobody is named for what the host itself does."""
    before = len(supervisor.changes(sharer.name))
    lab.keep(Program(host, FULL_QUEUE, 1000, 100))
    wait_for(lambda: host.sysctl(SOMAXCONN) == "32", 10, "the limit to be raised")
    supervisor.wait_for_log("host", SOMAXCONN, host)
    assert "asked for by" not in supervisor.changes("host", SOMAXCONN)[-1]["text"]
    assert len(supervisor.changes(sharer.name)) == before


def test_wish(supervisor, sharer, host):
    size = 1234567
    subprocess.run(sharer.command(sys.executable, "-c", WISH, str(size)), check=True)
    text = f"asked for {size} bytes by SO_RCVBUF and gets the host's limit, {START}"
    for where in "host", sharer.name:
        assert said(supervisor, where, text)["text"].endswith(f"; asked for by {sharer.name}")


def test_memory(lab, supervisor, sharer, host):
    load = lab.keep(Load(sharer))
    while allocated() < 7000:
        load.fill()
    change = named_change(supervisor, sharer, TCP_MEM)
    assert change["scenario"] == "near_pressure" and change["from"] == SMALL
