# SPDX-License-Identifier: GPL-2.0-or-later
"""Neighbour tables, which all namespaces share, grow for neighbours that exist, of each container up to its share; for
nobody else, and not for longer than they are needed."""
import contextlib
import os
import subprocess
import time

import pytest

from lab import Host, number, only, run, said, wait_for
from trouble_neigh import SMALL, TABLES, Network, Trouble, make_small, statistics


@pytest.fixture(scope="module")
def supervisor(shared):
    supervisor = shared.supervisor(tuners=only("neigh"))
    supervisor.ready("host")
    return supervisor


@pytest.fixture
def trouble(lab, supervisor):
    trouble = Trouble(lab)
    supervisor.ready("host", trouble.network.near.name)
    return trouble


def thresholds(family="ipv4"):
    return [int(Host().sysctl(name)) for name in TABLES[family]]


def everything(container):
    """What a namespace has of sysctls about neighbours, to the byte."""
    return run("nsenter", f"--net={container.netns}", "sh", "-c", "grep -r . /proc/sys/net/ipv4/neigh /proc/sys/net/ipv6/neigh").stdout


def in_order(values):
    return values == sorted(values) and values[0] > 0


def raised(supervisor, family="ipv4"):
    """Waits until all of a table's thresholds have followed."""
    wait_for(lambda: thresholds(family)[2] > SMALL[2], 10, "gc_thresh3 to rise")
    wait_for(lambda: in_order(thresholds(family)) and thresholds(family)[1] * SMALL[2] >= thresholds(family)[2] * SMALL[1] and
             supervisor.instance("host")["learnt"], 10, "gc_thresh1 and gc_thresh2 to follow")
    return thresholds(family)


@pytest.mark.parametrize("family", TABLES)
def test_raised_for_neighbours_that_exist(lab, supervisor, family):
    """600 under 128, first without neigh; at the end of the container all is back."""
    trouble, other = Trouble(lab, family), "ipv6" if family == "ipv4" else "ipv4"
    near, bystander = trouble.network.near, lab.container("netns", f"bt-bystander{number()}")
    supervisor.ready("host", near.name, bystander.name)
    before, told, first = everything(bystander), len(supervisor.changes("host")), trouble.counts()
    supervisor.cli("off", "host", "neigh")
    trouble.start()
    wait_for(lambda: trouble.counts()[0] >= first[0] + 2 * trouble.NEIGHBOURS, 10, "neighbours to be refused")
    without, first = trouble.network.known(), trouble.counts()
    supervisor.cli("on", "host", "neigh")
    began = time.monotonic()
    wait_for(lambda: trouble.network.known() == trouble.NEIGHBOURS, 10, "all neighbours to be known")
    took, refused = time.monotonic() - began, trouble.counts()[0] - first[0]
    values = raised(supervisor, family)
    mark = trouble.counts()
    wait_for(lambda: trouble.counts()[1] >= mark[1] + 2 * trouble.NEIGHBOURS, 10, "two rounds more")
    changes = supervisor.changes("host")[told:]
    print(f"without neigh {without} known; with it {trouble.NEIGHBOURS} after {took:.1f} s, {len(changes)} changes; {refused} were refused; thresholds {values}")
    assert without <= SMALL[2] and trouble.counts()[0] == mark[0], "neighbours are refused"
    assert len(changes) <= 6 and {change["tunable"] for change in changes} == set(TABLES[family])
    limit = [change for change in changes if change["tunable"] == TABLES[family][2]]
    assert {change["scenario"] for change in limit} <= {"table_full", "nearly_full"}
    for change in limit:
        assert "have answered" in change["text"] and change["text"].endswith(f"; asked for by {near.name}")
    assert [change["to"] for change in supervisor.changes(near.name)] == [change["to"] for change in limit]
    assert thresholds(other) == list(SMALL)
    assert everything(bystander) == before and not supervisor.changes(bystander.name)
    trouble.stop()
    near.clear(near.name)
    wait_for(lambda: thresholds(family) == list(SMALL), 15, "the thresholds to go back")
    supervisor.wait_for_log("host", TABLES[family][2], Host())
    assert supervisor.changes("host", TABLES[family][2])[-1]["scenario"] == "not_needed"
    wait_for(lambda: not supervisor.instance("host")["learnt"], 5, "the programs to be told")


def test_addresses_that_nobody_has(supervisor, trouble):
    """A scan raises nothing. What was raised before goes back, as more room holds more of such addresses only."""
    network, near = trouble.network, trouble.network.near
    trouble.start()
    raised(supervisor)
    trouble.stop()
    network.send(network.dead, 4000, pause=0.05)
    wait_for(lambda: thresholds() == list(SMALL), 30, "what was raised to go back")
    record = said(supervisor, "host", "is not raised for addresses")
    assert record["text"].endswith(f"; asked for by {near.name}")
    supervisor.wait_for_log("host", TABLES["ipv4"][2], Host())
    change = supervisor.changes("host", TABLES["ipv4"][2])[-1]
    assert change["scenario"] == "unanswered" and change["text"].startswith("of no use: ")
    said(supervisor, near.name, "of no use: ")
    first = statistics()["table_fulls"]
    wait_for(lambda: statistics()["table_fulls"] > first + 20000, 30, "more of the scan")
    assert thresholds() == list(SMALL)


def test_collected_too_early(lab, supervisor):
    """Neighbours that garbage collection removes just before they are needed: gc_thresh2 and gc_thresh1 rise, as gc_thresh3 has
    room. The kernel removes those that were not used for a while (NUD_STALE)."""
    with contextlib.ExitStack() as stack:
        make_small(stack, (16, 64, 1024))
        network = Network(lab)
        supervisor.ready("host", network.near.name)
        batch = "".join(f"neigh add {network.first + i} lladdr {network.address()} dev v0 nud stale\n" for i in range(300))
        subprocess.run(["ip", "-n", network.near.name, "-batch", "-"], input=batch, text=True, check=True)
        network.send(network.ALL, 0, fresh=1)
        wait_for(lambda: network.known() < 100, 20, "neighbours to be removed")
        network.send(network.first, 300)
        wait_for(lambda: thresholds() == [448, 896, 1024], 10, "gc_thresh1 and gc_thresh2 to rise")
        supervisor.wait_for_log("host", TABLES["ipv4"][1], Host())
        change = supervisor.changes("host", TABLES["ipv4"][1])[-1]
        assert change["scenario"] == "churn" and "were made again" in change["text"]
        assert change["text"].endswith(f"; asked for by {network.near.name}")


def test_a_container_has_its_share(lab, supervisor):
    """Who fills the table with as many neighbours as he likes, which all answer, gets no further; another container finds room."""
    with contextlib.ExitStack() as stack:
        make_small(stack)
        network, other = Network(lab), Network(lab)
        crowd = [lab.container("netns", f"bt-crowd{network.number}-{i}") for i in range(16)]
        supervisor.ready("host", network.near.name, other.near.name, *(container.name for container in crowd), deadline=15)
        entries = min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE") // 64 // 1024, 131072)
        share = entries // (len(supervisor.workers()) - 2)      # somebody else may have had a worker just now
        attack = network.send(network.ALL, 2 * share, pause=0)
        wait_for(lambda: any("not raised any further" in record["text"] for record in supervisor.log(network.near.name)), 60,
                 "the share to be used up")
        print(f"a share of {share} at most; thresholds {thresholds()}, {statistics()['entries']} entries")
        assert SMALL[2] < thresholds()[2] <= SMALL[2] + share
        attack.remove()
        other.send(other.first, 600)
        wait_for(lambda: other.known() == 600, 20, "the other container's neighbours to be known")
        assert thresholds()[2] <= SMALL[2] + 2 * share


def test_an_administrators_threshold_stays(supervisor, trouble):
    trouble.start()
    raised(supervisor)
    Host().write(TABLES["ipv4"][2], 300)
    wait_for(lambda: supervisor.is_manual("host", "neigh"), 3, "the tuner to step aside")
    first = trouble.counts()[0]
    wait_for(lambda: trouble.counts()[0] > first, 15, "neighbours to be refused")
    assert thresholds()[2] == 300


def test_rollback(supervisor, trouble):
    trouble.start()
    raised(supervisor)
    trouble.stop()
    supervisor.rollback("host")
    assert thresholds() == list(SMALL)
