# SPDX-License-Identifier: GPL-2.0-or-later
"""The queues in which frames wait for a CPU become longer where a CPU drops frames though it has time to spare, for each container
by no more than its share, and go back when the need has gone. Here, as in a machine of its own an idle CPU is idle."""
import os
from types import SimpleNamespace

import pytest

from lab import Host, number, only, wait_for
from trouble_backlog import BACKLOG, SMALL, Trouble

pytestmark = pytest.mark.last

MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
WHOLE = min(16384, MEMORY // 64 // 2048 // os.cpu_count())       # tuners/decide_backlog.c
LONG = {"burst_s": 0.5, "rest": 2}       # many times as long as what the program measures


@pytest.fixture
def make(lab):
    """A supervisor that finds the trouble there, which is yet to start."""
    def make(**options):
        trouble = Trouble(lab, f"bt-frames{number()}", **options)
        supervisor = lab.supervisor(tuners=only("backlog"))
        supervisor.ready("host", trouble.container.name)
        return SimpleNamespace(trouble=trouble, container=trouble.container, supervisor=supervisor)
    return make


def value():
    return int(Host().sysctl(BACKLOG))


def share(since, now):
    """Of the frames that came, how many were dropped for want of room."""
    return (now[0] - since[0]) / max(1, now[1] - since[1])


def raised(world):
    """Waits until it is; gives the changes."""
    world.trouble.start()
    return wait_for(lambda: world.supervisor.changes("host", BACKLOG), 10, f"{BACKLOG} to rise")


def cured(trouble, without):
    """Waits until of 1,000 frames, or more, hardly any are dropped; gives the share."""
    since = trouble.counts()

    def is_cured():
        nonlocal since
        now = trouble.counts()
        if now[1] - since[1] < 1000:
            return None
        of_these, since = share(since, now), now
        return (of_these,) if of_these <= without / 20 else None
    return wait_for(is_cured, 10, "the drops to end")[0]


def test_raised_for_the_container(make):
    """In the host, by what the queues were measured to lack. Both logs tell for whom; when that container ends, it goes back."""
    world = make()
    before = world.trouble.counts()
    change = raised(world)[0]
    without = share(before, world.trouble.counts())
    with_it = cured(world.trouble, without)
    changes = world.supervisor.changes("host", BACKLOG)
    print(f"dropped: {without:.1%} without, {with_it:.2%} with bpftune; {SMALL} -> {value()} in {len(changes)} changes")
    assert len(changes) <= 6 and value() <= SMALL + WHOLE
    assert (change["tuner"], change["scenario"], change["from"]) == ("backlog", "backlog_full", str(SMALL))
    assert change["text"].endswith(f"; asked for by {world.container.name}")
    assert world.supervisor.changes(world.container.name)[0]["to"] == change["to"]

    world.trouble.stop()
    world.container.clear(world.container.name)
    wait_for(lambda: value() == SMALL, 20, "the queues to be as long as before")
    world.supervisor.wait_for_log("host", BACKLOG, Host())
    assert world.supervisor.changes("host", BACKLOG)[-1]["scenario"] == "not_needed"


def test_undone_where_it_is_of_no_use(make):
    """Most of each burst is dropped all the same."""
    world = make(**LONG)
    raised(world)
    undone = wait_for(lambda: next((change for change in world.supervisor.changes("host", BACKLOG)
                                    if "of no use" in change["text"]), None), 10, "a step to be undone")
    assert int(undone["to"]) < int(undone["from"]) and "is not tried for" in undone["text"]


def test_bounded(lab, make):
    """Whoever makes its own frames be dropped gets its share of what all may have together."""
    for _ in range(7):
        lab.container("netns", f"bt-frames{number()}")
    world = make(**LONG)
    names = [name for name in world.supervisor.instances() if name.startswith("bt-frames")]
    world.supervisor.ready(*names)
    n_askers = sum(instance["worker"]["state"] == "ready" for instance in world.supervisor.status()["instances"]) - 1
    assert n_askers >= 8
    raised(world)
    since = world.trouble.counts()
    wait_for(lambda: world.trouble.counts()[1] > since[1] + 10000, 20, "more frames to come")
    assert max(int(change["to"]) for change in world.supervisor.changes("host", BACKLOG)) <= SMALL + WHOLE // n_askers


def test_an_administrator_is_first(make):
    world = make()
    raised(world)
    theirs = SMALL + 1
    Host().write(BACKLOG, theirs)
    wait_for(lambda: world.supervisor.is_manual("host", "backlog"), 3, "the tuner to step aside")
    since = world.trouble.counts()
    wait_for(lambda: world.trouble.counts()[0] > since[0] + 1000, 20, "more frames to be dropped")
    assert value() == theirs


def test_rollback(make):
    world = make()
    raised(world)
    world.trouble.stop()
    world.supervisor.rollback("host")
    assert value() == SMALL
