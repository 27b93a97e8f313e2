# SPDX-License-Identifier: GPL-2.0-or-later
"""The tuner that CONTRIBUTING.md shows how to make, doc/example: built with the installed headers, and at work."""
import os
import pathlib
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import pytest

from lab import POKE, Host, kept_sysctls, wait_for

EXAMPLE = pathlib.Path(os.environ["BPFTUNE_EXAMPLE"])      # a copy, and what was made there
HIGH, LOW = "net.ipv4.ipfrag_high_thresh", "net.ipv4.ipfrag_low_thresh"
TIME = "net.ipv4.ipfrag_time"
DEFAULT = 4 << 20
SMALL = 256 << 10
MOST = 32 << 20

# Datagrams of two fragments each, each from another address: all first fragments, then all others, if they come; again and
# again, until standard input ends. It says how many datagrams have arrived of each batch.
SENDER = """
import os, select, socket, struct, sys, time
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, 33, 1 << 28)       # SO_RCVBUFFORCE
server.bind(("127.0.0.1", 5400))
server.setblocking(False)
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
HEAD, TAIL = 1400, 96
udp = struct.pack("!HHHH", 5401, 5400, HEAD + TAIL, 0) + bytes(HEAD - 8)
number = 0

def send(i, number, offset, more, data):
    source = bytes((127, 1 + (i >> 16), i >> 8 & 255, i & 255))
    header = struct.pack("!BBHHHBBH", 0x45, 0, 0, number & 65535, more << 13 | offset >> 3, 64, 17, 0)
    raw.sendto(header + source + bytes((127, 0, 0, 1)) + data, ("127.0.0.1", 0))

def arrived():
    count = 0
    try:
        while server.recv(2048):
            count += 1
    except BlockingIOError:
        return count

waiting, whole = int(sys.argv[1]), sys.argv[2] == "whole"
print("begins", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    began = time.monotonic()
    number += 1
    for i in range(waiting):
        send(i, number, 0, 1, udp)
    for i in range(waiting) if whole else ():
        send(i, number, HEAD, 0, bytes(TAIL))
    print(arrived(), flush=True)
    time.sleep(max(0.05, time.monotonic() - began))
"""


class Clients:
    """Their datagrams wait at one time, so many, for their second fragments, which come or do not."""

    def __init__(self, container, waiting, kind="whole"):
        self.process = subprocess.Popen(container.command(sys.executable, "-c", SENDER, str(waiting), kind), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.waiting = waiting
        assert self.process.stdout.readline() == "begins\n"

    def arrive(self, batches=1):
        """Waits until all of so many batches in a row arrive."""
        row = 0
        def enough():
            nonlocal row
            row = row + 1 if int(self.process.stdout.readline()) == self.waiting else 0
            return row >= batches
        wait_for(enough, 60, "all datagrams to arrive")

    def remove(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def world(shared):
    """A supervisor that has the example, and the test tuner for events of another one; and two containers whose fragments may take little memory."""
    shared.enter_context(kept_sysctls((HIGH, LOW)))
    directory = shared.enter_context(tempfile.TemporaryDirectory(prefix="bpftune-example-"))
    for path in EXAMPLE / "ipfrag.so", pathlib.Path(POKE, "poke.so"):
        pathlib.Path(directory, path.name).symlink_to(path)
    few = {LOW: str(SMALL), HIGH: str(SMALL)}
    container = shared.container("netns", "bt-example", few)
    neighbour = shared.container("netns", "bt-example-next", few)
    supervisor = shared.supervisor(tuners=directory)
    supervisor.ready("host", container.name, neighbour.name)
    return SimpleNamespace(container=container, neighbour=neighbour, supervisor=supervisor)


def high(place):
    return int(place.sysctl(HIGH))


def lines(*names):
    return sum(len((EXAMPLE / name).read_text().splitlines()) for name in names)


def test_small():
    """As the example says of itself."""
    assert lines("ipfrag.bpf.c") <= 80
    assert lines("ipfrag.c", "ipfrag.h") <= 150


def test_programs_load(world):
    assert world.supervisor.tuner("host", "ipfrag")["state"] == "active"


def test_raised_where_it_helps(lab, world):
    """In this container alone, once, and all that waits arrives. The log tells why."""
    before = high(Host())
    clients = lab.keep(Clients(world.container, 200))
    wait_for(lambda: high(world.container) > SMALL, 10, f"{HIGH} to rise")
    clients.arrive(batches=50)
    assert high(world.container) == 4 * SMALL
    assert high(world.neighbour) == SMALL and high(Host()) == before
    change, = world.supervisor.changes(world.container.name, HIGH)
    assert change["tuner"] == "ipfrag" and change["scenario"] == "memory_full"
    assert "ReasmFails per" in change["text"]
    assert not world.supervisor.changes(world.neighbour.name)


def test_undone_where_it_does_not(lab, world):
    """Fragments without an end would fill any memory."""
    lab.keep(Clients(world.neighbour, 2000, "first"))
    wait_for(lambda: len(world.supervisor.changes(world.neighbour.name)) >= 2, 10, f"{HIGH} to rise and to be put back")
    risen, undone, *_ = world.supervisor.changes(world.neighbour.name)
    assert int(risen["to"]) == 4 * SMALL and int(undone["to"]) == SMALL
    assert "of no use" in undone["text"]


def test_lost_fragments_are_another_trouble(lab, world):
    """They count as ReasmFails when their time is over, maybe while another tuner's events come in: no step is made."""
    lossy = lab.container("netns", "bt-example-lossy", {TIME: "1"})
    world.supervisor.ready(lossy.name)
    lab.keep(Clients(lossy, 50, "first"))

    def have_failed():
        lossy.poke("nothing")
        return lossy.counters("Ip")["ReasmFails"] >= 3000      # of three seconds, which are at least two windows
    wait_for(have_failed, 30, "3,000 fragments to be lost")
    assert not world.supervisor.changes(lossy.name)


def test_bounded(lab, world):
    """Whoever can send what it likes makes its own limit rise, up to a share of the machine's memory and no further."""
    greedy = lab.container("netns", "bt-example-greedy")
    supervisor = world.supervisor
    supervisor.ready(greedy.name)
    before = high(Host()), high(world.container)
    assert high(greedy) == DEFAULT
    for count, waiting in enumerate((4000, 10000), 1):
        clients = lab.keep(Clients(greedy, waiting))
        wait_for(lambda: len(supervisor.changes(greedy.name, HIGH)) >= count, 20, f"{HIGH} to rise")
        clients.remove()
    most = max(int(change["to"]) for change in supervisor.changes(greedy.name, HIGH))
    assert DEFAULT < most <= MOST
    assert (high(Host()), high(world.container)) == before
