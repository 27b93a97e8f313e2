# SPDX-License-Identifier: GPL-2.0-or-later
"""Initial windows over paths that delay, lose, and queue."""
import statistics
from types import SimpleNamespace

import pytest

from lab import AMPLE, run, wait_for
from transfer import Server, transfers

KIB, PORT = 1024, 5001
TRANSFERS = 200
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


def learnt(supervisor, what):
    rows = supervisor.instance("near")["learnt"]
    return any(row["about"] == f"{ADDRESS} port {PORT}" and what in row["text"] for row in rows)


def wait_until_learnt(supervisor, what):
    wait_for(lambda: learnt(supervisor, what), 5, f"near to have learnt: {what}")


def taught(world):
    """With a supervisor, until new connections start with twice the kernel's window or more: what it is then.

    A sender whose machine stands still takes that for loss, and then nothing is given for minutes: hence another one.
    """
    for _ in range(4):
        supervisor = world.lab.supervisor()
        supervisor.ready("near")
        before = retransmitted(world)
        for _ in range(8):
            cwnd = send(world, 1024 * KIB)[0]["cwnd"]
            if cwnd >= 20:
                return supervisor, cwnd
        assert retransmitted(world) > before, "nothing was lost, and near has not learnt"
        supervisor.stop()
    raise AssertionError("the path loses segments")


def median_ms(done):
    return statistics.median(one["ms"] for one in done)


def retransmitted(world):
    return world.near.counters("Tcp")["RetransSegs"]


@pytest.mark.figures
def test_time(world):
    """The same transfers, without and with: at most three quarters of the time, and next to nothing is sent twice."""
    send(world, 100 * KIB, 2)
    done, again = {}, {}
    for how in "without", "with":
        if how == "with":
            _, cwnd = taught(world)
        before = retransmitted(world)
        done[how] = send(world, 100 * KIB, TRANSFERS)
        again[how] = retransmitted(world) - before
        done[how, 1024] = send(world, 1024 * KIB, 7)
    print(f"100 KiB at 40 ms: {median_ms(done['without']):.0f} and {median_ms(done['with']):.0f} ms; "
          f"retransmitted of {TRANSFERS}: {again['without']} and {again['with']}; "
          f"1 MiB: {median_ms(done['without', 1024]):.0f} and {median_ms(done['with', 1024]):.0f} ms")
    assert {one["cwnd"] for one in done["without"]} == {10}
    assert cwnd <= statistics.median(one["cwnd"] for one in done["with"]) <= 64
    assert median_ms(done["with"]) <= 0.75 * median_ms(done["without"])
    assert median_ms(done["with", 1024]) < median_ms(done["without", 1024])
    assert again["with"] - again["without"] <= 2 * TRANSFERS / 1000


@pytest.mark.last
def test_loss(world):
    """Loss that comes when it is already in use: the next connections have the kernel's own window."""
    supervisor, _ = taught(world)
    world.path.change(world.near, *CLEAR, "loss", "5%")
    for _ in range(20):
        send(world)
        if learnt(supervisor, "starts as the kernel has it for ten minutes"):
            break
    wait_until_learnt(supervisor, "starts as the kernel has it for ten minutes")
    world.path.change(world.near, *CLEAR, "loss", "0%")
    assert [one["cwnd"] for one in send(world, 100 * KIB, 5)] == [10] * 5


@pytest.mark.last
def test_another_round_trip(world):
    """What was learnt of a path is of no use on one that is less than half as long."""
    taught(world)
    for delay, found in ("20ms", max), ("2ms", min), ("20ms", max):
        for end in world.near, world.far:
            world.path.change(end, "delay", delay, "limit", "10000")
        # A machine that stands still makes a handshake longer, or repeats it: one of a few tells.
        given = found(one["cwnd"] for one in send(world, KIB, 5))
        assert given == 10 if found is min else given >= 20


def test_short_queue(world):
    """A path that cannot take the window within a round trip any more: one connection finds out, the next ones are as without.

    Its queue is not the sender's own: that one would hold the burst back instead of losing it.
    """
    supervisor, cwnd = taught(world)
    for words in "qdisc add dev path1b ingress", "filter add dev path1b ingress matchall action police rate 5mbit burst 24k conform-exceed drop":
        run(*world.far.command("tc", *words.split()))
    first = send(world)[0]["cwnd"]
    assert first >= cwnd
    wait_until_learnt(supervisor, "starts as the kernel has it until 3 connections ")
    assert [one["cwnd"] for one in send(world, 100 * KIB, 3)] == [10] * 3
