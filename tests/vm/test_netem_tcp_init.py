# SPDX-License-Identifier: GPL-2.0-or-later
"""Initial windows over paths that delay, lose, and queue."""
import statistics
from types import SimpleNamespace

import pytest

from lab import AMPLE, run, wait_for
from transfer import Server, transfers

KIB, PORT = 1024, 5001
ADDRESS = "10.199.1.2"
CLEAR = "delay", "20ms", "limit", "10000"


@pytest.fixture
def world(lab):
    near, far = (lab.container("netns", name, AMPLE) for name in ("near", "far"))
    path = lab.netem(near, far, 1)
    for end, device in (near, "path1"), (far, "path1b"):
        # netem counts what TSO makes one of as one
        run(*end.command("ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off"))
    lab.keep(Server(far, PORT))
    return SimpleNamespace(lab=lab, near=near, far=far, path=path)


def send(world, size=100 * KIB, count=1):
    return transfers(world.near, ADDRESS, PORT, "u", size, count)


def wait_until_learnt(world, supervisor, what):
    def found():
        rows = supervisor.instance("near")["learnt"]
        return any(row["about"] == f"{ADDRESS} port {PORT}" and what in row["text"] for row in rows)
    wait_for(found, 5, f"near to have learnt: {what}")


def taught(world):
    supervisor = world.lab.supervisor()
    supervisor.ready("near")
    send(world, 1024 * KIB)
    wait_until_learnt(world, supervisor, "starts with 64 segments")
    return supervisor


def median_ms(done):
    return statistics.median(one["ms"] for one in done)


def test_time(world):
    """The same transfers, without and with: two round trips of 40 ms less."""
    send(world, 100 * KIB, 2)
    before = {size: send(world, size * KIB, 7) for size in (100, 1024)}
    taught(world)
    after = {size: send(world, size * KIB, 7) for size in (100, 1024)}
    assert {one["cwnd"] for done in before.values() for one in done} == {10}
    assert {one["cwnd"] for done in after.values() for one in done} == {64}
    assert median_ms(after[100]) < median_ms(before[100]) - 60
    assert median_ms(after[1024]) < median_ms(before[1024]) - 40


def test_loss(world):
    """Loss that comes when it is already in use: the next connection has the kernel's own window."""
    supervisor = taught(world)
    assert send(world, KIB)[0]["cwnd"] == 64
    world.path.change(world.near, *CLEAR, "loss", "5%")
    send(world, 1024 * KIB)
    wait_until_learnt(world, supervisor, "starts as the kernel has it")
    world.path.change(world.near, *CLEAR, "loss", "0%")
    assert [one["cwnd"] for one in send(world, 100 * KIB, 4)] == [10] * 4


def test_short_queue(world):
    """A path that cannot take the burst any more: one connection finds out, the next ones are as without."""
    supervisor = taught(world)
    world.path.change(world.near, "delay", "20ms", "rate", "20mbit", "limit", "40")
    first = send(world)[0]
    assert first["cwnd"] == 64
    wait_until_learnt(world, supervisor, "started with 64 segments sent ")
    assert [one["cwnd"] for one in send(world, 100 * KIB, 3)] == [10] * 3


def test_reordering(world):
    """Segments that overtake each other are no reason for larger bursts."""
    supervisor = world.lab.supervisor()
    supervisor.ready("near")
    world.path.change(world.near, *CLEAR, "reorder", "10%", "50%")
    send(world, 1024 * KIB)
    assert send(world, 100 * KIB)[0]["cwnd"] == 10
