# SPDX-License-Identifier: GPL-2.0-or-later
"""The memory of fragments that wait for others: it is raised where that helps, in that namespace alone, and no further than to
a share of the machine's memory."""
import pathlib

import pytest

from lab import Host, number, only, run, sysctl_path, wait_for
from trouble_frag import HIGH, LOW, SMALL, Trouble

DEFAULT = 4 << 20
MOST, SHARE = 32 << 20, 512    # tuners/frag.c


@pytest.fixture(scope="module")
def supervisor(shared):
    """With the test tuner, for events of another one."""
    supervisor = shared.supervisor(tuners=only("frag", "poke"))
    supervisor.ready("host")
    return supervisor


def make(lab, supervisor, **options):
    trouble = Trouble(lab, f"bt-frag{number()}", **options)
    supervisor.ready(trouble.container.name)
    return trouble


def limits(place):
    """As they are there, to the byte."""
    return {name: run("nsenter", f"--net={place.netns}", "cat", sysctl_path(name)).stdout
            for name in (*HIGH.values(), *LOW.values())}


def has_room(container):
    """A share of the machine's memory is more than the limit by so much that it is worth a step."""
    available = next(int(line.split()[1]) for line in pathlib.Path("/proc/meminfo").read_text().splitlines()
                     if line.startswith("MemAvailable:"))
    return (available << 10) // SHARE > 5 * int(container.sysctl(HIGH[4])) // 4


def share(counts, before=(0, 0)):
    """Of the fragments, how many were dropped for want of memory."""
    return (counts[0] - before[0]) / (counts[1] - before[1])


def raised(supervisor, trouble):
    """Waits until each limit is; gives the changes of each."""
    name = trouble.container.name
    wait_for(lambda: all(supervisor.changes(name, HIGH[family]) for family in trouble.families), 10, "the limits to rise")
    return {family: supervisor.changes(name, HIGH[family]) for family in trouble.families}


def test_raised_where_it_helps(lab, supervisor):
    """In this container alone, once, and all that waits arrives. The log tells why."""
    trouble, neighbour = make(lab, supervisor), lab.container("netns", f"bt-frag{number()}")
    supervisor.ready(neighbour.name)
    before = limits(Host()), limits(neighbour)
    trouble.start()
    raised(supervisor, trouble)
    without = share(trouble.counts())
    for clients in trouble.clients:
        clients.arrive(batches=10)
    counts = trouble.counts()
    for clients in trouble.clients:
        clients.arrive(batches=40)
    with_it = share(trouble.counts(), counts)
    print(f"dropped for want of memory: {without:.1%} without, {with_it:.1%} with bpftune")
    assert with_it <= without / 20
    assert trouble.values() == {name: str(4 * SMALL) for name in HIGH.values()}
    assert {trouble.container.sysctl(name) for name in LOW.values()} == {str(SMALL)}
    for family, (change,) in raised(supervisor, trouble).items():
        assert (change["tuner"], change["scenario"]) == ("frag", f"ipv{family}_memory_full")
        assert "ReasmFails per" in change["text"]
    assert (limits(Host()), limits(neighbour)) == before
    assert not supervisor.changes(neighbour.name)


def test_undone_where_it_does_not(lab, supervisor):
    """Fragments without an end would fill any memory."""
    trouble = make(lab, supervisor, waiting=2000, kind="first")
    name = trouble.container.name
    trouble.start()
    for limit in HIGH.values():
        wait_for(lambda: len(supervisor.changes(name, limit)) >= 2, 10, f"{limit} to rise and to be put back")
        risen, undone, *_ = supervisor.changes(name, limit)
        assert int(risen["to"]) == 4 * SMALL and int(undone["to"]) == SMALL
        assert "of no use" in undone["text"]


def test_lost_fragments_are_another_trouble(lab, supervisor):
    """They count as ReasmFails when their time is over, maybe while another tuner's events come in: no step is made."""
    lossy = make(lab, supervisor, waiting=50, kind="first",
                 sysctls={"net.ipv4.ipfrag_time": "1", "net.ipv6.ip6frag_time": "1"})
    lossy.start()

    def have_failed():
        lossy.container.poke("nothing")
        return lossy.counters()["ReasmTimeout"] >= 6000     # of three seconds, which are at least two windows
    wait_for(have_failed, 30, "6,000 fragments to be lost")
    assert not [change for change in supervisor.changes(lossy.container.name) if change["tuner"] == "frag"]


@pytest.mark.parametrize("limit", [HIGH[4], LOW[6]])
def test_an_administrator_is_first(lab, supervisor, limit):
    """A write of any of the limits: what is raised stays so, and what is written stays, too."""
    trouble = make(lab, supervisor, families=(4,))
    trouble.start()
    raised(supervisor, trouble)
    theirs = 3 * SMALL // 2
    trouble.container.write(limit, theirs)
    wait_for(lambda: supervisor.is_manual(trouble.container.name, "frag"), 3, "the tuner to step aside")
    counts = trouble.counts()
    wait_for(lambda: trouble.counts()[1] > counts[1] + 2000, 10, "more fragments to come")
    assert trouble.container.sysctl(limit) == str(theirs)


def test_rollback(lab, supervisor):
    """Puts back what there was, to the byte."""
    trouble = make(lab, supervisor)
    before = limits(trouble.container)
    trouble.start()
    raised(supervisor, trouble)
    trouble.stop()
    supervisor.rollback(trouble.container.name)
    assert limits(trouble.container) == before


def test_bounded(lab, supervisor):
    """Whoever can send what it likes makes its own limit rise, up to a share of the machine's memory and no further."""
    greedy = make(lab, supervisor, families=(4,), sysctls={})
    name, before = greedy.container.name, limits(Host())
    assert greedy.container.sysctl(HIGH[4]) == str(DEFAULT)
    for count, waiting in enumerate((4000, 10000), 1):
        if not has_room(greedy.container):
            break
        greedy.waiting = waiting
        greedy.start()
        wait_for(lambda: len(supervisor.changes(name, HIGH[4])) >= count, 20, f"{HIGH[4]} to rise")
        greedy.stop()
    if not supervisor.changes(name, HIGH[4]):
        pytest.skip("needs 3 GB of free memory")
    most = max(int(change["to"]) for change in supervisor.changes(name, HIGH[4]))
    assert DEFAULT < most <= MOST
    assert limits(Host()) == before
