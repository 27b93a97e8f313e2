# SPDX-License-Identifier: GPL-2.0-or-later
"""TCP's memory limits, the machine's, rise before TCP meets them, and go back when the need is over. Without room for
that, the namespaces that hold most of it lower their buffer limits instead."""
import itertools
import os
import pathlib
import select
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from lab import RMEM, SLOWNESS, WMEM, Host, Lab, cgroup2_mounts, kept_sysctls, maximum, only, sysctl_path, wait_for

TCP_MEM = "net.ipv4.tcp_mem"
SMALL = "6144 8192 16384"   # pages; what these tests allocate goes beyond
STEP_PAGES = 512            # of one connection with a send buffer of 1 MiB (2, as the kernel counts)
STEPS_PER_S = 50 / SLOWNESS # 100 MiB/s
PER_MIB = (1 << 20) // 4096

# Round trips all the time, on one connection, with such a pause between them (s). "fill BYTES": one more, that nobody
# reads from, with so large a send buffer; "drop": those end; "trips": a hundred round trips more.
LOAD = """
import socket, sys, threading, time
SO_SNDBUFFORCE = 32     # not cut by wmem_max
server = socket.create_server(("127.0.0.1", 5400), backlog=1000)
def pair():
    client = socket.create_connection(("127.0.0.1", 5400))
    return client, server.accept()[0]
client, peer = pair()
trips = 0
def chatter():
    global trips
    while True:
        client.send(b"x")
        peer.recv(1)
        trips += 1
        time.sleep(float(sys.argv[1]))
threading.Thread(target=chatter, daemon=True).start()
stuck = []
for line in sys.stdin:
    word, *size = line.split()
    if word == "drop":
        for ends in stuck:
            ends[0].close(), ends[1].close()
        stuck.clear()
    elif word == "trips":
        enough = trips + 100
        while trips < enough:
            time.sleep(0.005)
    else:
        ends = pair()
        ends[0].setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, int(size[0]))
        ends[0].setblocking(False)
        try:
            while True:
                ends[0].send(bytes(65536))
        except BlockingIOError:
            stuck.append(ends)
    print("done", flush=True)
"""


class Load:
    def __init__(self, container, *prefix, pause=0.005):
        self.process = subprocess.Popen([*prefix, *container.command(sys.executable, "-c", LOAD, str(pause))], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tell(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        assert select.select([self.process.stdout], [], [], 10 * SLOWNESS)[0], f"{words} takes too long"
        assert self.process.stdout.readline() == "done\n"

    def fill(self, size=1 << 20):
        self.tell("fill", size)

    def fill_up(self, pages):
        """At a steady rate, whatever becomes of the limits, which are never met; gives the rate that it came to, in MiB/s."""
        began = due = time.monotonic()
        while allocated() < pages:
            time.sleep(max(0, due - time.monotonic()))
            due = max(due, time.monotonic()) + 1 / STEPS_PER_S      # what was late is not made up for
            self.fill()
            assert allocated() < current()[2]
        return allocated() / PER_MIB / (time.monotonic() - began)

    def remove(self):
        self.process.communicate(timeout=5 * SLOWNESS)


def allocated():
    line = next(line for line in pathlib.Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:"))
    return int(line.split()[-1])


def available_pages():
    """As tcp_mem sees it."""
    line = next(line for line in pathlib.Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) // 4


def refusals(*containers):
    """How often the kernel came to press their sockets for memory, and cut connections for want of it."""
    counters = [container.counters("TcpExt") for container in containers]
    return [(each["TCPMemoryPressures"], each["TCPAbortOnMemory"]) for each in counters]


def current():
    return [int(word) for word in Host().sysctl(TCP_MEM).split()]


def without_room(pressure):
    """Limits that tcp_mem does not raise: "most" is more than a quarter of what is to spare."""
    return f"6144 {pressure} {available_pages() // 2}"


def memory_of(supervisor, container):
    """What tcp_buffer has learnt of it there."""
    return next((row["text"] for row in supervisor.instance(container.name)["learnt"]
                 if (row["tuner"], row["about"]) == ("tcp_buffer", "memory")), "")


LARGE = {WMEM: "4096 16384 16777216", RMEM: "4096 131072 67108864"}


class TestWithoutRoom:
    """tcp_mem may not be raised: the limits of the namespaces that grow come down until it eases, no other's."""
    PRESSURE = 32768

    @pytest.fixture(scope="class")
    def world(self):
        """All of it, and what it was in between: who grows and stops, who grows on, who holds much, who holds little."""
        with Lab() as lab, kept_sysctls((TCP_MEM,)):
            no_room = without_room(self.PRESSURE)
            sysctl_path(TCP_MEM).write_text(no_room)
            containers = {name: lab.container("netns", f"bt-{name}", LARGE)
                          for name in ("stops", "restarted", "goes-on", "holds", "modest")}
            supervisor = lab.supervisor(tuners=only("tcp_mem", "tcp_buffer"))
            supervisor.ready("host", *(container.name for container in containers.values()))
            world = SimpleNamespace(supervisor=supervisor, no_room=no_room, containers=containers,
                                    before=refusals(*containers.values()))
            self.run_short(lab, world)
            world.tcp_mem = Host().sysctl(TCP_MEM)
            yield world

    def memory(self, world, name):
        return memory_of(world.supervisor, world.containers[name])

    def run_short(self, lab, world):
        loads = {name: lab.keep(Load(container)) for name, container in world.containers.items()}
        growing = "stops", "restarted", "goes-on"
        loads["modest"].fill(65536)
        while allocated() < self.PRESSURE // 2:
            loads["holds"].fill()
        for name in itertools.cycle(growing):
            if allocated() >= self.PRESSURE * 17 // 20:       # short begins at 4/5, and what CPUs hold in reserve goes
                break
            loads[name].fill()
        for name in world.containers:
            wait_for(lambda: self.memory(world, name).startswith("short"), 10, f"the memory that {name} holds to be counted")
        for name in growing:
            loads[name].fill()
        for name in growing:
            wait_for(lambda: "are lowered" in self.memory(world, name), 15, f"{name} to give back")
        world.lowered = {name: container.limits() for name, container in world.containers.items()}
        loads["goes-on"].fill()
        wait_for(lambda: "of no use" in self.memory(world, "goes-on"), 15, "that to be undone")
        wait_for(lambda: world.containers["goes-on"].limits() == LARGE, 5, "what it gave back to be returned")
        world.status = {name: world.supervisor.cli("status", container.name).stdout
                        for name, container in world.containers.items()}
        world.changes = {name: world.supervisor.changes(container.name) for name, container in world.containers.items()}
        name = world.containers["restarted"].name
        os.kill(world.supervisor.instance(name)["worker"]["pid"], signal.SIGKILL)
        wait_for(lambda: world.supervisor.instance(name)["worker"]["restarts"] == 1, 5, "another worker")
        world.supervisor.kill()
        world.supervisor.start()
        world.supervisor.ready(*(container.name for container in world.containers.values()))
        for load in loads.values():
            load.tell("drop")

    def test_the_machines_limits_stay(self, world):
        assert world.tcp_mem == world.no_room and not world.supervisor.changes("host")

    @pytest.mark.parametrize("name", ("stops", "restarted"))
    def test_who_grows_gives_back(self, world, name):
        """What came down is returned by another worker and another supervisor, too."""
        container = world.containers[name]
        assert {change["scenario"] for change in world.changes[name]} == {"memory_short"}
        assert [maximum(world.lowered[name][tunable]) for tunable in (WMEM, RMEM)] == [8 << 20, 32 << 20]
        wait_for(lambda: container.limits() == LARGE, 20, "what was given back to be returned")
        for tunable in LARGE:
            world.supervisor.wait_for_log(container.name, tunable, container)
        assert world.supervisor.changes(container.name)[-1]["scenario"] == "memory_eased"
        wait_for(lambda: self.memory(world, name).startswith("enough"), 2, "that to be told")

    def test_of_no_use(self, world):
        """Whose sockets grow all the same has its limits back: they are of a fixed size."""
        tunables = [(change["tunable"], change["to"].split()[2]) for change in world.changes["goes-on"]]
        assert sorted(tunables[2:]) == [(RMEM, "67108864"), (WMEM, "16777216")], tunables

    @pytest.mark.parametrize("name", ("holds", "modest"))
    def test_who_does_not_grow_does_not(self, world, name):
        """Also where it holds most of all."""
        assert world.lowered[name] == LARGE and not world.changes[name]

    def test_nobody_was_pressed(self, world):
        assert refusals(*world.containers.values()) == world.before


def test_heard_beside_one_that_talks_all_the_time(lab):
    """A container of few round trips learns that memory is short, however many round trips another one makes."""
    with kept_sysctls((TCP_MEM,)):
        sysctl_path(TCP_MEM).write_text(without_room(8192))
        talks, rarely = lab.container("netns", "bt-talks"), lab.container("netns", "bt-rarely", LARGE)
        supervisor = lab.supervisor(tuners=only("tcp_buffer"))
        supervisor.ready(talks.name, rarely.name)
        lab.keep(Load(talks, pause=0))
        load = lab.keep(Load(rarely, pause=1))
        while allocated() < 7400:
            load.fill()
        wait_for(lambda: memory_of(supervisor, rarely).startswith("short"), 15, "the memory it holds to be counted")


@pytest.fixture(scope="module")
def supervisor(shared):
    supervisor = shared.supervisor(tuners=only("tcp_mem"))
    supervisor.ready("host")
    return supervisor


@pytest.fixture
def small(supervisor):
    """The host's limits, so small that these tests come near them; put back at the end, whatever happens."""
    with kept_sysctls((TCP_MEM,)):
        sysctl_path(TCP_MEM).write_text(SMALL)
        supervisor.give_back("host")
        yield Host()


numbers = itertools.count()


@pytest.fixture
def container(lab, supervisor):
    container = lab.container("netns", f"bt-memory{next(numbers)}")
    supervisor.ready(container.name)
    return container


def test_raised_in_time_and_put_back(lab, supervisor, small, container):
    """100 MiB/s, up to three times of what the limits were: they rise in time, and are never met."""
    before, told = refusals(container), len(supervisor.changes("host", TCP_MEM))
    load = lab.keep(Load(container))
    rate = load.fill_up(3 * 16384)
    limits = current()
    print(f"{rate:.0f} MiB/s; tcp_mem is {limits}")
    assert limits[1] > allocated() and limits[0] < limits[1] < limits[2]
    assert refusals(container) == before
    changes = supervisor.changes("host", TCP_MEM)[told:]
    assert changes[0]["from"] == SMALL and {change["scenario"] for change in changes} == {"near_pressure"}
    assert "pages are to spare" in changes[-1]["text"] and changes[-1]["text"].endswith(f"; asked for by {container.name}")
    assert [change["to"] for change in supervisor.changes(container.name)] == [change["to"] for change in changes]
    assert "raised from 6144 8192 16384" in supervisor.cli("status", "host").stdout

    load.tell("drop")
    began = time.monotonic()
    wait_for(lambda: Host().sysctl(TCP_MEM) == SMALL, 20, "the first limits to be back")
    assert time.monotonic() - began > 8
    supervisor.wait_for_log("host", TCP_MEM, small)
    assert supervisor.changes("host", TCP_MEM)[-1]["scenario"] == "eased"


def test_memory_that_no_cgroup_pays_for(lab, supervisor, small, container):
    """A container does not bring TCP beyond an eighth of the machine with it, whatever there is to spare."""
    eighth = f"6144 8192 {os.sysconf('SC_PHYS_PAGES') // 8}"
    small.write(TCP_MEM, eighth)
    supervisor.give_back("host")
    load = lab.keep(Load(container, "sh", "-c", 'echo 0 >"$0" && exec "$@"', f"{cgroup2_mounts()[-1]}/cgroup.procs"))
    while allocated() < 7400:       # more than seven eighths of where the kernel begins to press
        load.fill()
    load.tell("trips")
    wait_for(lambda: any("beyond an eighth of the machine" in record["text"] for record in supervisor.log("host")), 5,
             "that to be told")
    assert Host().sysctl(TCP_MEM) == eighth


def test_put_back_at_the_end_of_the_container(lab, supervisor, small, container):
    """Also where no other connection tells that the need is over."""
    load = lab.keep(Load(container))
    load.fill_up(6144)
    wait_for(lambda: Host().sysctl(TCP_MEM) != SMALL, 3, "the limits to rise")
    load.remove()
    container.clear(container.name)
    wait_for(lambda: Host().sysctl(TCP_MEM) == SMALL, 15, "the first limits to be back")
    wait_for(lambda: "as they were at first" in supervisor.cli("status", "host").stdout, 5, "that to be told")


def test_small_load(lab, supervisor, small, container):
    """What is far from the limits changes nothing."""
    load, told = lab.keep(Load(container)), supervisor.changes("host")
    for _ in range(4):
        load.fill()
    assert 4 * STEP_PAGES // 2 < allocated() < 6144
    load.tell("trips")      # in each, a look may be due
    assert Host().sysctl(TCP_MEM) == SMALL and supervisor.changes("host") == told


def test_put_back_after_a_restart(lab, supervisor, small, container):
    """The next supervisor knows what the limits were at first."""
    load = lab.keep(Load(container))
    load.fill_up(6144)
    wait_for(lambda: Host().sysctl(TCP_MEM) != SMALL, 3, "the limits to rise")
    supervisor.kill()
    supervisor.start()
    supervisor.ready("host", container.name)
    assert "raised from 6144 8192 16384" in supervisor.cli("status", "host").stdout
    load.fill()
    load.tell("drop")
    wait_for(lambda: Host().sysctl(TCP_MEM) == SMALL, 20, "the first limits to be back")
    supervisor.wait_for_log("host", TCP_MEM, small)
    assert supervisor.changes("host", TCP_MEM)[-1]["scenario"] == "eased"


def test_an_administrators_limits_stay(lab, supervisor, small, container):
    """What somebody else sets while it is raised is not undone when the need is over."""
    load = lab.keep(Load(container))
    while allocated() < 6144:
        load.fill()
    wait_for(lambda: Host().sysctl(TCP_MEM) != SMALL, 3, "the limits to rise")
    theirs = "20000 30000 40000"
    small.write(TCP_MEM, theirs)
    wait_for(lambda: supervisor.is_manual("host", "tcp_mem"), 3, "the tuner to step aside")
    load.tell("drop")
    supervisor.resume("host")
    wait_for(lambda: "as they were at first" in supervisor.cli("status", "host").stdout, 5, "the tuner to give it up")
    load.tell("trips")
    assert Host().sysctl(TCP_MEM) == theirs
