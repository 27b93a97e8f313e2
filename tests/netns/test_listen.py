# SPDX-License-Identifier: GPL-2.0-or-later
"""Queues of listening sockets grow where clients find them full, in that namespace only, and never for a flood."""
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from lab import SLOWNESS, number, only, run, wait_for

SOMAXCONN, SYN_BACKLOG, SYNCOOKIES = "net.core.somaxconn", "net.ipv4.tcp_max_syn_backlog", "net.ipv4.tcp_syncookies"
pytestmark = pytest.mark.lanes(3)

LIMITS = {SOMAXCONN: "16", SYN_BACKLOG: "256", SYNCOOKIES: "1"}

# A server that speaks a line for each thing done. Told "listen N", it calls listen(2) again; told "accept", it empties its queue.
SERVER = """
import socket, sys
server = socket.socket(socket.AF_INET6)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("::", 8080))
server.setblocking(False)
kept = []
for line in sys.stdin:
    command, _, number = line.partition(" ")
    if command == "listen":
        server.listen(int(number))
    else:
        try:
            while True:
                server.accept()[0].close()
        except BlockingIOError:
            pass
    print("done", flush=True)
"""

# Listens with the backlogs that it is told, on one port at 127.0.0.2, 127.0.0.3 and so on; and does not accept.
ADDRESSES = """
import socket, sys
servers = []
for number, backlog in enumerate(sys.argv[1:], 2):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((f"127.0.0.{number}", 8080))
    server.listen(int(backlog))
    servers.append(server)
print("done", flush=True)
sys.stdin.read()
"""

# A server that accepts 50 connections a second, whatever comes, and calls listen(2) again all the time.
SLOW_SERVER = """
import socket, time
server = socket.create_server(("127.0.0.1", 8080), backlog=1000)
server.setblocking(False)
print("ready", flush=True)
while True:
    for _ in range(10):
        time.sleep(0.02)
        try:
            server.accept()[0].close()
        except BlockingIOError:
            pass
    server.listen(1000)
"""

# Told to, begins many connections at once, in so many rounds, ten a second; and lets them be.
CLIENTS = """
import errno, socket, sys, time
print("ready", flush=True)
sys.stdin.readline()
clients = []
for _ in range(int(sys.argv[3])):
    clients += [socket.socket() for _ in range(int(sys.argv[2]))]
    for client in clients[-int(sys.argv[2]):]:
        client.setblocking(False)
        assert client.connect_ex((sys.argv[1], 8080)) == errno.EINPROGRESS
    time.sleep(0.1)
time.sleep(4)
"""

# SYNs from addresses that nobody has, so many and so many a second.
FLOOD = """
import random, socket, struct, sys, time
total, rate = int(sys.argv[2]), int(sys.argv[3])
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
target = socket.inet_aton(sys.argv[1])
def checksum(data):
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    value = (value & 0xffff) + (value >> 16)
    return ~(value + (value >> 16)) & 0xffff
for number in range(total):
    source = bytes((10, 66, number >> 8 & 255, number & 255))
    header = struct.pack("!HHIIBBHHH", 1024 + number % 60000, 8080, number, 0, 5 << 4, 2, 8192, 0, 0)
    total_sum = checksum(source + target + struct.pack("!BBH", 0, 6, 20) + header)
    header = header[:16] + struct.pack("!H", total_sum) + header[18:]
    packet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, number & 0xffff, 0, 64, 6, 0, source, target) + header
    raw.sendto(packet, (sys.argv[1], 0))
    time.sleep(1 / rate)
"""


class Server:
    def __init__(self, container, program=SERVER, *words):
        self.process = subprocess.Popen(container.command(sys.executable, "-c", program, *map(str, words)), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tell(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "done\n"

    def remove(self):
        self.process.communicate(timeout=5 * SLOWNESS)


class Clients:
    def __init__(self, container, address, number, rounds=1, begin=True):
        self.process = subprocess.Popen(container.command(sys.executable, "-c", CLIENTS, address, str(number), str(rounds)),
                                        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if begin:
            self.begin()

    def begin(self):
        assert self.process.stdout.readline() == "ready\n"
        print(file=self.process.stdin, flush=True)

    def remove(self):
        self.process.kill()
        self.process.communicate()


def learnt(supervisor, container):
    return {row["about"]: row["text"] for row in supervisor.instance(container.name)["learnt"] if row["tuner"] == "listen"}


def limits(container):
    return {name: container.sysctl(name) for name in LIMITS}


@pytest.fixture(scope="module")
def listening(shared):
    """A supervisor, and a container that nothing is about."""
    other = shared.container("netns", "bt-listens-not", LIMITS)
    supervisor = shared.supervisor(tuners=only("listen"))
    supervisor.ready(other.name)
    return SimpleNamespace(supervisor=supervisor, other=other)


@pytest.fixture
def world(lab, listening):
    """A container of its own with a server for each test."""
    class World:
        supervisor, other = listening.supervisor, listening.other
        container = lab.container("netns", f"bt-listen{number()}", LIMITS)
        server = lab.keep(Server(container))

        def burst(self, count, address="127.0.0.1"):
            """That many at once; and what they do to the queue is looked at."""
            return lab.keep(Clients(self.container, address, count))

    world = World()
    world.supervisor.ready(world.container.name)
    world.told_before = told(world)
    return world


def changed(world, tunable, to):
    """The change that did it, once it is in the log."""
    return wait_for(lambda: [change for change in world.supervisor.changes(world.container.name, tunable)
                             if change["to"] == str(to)], 5, f"{tunable} to become {to}")[-1]


def test_small_wish(world):
    """A server that wants a queue of 5 gets just that; the status says so."""
    world.server.tell("listen", 5)
    world.burst(100)
    text = wait_for(lambda: learnt(world.supervisor, world.container).get("port 8080"), 5, "it to be noted")
    needed = re.search(r"a queue of 5 was full .* call listen\(2\) with (\d+) or more, and somaxconn is to be as much", text)[1]
    assert int(needed) >= 32
    notice = next(record for record in world.supervisor.log(world.container.name) if "turns clients away" in record["text"])
    assert f"port 8080 turns clients away: its queue is 5 long, though somaxconn allows 16; its server needs a backlog of {needed} " \
        in notice["text"]
    assert world.container.counters("TcpExt")["ListenOverflows"] > 0
    assert limits(world.container) == LIMITS
    assert not world.supervisor.changes(world.container.name)


def test_addresses_of_one_port(lab, world):
    """Each has a queue of its own; the one that began to listen last does not stand for the others."""
    server = lab.keep(Server(world.container, ADDRESSES, 5, 1000, 7))
    assert server.process.stdout.readline() == "done\n"
    world.burst(100, "127.0.0.2")
    text = wait_for(lambda: learnt(world.supervisor, world.container).get("127.0.0.2 port 8080"), 5, "it to be noted")
    assert "a queue of 5 was full" in text
    world.burst(100, "127.0.0.3")
    assert "a queue of 127.0.0.3 port 8080 was full" in changed(world, SOMAXCONN, 32)["text"]
    assert "port 8080" not in learnt(world.supervisor, world.container)


def test_raised_for_a_cut_backlog(world):
    """Once for each queue that is too short, as a listening socket keeps its own; and not elsewhere."""
    for length, longer in (16, 32), (32, 64):
        world.server.tell("listen", 1000)
        before = world.container.counters("TcpExt")["ListenOverflows"]
        clients = world.burst(100)
        change = changed(world, SOMAXCONN, longer)
        assert world.container.counters("TcpExt")["ListenOverflows"] > before
        assert (change["tuner"], change["scenario"], change["from"]) == ("listen", "accept_queue_full", str(length))
        assert f"of {length};" in change["text"] and "calls listen(2) again" in change["text"]
        clients.remove()    # else those that were not let in try again, and fill the next queue
        world.server.tell("accept")
    # The same socket, still of 32: a longer somaxconn is no use to it.
    world.burst(100)
    wait_for(lambda: "port 8080" in learnt(world.supervisor, world.container), 5, "its own length to be noted")
    assert limits(world.container) == {**LIMITS, SOMAXCONN: "64"}
    assert limits(world.other) == LIMITS


UNIX = """
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind("\\0bt-unix-" + sys.argv[1])
server.listen(2)
clients = []
for _ in range(3):
    clients.append(socket.socket(socket.AF_UNIX))
    clients[-1].connect(server.getsockname())
print("done", flush=True)
sys.stdin.read()
"""


def test_unix_socket(lab, world):
    """What it knows of a full one is shown, once the worker is awake for another reason."""
    server = lab.keep(Server(world.container, UNIX, world.container.name))
    assert server.process.stdout.readline() == "done\n"
    world.server.tell("listen", 5)
    world.burst(100)
    text = wait_for(lambda: learnt(world.supervisor, world.container).get(f"unix @bt-unix-{world.container.name}"), 15, "it to be noted")
    assert text.startswith("3 wait in a queue of 2:") and "listen(2) with 4 or more" in text


def waiting(world, count):
    wait_for(lambda: run(*world.container.command("ss", "-Hltn")).stdout.split()[1:2] == [str(count)], 5,
             f"{count} to wait")


def told(world, since=0):
    """How often a full queue was. There is no other tuner, and the second answer comes after what was before the first."""
    return [world.supervisor.status()["events"]["routed"] for _ in range(2)][1] - since


@pytest.fixture
def flooder(lab, world):
    """A namespace on a veth, to which the server's answers to strangers go, and end."""
    flooder = lab.container("netns", f"bt-flooder{number()}")
    flooder.write("net.ipv4.ip_forward", "0")
    run("ip", "-n", world.container.name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", flooder.name)
    for last, container in enumerate((world.container, flooder), 1):
        container.write("net.ipv4.conf.all.rp_filter", "0")
        run("ip", "-n", container.name, "addr", "add", f"10.198.0.{last}/24", "dev", "eth0")
        run("ip", "-n", container.name, "link", "set", "eth0", "up")
    run("ip", "-n", world.container.name, "route", "add", "10.66.0.0/16", "via", "10.198.0.2")
    return flooder


class Flood:
    """So many SYNs a second from a container, until it is removed."""

    def __init__(self, container, rate):
        command = container.command(sys.executable, "-c", FLOOD, "10.198.0.1", "100000", str(rate))
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def remove(self):
        self.process.kill()
        self.process.wait()


def test_flood(lab, world, flooder):
    """It takes back what real clients got, grows nothing, and leaves the cookies on."""
    world.server.tell("listen", 1000)
    clients = world.burst(100)
    changed(world, SOMAXCONN, 32)
    clients.remove()
    world.server.tell("accept")
    world.server.tell("listen", 1000)
    flood = lab.keep(Flood(flooder, 300))
    assert changed(world, SOMAXCONN, 16)["scenario"] == "syn_flood"
    wait_for(lambda: world.container.counters("TcpExt")["SyncookiesSent"] > 100, 5, "cookies to be sent")
    flood.remove()
    assert "handshakes" in learnt(world.supervisor, world.container)["SYN flood"]
    # Nothing is raised while the flood is fresh.
    world.server.tell("listen", 1000)
    world.burst(100)
    time.sleep(2.5)     # nothing tells that a worker has looked and held
    assert limits(world.container) == LIMITS


def test_flood_that_has_ended(world, flooder):
    """When it is looked at for the second time: it was one all the same."""
    world.server.tell("listen", 1000)
    run(*flooder.command(sys.executable, "-c", FLOOD, "10.198.0.1", 500, 300))
    wait_for(lambda: "SYN flood" in learnt(world.supervisor, world.container), 5, "the flood to be told")
    assert limits(world.container) == LIMITS and not world.supervisor.changes(world.container.name)


def test_flood_without_cookies(lab, world, flooder):
    """The flood raises nothing. Somebody wants no cookies: that there are none is told, and not changed."""
    world.container.write(SYNCOOKIES, "0")
    world.server.tell("listen", 1000)
    lab.keep(Flood(flooder, 300))
    told = wait_for(lambda: learnt(world.supervisor, world.container).get("SYN flood"), 10, "the flood to be told")
    assert "tcp_syncookies is 0, and stays" in told
    assert limits(world.container) == {**LIMITS, SYNCOOKIES: "0"} and not world.supervisor.changes(world.container.name)


def test_syn_backlog_without_cookies(lab, world):
    """Real clients over a long path, more at once than may have a handshake under way."""
    near = lab.container("netns", "bt-clients")
    for name, value in (SYNCOOKIES, "0"), (SYN_BACKLOG, "32"), (SOMAXCONN, "4096"):
        world.container.write(name, value)
    world.supervisor.give_back(world.container.name)
    lab.path(near, world.container, 7)
    world.server.tell("listen", 4096)
    # In rounds, so that whenever it is looked at, some were refused and others have completed their handshake.
    lab.keep(Clients(near, "10.199.7.2", 40, 15))
    change = changed(world, SYN_BACKLOG, 64)
    assert (change["scenario"], change["from"]) == ("syn_queue_full", "32")
    assert int(world.container.sysctl(SYN_BACKLOG)) >= 64
    assert world.container.sysctl(SYNCOOKIES) == "0" and world.container.sysctl(SOMAXCONN) == "4096"


class SlowServer:
    def __init__(self, container):
        self.process = subprocess.Popen(container.command(sys.executable, "-c", SLOW_SERVER), text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == "ready\n"

    def remove(self):
        self.process.kill()
        self.process.communicate()


def test_slow_server(lab, world):
    """It fills a queue of any length: a longer one is of no use, and the limit goes back to exactly what it was."""
    lab.keep(SlowServer(world.container))
    lab.keep(Clients(world.container, "127.0.0.1", 20, 45))

    def undone():
        changes = world.supervisor.changes(world.container.name, SOMAXCONN)
        return next((pair for pair in zip(changes, changes[1:]) if "of no use" in pair[1]["text"]), None)
    step, undo = wait_for(undone, 8, "a step to be undone")
    print(undo["text"])
    assert (undo["from"], undo["to"]) == (step["to"], step["from"])
    assert undo["scenario"] == "accept_queue_full" and "per" in undo["text"]
    assert limits(world.other) == LIMITS


@pytest.mark.alone
def test_light_load(world):
    """Connections that are accepted in time change nothing."""
    world.server.tell("listen", 1000)
    for _ in range(8):
        world.burst(8)
        waiting(world, 8)
        world.server.tell("accept")
    assert not told(world, world.told_before)
    assert limits(world.container) == LIMITS


@pytest.mark.alone
def test_shortest_queues(world):
    """Queues of 1 to 3 have room for one connection; one of none is full with it, but not before."""
    for length in 0, 1, 2, 3:
        world.server.tell("listen", length)
        if length:
            world.burst(1)
            waiting(world, 1)
            world.server.tell("accept")
        assert not told(world, world.told_before)
    world.server.tell("listen", 0)
    world.burst(1)
    wait_for(lambda: told(world, world.told_before), 3, "a full queue to be told")


@pytest.mark.alone
def test_handshakes_under_way(lab, world):
    """Clients that are far away cannot have answered yet when the full queue is looked at: they are no flood."""
    near = lab.container("netns", "bt-distant")
    lab.path(near, world.container, 8, delay_ms=350)
    world.server.tell("listen", 1000)
    lab.keep(Clients(near, "10.199.8.2", 1))
    waiting(world, 1)       # the neighbours know each other
    world.server.tell("accept")
    distant = lab.keep(Clients(near, "10.199.8.2", 200, begin=False))
    world.burst(100)
    wait_for(lambda: told(world, world.told_before), 3, "a full queue to be told")
    world.server.tell("accept")
    distant.begin()     # their SYNs come before the look that is due a second after that, their answers later
    changed(world, SOMAXCONN, 32)
    assert "SYN flood" not in learnt(world.supervisor, world.container)


@pytest.mark.alone
def test_what_is_known_outlives_processes(lab, world, flooder):
    """Another worker takes back what the first one has raised; another supervisor's raises nothing while the flood is fresh."""
    supervisor, name = world.supervisor, world.container.name
    world.server.tell("listen", 1000)
    clients = world.burst(100)
    changed(world, SOMAXCONN, 32)
    os.kill(supervisor.workers()[name], signal.SIGKILL)
    wait_for(lambda: supervisor.instance(name)["worker"]["restarts"] == 1, 5, "another worker")
    supervisor.ready(name)
    clients.remove()
    world.server.tell("accept")
    world.server.tell("listen", 1000)
    flood = lab.keep(Flood(flooder, 300))
    assert changed(world, SOMAXCONN, 16)["scenario"] == "syn_flood"
    flood.remove()
    supervisor.kill()
    supervisor.start()
    supervisor.ready(name)
    world.server.remove()
    time.sleep(0.6)     # a port is told about at most twice a second; the flood's handshakes have ended with the server
    before = told(world)
    lab.keep(Server(world.container)).tell("listen", 1000)  # a listening socket is known from when it began to listen
    world.burst(100)
    wait_for(lambda: told(world, before), 3, "a full queue to be told")
    time.sleep(2.5)     # nothing tells that a worker has looked and held
    assert limits(world.container) == LIMITS
