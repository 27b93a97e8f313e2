# SPDX-License-Identifier: GPL-2.0-or-later
"""What must not raise a buffer limit does not, where another flow there does; what brings nothing is undone."""
import os
import re
import signal
import time
from statistics import median
from types import SimpleNamespace

import pytest

import transfer
from lab import (AMPLE, PLAIN, RMEM, SLOWNESS, SMALL_RMEM, SMALL_WMEM, WMEM, Flow, maximum, number, only, run,
                 wait_for)

pytestmark = pytest.mark.lanes(4)

MODERATE = "net.ipv4.tcp_moderate_rcvbuf"
# Its receive buffers stay as small as they begin: a window of 16 KiB, half of what the small send limit lets through.
SHORT_OF_WINDOW = {RMEM: "4096 32768 6291456", MODERATE: "0"}


@pytest.mark.alone
def test_dry_run_says_it_once(lab):
    """As nothing is written, the limit stays in the way; nobody needs to be told again for 20 s.

    The first here, as another supervisor would write.
    """
    far, near = lab.container("netns", "bt-far", AMPLE), lab.container("netns", "bt-near", SMALL_WMEM)
    supervisor = lab.supervisor("--dry-run", tuners=only("tcp_buffer"))
    supervisor.ready(near.name, far.name)
    flow = lab.path(near, far, 1).start(60, "-b", "100M")
    wait_for(lambda: supervisor.changes(near.name, WMEM), 4, "it to be said")
    time.sleep(1.5 * SLOWNESS)     # nothing more is to happen
    flow.remove()
    assert len(supervisor.changes(near.name, WMEM)) == 1


@pytest.fixture(scope="module")
def world(shared):
    far = shared.container("netns", "bt-far", AMPLE)
    supervisor = shared.supervisor(tuners=only("tcp_buffer"))
    supervisor.ready("host")
    return SimpleNamespace(far=far, supervisor=supervisor)


def tiny_flows(lab, world, path):
    """100 KiB each."""
    server = lab.keep(transfer.Server(world.far, 5300))
    transfer.transfers(path.near, f"10.199.{path.number}.2", server.port, "u", 100 << 10, 5)


def flow_of_little(lab, world, path):
    """A third of what the limit lets through, in small pieces: 128 KiB at once would fill it for a while."""
    server = lab.keep(transfer.Server(world.far, 5303))
    transfer.paced(path.near, f"10.199.{path.number}.2", server.port, 8 << 10, 300, pause_s=0.013)


def flow_to_a_small_window(lab, world, path):
    far = lab.container("netns", "bt-shut", SHORT_OF_WINDOW)
    before = far.limits()
    narrow = lab.path(path.near, far, number())
    flow = narrow.start(4)
    flow.finish()
    mbit = median(interval["sum"]["bits_per_second"] / 1e6 for interval in flow.result["intervals"])
    assert 0 < mbit < 10        # less than the 14 of a full send buffer
    assert far.limits() == before


@pytest.mark.parametrize("nothing", (tiny_flows, flow_of_little, flow_to_a_small_window))
def test_not_in_the_way(lab, world, nothing):
    """The limit is changed by the flow that meets it, and by nothing that was there before."""
    near = lab.container("netns", f"bt-{nothing.__name__}", SMALL_WMEM)
    path = lab.path(near, world.far, number())
    world.supervisor.ready(near.name)
    before = near.limits()
    nothing(lab, world, path)
    assert near.limits() == before
    assert not world.supervisor.changes(near.name)
    assert world.supervisor.tuner(near.name, "tcp_buffer")["state"] == "active"

    path.raise_limit()
    assert world.supervisor.changes(near.name)[0]["scenario"] == "send_buffer_limited"


def test_pauses_are_no_loss(lab, world):
    """What an application does not send between its messages is not taken for what a step has cost."""
    near = lab.container("netns", "bt-bursts", SMALL_WMEM)
    path = lab.path(near, world.far, number())
    world.supervisor.ready(near.name)
    server = lab.keep(transfer.Server(world.far, 5301))
    transfer.bursts(near, f"10.199.{path.number}.2", server.port, 1 << 20, 8, pause_s=0.4)
    first, second, *_ = (change["scenario"] for change in world.supervisor.changes(near.name))
    assert first == second == "send_buffer_limited"
    assert maximum(near.sysctl(WMEM)) <= 4 << 20


def test_step_that_ends_the_limit_is_judged(lab, world):
    """The application sends little more than the limit lets through, so that after a step the flow meets none."""
    near = lab.container("netns", f"bt-enough-{os.urandom(2).hex()}", SMALL_WMEM)
    path = lab.path(near, world.far, number())
    server = lab.keep(transfer.Server(world.far, 5302))
    world.supervisor.ready(near.name)
    # The limit lets one through in 12.6 ms, and these come a little slower than their pause says.
    transfer.paced(near, f"10.199.{path.number}.2", server.port, 16 << 10, 320, pause_s=0.0116)
    changes, learnt = world.supervisor.changes(near.name), world.supervisor.instance(near.name)["learnt"]
    scenarios = [change["scenario"] for change in changes]
    assert scenarios in (["send_buffer_limited", "no_gain"], ["send_buffer_limited"]), changes
    verdict, = (row["text"] for row in learnt)
    # No gain, or a little; or a tenth and more, if something else kept the sender from its processor before the step.
    gained = re.fullmatch(r"(\d+) Mbit/s at 262144 bytes, (\d+) at 65536", verdict)
    assert re.search(r"held for \d+ s", verdict) or int(gained[1]) > int(gained[2]), verdict


def test_queue_behind_a_router(lab, world):
    """The path gets narrow as the limit is raised: that then only fills the queue there, and is undone.

    The round trip is 120 ms, so that there is time for it before the verdict.
    """
    near = lab.container("netns", f"bt-queue-{os.urandom(2).hex()}", SMALL_WMEM)     # not one of a try before
    router = lab.container("netns", "bt-router")
    router.write("net.ipv4.ip_forward", "1")
    path = lab.path(router, world.far, number(), delay_ms=60)
    run("ip", "-n", near.name, "link", "add", "out", "type", "veth", "peer", "name", "in", "netns", router.name)
    for container, device, last in (near, "out", 1), (router, "in", 2):
        run("ip", "-n", container.name, "address", "add", f"10.198.3.{last}/24", "dev", device)
        run("ip", "-n", container.name, "link", "set", device, "up")
    run("ip", "-n", near.name, "route", "add", f"10.199.{path.number}.0/24", "via", "10.198.3.2")
    run("ip", "-n", world.far.name, "route", "add", "10.198.3.0/24", "via", f"10.199.{path.number}.1")
    world.supervisor.ready(near.name)
    device = "dev", f"path{path.number}", "root"

    def changes(*scenarios):
        return [change for change in world.supervisor.changes(near.name) if change["scenario"] in scenarios]

    def step_that_is_undone(nth):
        flow = lab.keep(Flow(near, world.far, f"10.199.{path.number}.2", 5203 + nth, 30, *PLAIN))
        wait_for(lambda: len(changes("send_buffer_limited")) == nth, 8, "a step")
        run("tc", "-n", router.name, "qdisc", "replace", *device, "tbf", "rate", "2200kbit", "burst", "16k", "limit", "10m")
        wait_for(lambda: len(changes("no_gain", "queue_filled")) == nth, 12, "the step to be undone")
        assert maximum(near.sysctl(WMEM)) <= 65536 * 3 / 2
        flow.remove()
        run("tc", "-n", router.name, "qdisc", "del", *device)
    step_that_is_undone(1)

    # The worker is another. It knows of the hold, the next of which is twice as long.
    os.kill(world.supervisor.instance(near.name)["worker"]["pid"], signal.SIGKILL)
    wait_for(lambda: world.supervisor.instance(near.name)["worker"]["restarts"], 5, "the end of the worker")
    world.supervisor.ready(near.name)
    step_that_is_undone(2)
    assert [re.search(r"nothing more is tried for (\d+) s", change["text"])[1]
            for change in changes("no_gain", "queue_filled")] == ["1", "2"]


def test_loopback_takes_no_turn(lab, world):
    """A flow within the namespace, with thousands of round trips a second, has no path: it neither raises the limit nor
    keeps a long path waiting."""
    near = lab.container("netns", f"bt-sidecar-{os.urandom(2).hex()}", SMALL_WMEM)
    path = lab.path(near, world.far, number())
    world.supervisor.ready(near.name)
    lab.keep(Flow(near, near, "127.0.0.1", 5205, 30))
    # Not limited, as iperf3's own pieces of 128 KiB would be: what is told until now, and what follows, is loopback's.
    path.flow(3, "-b", "1M", "-l", "8K")
    assert not world.supervisor.changes(near.name)
    lab.keep(Flow(near, world.far, f"10.199.{path.number}.2", 5206, 30, *PLAIN))
    first = wait_for(lambda: world.supervisor.changes(near.name), 5, "a step")[0]
    assert float(re.search(r"round trip of ([\d.]+) ms", first["text"])[1]) >= 40


def receive(lab, world, near):
    path = lab.path(near, world.far, number())
    for _ in range(3):
        path.flow(1, "-b", "100M", "-R")


def test_moderation_that_is_off_is_told_of(lab, world):
    """Somebody wants no buffer to grow: a higher limit would be of no use, and neither is changed."""
    near = lab.container("netns", "bt-moderate", {**SMALL_RMEM, MODERATE: "0"})
    receive(lab, world, near)
    def told():
        return {row["about"]: row["text"] for row in world.supervisor.instance(near.name)["learnt"]}.get("receive")
    assert "tcp_moderate_rcvbuf is 0" in wait_for(told, 5, "it to be told")
    assert (near.sysctl(MODERATE), near.sysctl(RMEM).split()[2]) == ("0", "65536")
    assert not world.supervisor.changes(near.name)


def test_moderation_stays_off(lab, world):
    """An administrator wants receive buffers of this size, far below a limit that is not in anybody's way."""
    near = lab.container("netns", "bt-unmoderated", {RMEM: "4096 65536 6291456", MODERATE: "0"})
    receive(lab, world, near)
    assert near.sysctl(MODERATE) == "0"
    assert not world.supervisor.changes(near.name)
    assert world.supervisor.tuner(near.name, "tcp_buffer")["state"] == "active"
