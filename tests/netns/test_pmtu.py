# SPDX-License-Identifier: GPL-2.0-or-later
"""TCP looks for a smaller size of segment where large ones vanish, and only where that helps."""
import os
import re
import signal
from types import SimpleNamespace

import pytest

from lab import Host, only, run, said, wait_for
from trouble_pmtu import FLOWS, PROBING, TICK_S, Trouble


@pytest.fixture(scope="module")
def world(shared):
    bystander = shared.container("netns", "bt-pmtu-next")
    supervisor = shared.supervisor(tuners=only("pmtu"))
    supervisor.ready("host", bystander.name)
    return SimpleNamespace(supervisor=supervisor, bystander=bystander)


def begin(lab, world, **options):
    trouble = Trouble(lab, **options)
    world.supervisor.ready(trouble.near.name)
    trouble.start()
    return trouble


def probing(container):
    return container.sysctl(PROBING)


def move(trouble):
    """All connections, for a second."""
    stuck, moving = trouble.counts()
    wait_for(lambda: trouble.counts()[1] > moving, 10, "a connection to move")
    stuck, moving = trouble.counts()
    wait_for(lambda: trouble.counts()[1] >= moving + FLOWS / TICK_S, 5, "them to move")
    return trouble.counts()[0] == stuck


def times_out(container, times):
    """Some connection has, so often in a row."""
    told = run(*container.command("ss", "-Htin")).stdout
    return any(int(backoff) >= times for backoff in re.findall(r"\bbackoff:(\d+)", told))


def test_probing_where_large_segments_vanish(lab, world):
    """In this container alone, once, and connections that were stuck move. The log names the remote and the size."""
    others = [Host(), world.bystander]
    before = [probing(other) for other in others]
    trouble = begin(lab, world)
    wait_for(lambda: probing(trouble.near) == "1", 6, "probing to begin")
    wait_for(lambda: move(trouble), 30, "all connections to move")
    print(f"stuck, and moving, in tenths of a second: {trouble.counts()}")
    record = said(world.supervisor, trouble.near.name, f"connections to {trouble.address} move on with segments of ")
    passes = int(re.search(r"segments of (\d+) bytes; those of 1448 were lost", record["text"])[1])
    assert 500 < passes < 1448
    change, = world.supervisor.changes(trouble.near.name)
    assert (change["tunable"], change["from"], change["to"], change["scenario"]) == (PROBING, "0", "1", "black_hole")
    assert f"connections to {trouble.address} are stuck with segments of 1448 bytes" in change["text"]
    assert f"{trouble.address}: segments of " in world.supervisor.cli("status", trouble.near.name).stdout
    assert [probing(other) for other in [*others, trouble.far]] == [*before, "0"]
    assert not world.supervisor.changes(world.bystander.name) and not world.supervisor.changes("host")

    trouble.stop()
    world.supervisor.rollback(trouble.near.name)
    assert probing(trouble.near) == "0"


def test_an_outage_changes_nothing(lab, world):
    """Where nothing at all comes back, the size of segments is not what is wrong."""
    trouble = begin(lab, world, little=False)
    wait_for(lambda: times_out(trouble.near, 4), 15, "a connection to time out again and again")
    assert probing(trouble.near) == "0" and not world.supervisor.changes(trouble.near.name)


def test_undone_where_it_does_not_help(lab, world):
    """No segment of these connections arrives, of whatever size, and then they end. It is not tried again soon."""
    trouble = Trouble(lab)
    trouble.drop("tcp flags & (syn | fin | rst) == 0 meta length > 200")
    world.supervisor.ready(trouble.near.name)
    trouble.start()
    wait_for(lambda: probing(trouble.near) == "1", 6, "probing to begin")
    trouble.stop()
    wait_for(lambda: probing(trouble.near) == "0", 5, "that to be undone")
    record = said(world.supervisor, trouble.near.name, "not again for 10 min")
    assert (record["scenario"], record["from"], record["to"]) == ("of_no_use", "1", "0")
    trouble.start()
    wait_for(lambda: times_out(trouble.near, 4), 15, "a connection to time out again and again")
    assert probing(trouble.near) == "0" and len(world.supervisor.changes(trouble.near.name)) == 2


def test_another_worker_looks_anew(lab, world):
    """One that does not know for whom probing was turned on turns it off, and on again for those that are stuck."""
    trouble = begin(lab, world)
    wait_for(lambda: probing(trouble.near) == "1", 6, "probing to begin")
    os.kill(world.supervisor.instance(trouble.near.name)["worker"]["pid"], signal.SIGKILL)
    record = said(world.supervisor, trouble.near.name, "the worker that turned it on has ended")
    assert (record["scenario"], record["from"], record["to"]) == ("of_no_use", "1", "0")
    trouble.stop()      # on a slow machine these connections have moved by now
    trouble.start()
    wait_for(lambda: probing(trouble.near) == "1", 6, "probing to begin again")
    said(world.supervisor, trouble.near.name, "are stuck with segments of 1448 bytes", 2)


def test_an_administrators_value_stays(lab, world):
    trouble = begin(lab, world)
    wait_for(lambda: probing(trouble.near) == "1", 6, "probing to begin")
    trouble.near.write(PROBING, 0)
    wait_for(lambda: world.supervisor.is_manual(trouble.near.name, "pmtu"), 3, "the tuner to step aside")
    wait_for(lambda: times_out(trouble.near, 4), 15, "a connection to time out again and again")
    assert probing(trouble.near) == "0"
