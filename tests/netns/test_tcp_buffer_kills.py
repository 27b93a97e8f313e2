# SPDX-License-Identifier: GPL-2.0-or-later
"""tcp_buffer's worker and supervisor are killed at random moments while a flow meets its limits: restarts raise nothing further
than the path needs."""
import os
import random
import signal
import time

import pytest

import rates
from lab import PLAIN, RMEM, WMEM, maximum, only, run, wait_for
from rates import MIB

RATE = "40mbit"             # at a round trip of 40 ms
START = 64 << 10, 128 << 10
SIZES = [int(size * MIB) for size in (0.125, 0.25, 0.375, 0.5, 0.75, 1, 2)]
# With 0.375 MiB a flow has 0.95 of the best rate. A step is fourfold at most: with one by each restart, the limits would be here soon.
FAR_TOO_MUCH = 2 * MIB


def narrow_path(lab):
    near, far = lab.container("netns", f"bt-killed-{os.urandom(2).hex()}"), lab.container("netns", "bt-far")
    rates.fix(near, far, *START)
    path = lab.path(near, far, 1)
    run("tc", "-n", near.name, "qdisc", "replace", "dev", "path1", "root", "tbf", "rate", RATE, "burst", "64k", "limit", "10m")
    return path


def limits(path):
    return {WMEM: maximum(path.near.sysctl(WMEM)), RMEM: maximum(path.far.sysctl(RMEM))}


def kill_one(supervisor, path, rng):
    """Of a worker that dies again and again the next comes later and later: maybe there is none now."""
    who = rng.choice((path.near.name, path.far.name, None))
    if not who:
        supervisor.kill()
        supervisor.start()
        return "supervisor"
    worker = supervisor.workers().get(who)
    if worker:
        os.kill(worker, signal.SIGKILL)
    return f"worker of {who}" if worker else "nobody"


def transfer_with_kills(lab, path, seconds, kills):
    """Gives the supervisor and the flow, which goes on."""
    seed = int(time.time())
    rng = random.Random(seed)
    supervisor = lab.supervisor(tuners=only("tcp_buffer"))
    supervisor.ready(path.near.name, path.far.name)
    flow, began = path.start(3600, *PLAIN), time.monotonic()
    wait_for(lambda: limits(path)[WMEM] > START[0], 10, "a first step")
    killed = []
    while len(killed) < kills or time.monotonic() < began + seconds:
        time.sleep(rng.uniform(0.1, 2))
        killed.append(kill_one(supervisor, path, rng))
    supervisor.ready(path.near.name, path.far.name, deadline=30)
    print(f"seed {seed}: killed {', '.join(killed)}")
    return supervisor, flow


def test_few_kills(lab):
    path = narrow_path(lab)
    _, flow = transfer_with_kills(lab, path, 0, 6)
    wait_for(lambda: max(limits(path).values()) < FAR_TOO_MUCH, 15, "a step that is of no use to be undone")
    flow.remove()


@pytest.mark.figures
def test_two_minutes_of_kills(lab):
    """And what the path needs is measured afterwards."""
    path = narrow_path(lab)
    supervisor, flow = transfer_with_kills(lab, path, 120, 0)
    found = limits(path)
    for name, container in (WMEM, path.near), (RMEM, path.far):
        for change in supervisor.changes(container.name, name):
            print(container.name, change["to"], change["scenario"], change["text"])
    flow.remove()
    supervisor.stop()
    fixed = rates.search(path, path.near, path.far, SIZES, 3, *PLAIN, passes=2)
    smallest = rates.smallest(fixed, 0.95)
    print({size: round(result.mbit, 1) for size, result in fixed.items()}, f"smallest {smallest}, found {found}",
          f"{found[WMEM] / smallest:.2f} and {found[RMEM] / smallest:.2f} times that")
    assert max(found.values()) <= 2.5 * smallest
