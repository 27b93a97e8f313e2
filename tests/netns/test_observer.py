# SPDX-License-Identifier: GPL-2.0-or-later
"""What small requests cost: few runs of the observers, and next to none of what tuners subscribe."""
import contextlib
import json
import socket
import struct
import subprocess
import sys
from types import SimpleNamespace

import pytest

from lab import SLOWNESS, Flow, Host, wait_for
from programs import counted, spent

OBSERVERS = "observe_sockops", "observe_rcv_space"
REQUESTS, REQUEST_BYTES = 4_000, 40
ROUNDS = 8
NEAR_US = 1000      # as bpf/observe.h has it
PORT = 5400

ECHO = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("listens", flush=True)
peer = server.accept()[0]
while data := peer.recv(4096):
    peer.sendall(data)
"""


def runs(supervisor):
    """By program: an observer's as the kernel counts them, while it does; a subscriber's as `bpftune tuners` tells."""
    kernel = {name: count for name, (count, _) in spent(supervisor).items()}
    tuners = json.loads(supervisor.cli("tuners", "--json").stdout)
    observers = {name: kernel[name] for name in OBSERVERS if name in kernel}
    assert observers, "no observer is loaded"
    subscribers = {hook["program"]: hook["runs"] for tuner in tuners for hook in tuner["hooks"] if "runs" in hook}
    assert subscribers, "no tuner's program is called by an observer"
    return SimpleNamespace(observers=sum(observers.values()), subscribers=subscribers)


@pytest.fixture(scope="module")
def world(shared):
    """A container with a veth, whose other end is the host's."""
    container = shared.container("netns", "bt-observer")
    _, address = shared.addressed_veth(container, 1)
    supervisor = shared.supervisor()
    supervisor.ready("host")
    return SimpleNamespace(container=container, address=address, supervisor=supervisor)


@contextlib.contextmanager
def connected(world):
    """To a server in the container that sends back what it gets."""
    server = subprocess.Popen(world.container.command(sys.executable, "-c", ECHO, world.address, str(PORT)), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert server.stdout.readline() == "listens\n"
        with socket.create_connection((world.address, PORT), timeout=10 * SLOWNESS) as connection:
            yield connection
        server.wait(timeout=5 * SLOWNESS)
    finally:
        server.kill()
        server.communicate()


def sent_again(world, connection):
    """Segments, by the client or by the server."""
    return struct.unpack_from("I", tcp_info(connection), 100)[0] + world.container.counters("Tcp")["RetransSegs"]


def tcp_info(connection):
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)      # include/uapi/linux/tcp.h: struct tcp_info


def is_near(connection):
    return struct.unpack_from("I", tcp_info(connection), 148)[0] < NEAR_US


def test_small_requests(world):
    """Each makes at most two acknowledgements and two reads, of both ends together, and that is all. Where the machine has stood
    still, segments were sent again, and the connection is looked at as it should be: then another one shows it."""
    for _ in range(ROUNDS):
        with connected(world) as connection, counted():
            before, lost = runs(world.supervisor), sent_again(world, connection)
            for _ in range(REQUESTS):
                connection.sendall(bytes(REQUEST_BYTES))
                assert len(connection.recv(REQUEST_BYTES, socket.MSG_WAITALL)) == REQUEST_BYTES
            after = runs(world.supervisor)
            if sent_again(world, connection) == lost and is_near(connection):
                break
    few = REQUESTS // 50    # an answer that is 40 ms late has an acknowledgement of its own
    assert after.observers - before.observers <= 4 * REQUESTS + few
    assert not {name: count for name, count in after.subscribers.items() if count - before.subscribers.get(name, 0) > few}


def test_bulk(lab, world):
    """The counters do count: a flow of much data makes observers and subscribers run."""
    with counted():
        before = runs(world.supervisor)
        lab.keep(Flow(Host(), world.container, world.address, PORT, 30))
        wait_for(lambda: runs(world.supervisor).observers > before.observers, 5, "an observer to run")
        wait_for(lambda: any(count > before.subscribers.get(name, 0)
                             for name, count in runs(world.supervisor).subscribers.items()), 5, "a subscriber to run")
