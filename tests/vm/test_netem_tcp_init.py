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
    """With a supervisor, until new connections start with twice the kernel's window or more: what it is then.

    A sender whose machine stands still takes that for loss, and then nothing is given for minutes: hence another one.
    """
    for _ in range(4):
        supervisor = world.lab.supervisor()
        supervisor.ready("near")
        before = world.near.counters("Tcp")["RetransSegs"]
        for _ in range(8):
            cwnd = send(world, 1024 * KIB)[0]["cwnd"]
            if cwnd >= 20:
                return supervisor, cwnd
        assert world.near.counters("Tcp")["RetransSegs"] > before, "nothing was lost, and near has not learnt"
        supervisor.stop()
    raise AssertionError("the path loses segments")


def median_ms(done):
    return statistics.median(one["ms"] for one in done)


@pytest.mark.figures
def test_time(world):
    """The same transfers, without and with: a round trip of 40 ms less, or two."""
    send(world, 100 * KIB, 2)
    before = {size: send(world, size * KIB, 7) for size in (100, 1024)}
    _, cwnd = taught(world)
    after = {size: send(world, size * KIB, 7) for size in (100, 1024)}
    assert {one["cwnd"] for done in before.values() for one in done} == {10}
    assert cwnd <= min(one["cwnd"] for done in after.values() for one in done)
    assert max(one["cwnd"] for done in after.values() for one in done) <= 64
    assert median_ms(after[100]) < median_ms(before[100]) - 25
    assert median_ms(after[1024]) < median_ms(before[1024])


def test_loss(world):
    """Loss that comes when it is already in use: the next connection has the kernel's own window."""
    supervisor, _ = taught(world)
    world.path.change(world.near, *CLEAR, "loss", "5%")
    send(world, 1024 * KIB)
    wait_until_learnt(world, supervisor, "starts as the kernel has it")
    world.path.change(world.near, *CLEAR, "loss", "0%")
    assert [one["cwnd"] for one in send(world, 100 * KIB, 4)] == [10] * 4


def test_short_queue(world):
    """A path that cannot take the burst any more: one connection finds out, the next ones are as without.

    Its queue is not the sender's own: that one would hold the burst back instead of losing it.
    """
    supervisor, cwnd = taught(world)
    for words in "qdisc add dev path1b ingress", "filter add dev path1b ingress matchall action police rate 20mbit burst 24k conform-exceed drop":
        run(*world.far.command("tc", *words.split()))
    first = send(world)[0]["cwnd"]
    assert first >= cwnd
    wait_until_learnt(world, supervisor, f"started with {first} segments sent ")
    assert [one["cwnd"] for one in send(world, 100 * KIB, 3)] == [10] * 3
