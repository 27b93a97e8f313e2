# SPDX-License-Identifier: GPL-2.0-or-later
"""What is learnt of a remote's network: it holds for hosts that nothing is known of, and a crowd of others does not push it out."""
from collections import Counter
import subprocess
import sys
from types import SimpleNamespace

import pytest

import cong
from crowd import verdicts
from lab import CONGESTION, SLOWNESS, number, only, run, wait_for

RENO = {CONGESTION: "reno"}
PORT = 5311
LOSSY, CLEAN_HOST = "10.200.1", "10.200.1.9"

pytestmark = pytest.mark.lanes(4)

# Sends so many bytes to each address once, on so many connections at a time.
CROWD = """
import concurrent.futures, socket, sys
port, size, at_once = map(int, sys.argv[1:4])
def send(address):
    with socket.create_connection((address, port), timeout=60) as connection:
        connection.sendall(bytes(size))
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)      # it was read to its end
with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
    list(pool.map(send, sys.stdin.read().split()))
"""


def send_to(container, addresses, size, at_once=16):
    """Segments are of 536 bytes: what tells of a remote is how many there were."""
    subprocess.run(container.command(sys.executable, "-c", CROWD, str(PORT), str(size), str(at_once)),
                   input=" ".join(addresses), text=True, check=True, timeout=100 * SLOWNESS)


def loses(far, addresses):
    rules = f"""
        table inet crowd {{ chain input {{ type filter hook input priority 0;
            {addresses} tcp dport {PORT} tcp flags & syn == 0 numgen random mod 100 < 4 drop;
        }}
        }}"""
    subprocess.run(far.command("nft", "-f", "-"), input=rules, text=True, check=True, timeout=30)


@pytest.fixture(scope="module")
def world(shared):
    """A container, and a far end that is all hosts of 10.200.0.0/16, of which those in LOSSY but one lose segments."""
    supervisor = shared.supervisor(tuners=only("tcp_cong", "tcp_init"))
    near, far = shared.container("netns", f"bt-few{number()}", RENO), shared.container("netns", "bt-many")
    supervisor.ready(near.name)
    path = shared.path(near, far, number(), delay_ms=10)
    run("ip", "-n", far.name, "route", "add", "local", "10.200.0.0/16", "dev", "lo")
    run("ip", "-n", near.name, "route", "add", "10.200.0.0/16", "via", f"10.199.{path.number}.2", "mtu", "lock", "576")
    shared.keep(cong.Drain(far, PORT))
    loses(far, f"ip daddr {LOSSY}.0/24 ip daddr != {CLEAN_HOST}")
    return SimpleNamespace(near=near, far=far, supervisor=supervisor)


def rows(world):
    return {row["about"]: row for row in world.supervisor.instance(world.near.name)["learnt"]}


def is_in_effect(world, about):
    return rows(world).get(about, {}).get("in_effect")


def shown(world):
    """How many verdicts `status` shows as in effect, by namespace."""
    return Counter(instance["netns"]["cookie"] for instance in world.supervisor.status()["instances"]
                   for row in instance["learnt"] if row["in_effect"])


def held(world):
    return Counter(int.from_bytes(key[:8], sys.byteorder) for key in verdicts(world.supervisor))


def gets_bbr(world, address):
    return "bbr" in cong.firsts(world.near, address, PORT, 5)


def learn_network(world):
    def learnt():
        send_to(world.near, [f"{LOSSY}.{host}" for host in range(20, 28)], 300_000)
        return is_in_effect(world, f"{LOSSY}.0/24")
    wait_for(learnt, 60 * SLOWNESS, "a verdict about the network")


def test_network(world):
    """It takes several hosts. Then one that nobody has heard of gets what helps its neighbours; one that does well does not."""
    for _ in range(3):
        send_to(world.near, [f"{LOSSY}.20"], 300_000)
    assert f"{LOSSY}.0/24" not in rows(world)
    learn_network(world)
    wait_for(lambda: gets_bbr(world, f"{LOSSY}.77"), 20 * SLOWNESS, "a host of the network to get bbr")
    def keeps_default():
        send_to(world.near, [CLEAN_HOST], 300_000)
        return is_in_effect(world, CLEAN_HOST)
    wait_for(keeps_default, 20 * SLOWNESS, "the host without loss to be known")
    assert cong.firsts(world.near, CLEAN_HOST, PORT, 20) == ["reno"] * 20


def test_crowd(world):
    """Hundreds of hosts in more networks than are remembered, all of which are told of: what was learnt stays."""
    learn_network(world)
    send_to(world.near, [f"10.200.{network}.{host}" for host in range(1, 7) for network in range(10, 60)], 120_000, 64)
    known = {about: row for about, row in rows(world).items() if row["tuner"] == "tcp_cong"}
    assert known[f"{LOSSY}.0/24"]["in_effect"] and len(known) <= 64
    assert sum(about.endswith("/24") for about in known) > 1        # some of the crowd's networks were judged as well
    wait_for(lambda: gets_bbr(world, f"{LOSSY}.78"), 20 * SLOWNESS, "a host of the network to get bbr")
    wait_for(lambda: shown(world) == held(world), 5, "what `status` shows to be what the programs find")


def test_crowd_of_services(world):
    """More hosts than tcp_init remembers, each of which teaches it something: what was decided before them stays."""
    address = "10.200.2.1"
    about, texts = f"{address} port {PORT}", set()

    def learnt():
        send_to(world.near, [address], 80_000)
        return is_in_effect(world, about) and texts.add(rows(world)[about]["text"]) is None
    wait_for(learnt, 20 * SLOWNESS, f"a verdict about {about}")
    send_to(world.near, [f"10.200.{network}.{host}" for host in range(1, 10) for network in range(70, 190)], 60_000)

    def learnt_more():
        send_to(world.near, [address], 80_000)
        return rows(world)[about]["text"] not in texts
    wait_for(learnt_more, 20 * SLOWNESS, "another connection to be told of")
    assert is_in_effect(world, about)
