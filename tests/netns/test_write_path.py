# SPDX-License-Identifier: GPL-2.0-or-later
"""The one write path on a real kernel: what it refuses is said, and leaves the ledger true."""
from types import SimpleNamespace

import pytest

from lab import (BUDGET, CONGESTION, FIN_TIMEOUT, TTL, Host, assert_true_ledger, change, kept_sysctls, only, run, said,
                 values, wait_for)

MISSING, RP_FILTER = "net.ipv4.poke_missing", "net.ipv4.conf.poke0/1.rp_filter"


@pytest.fixture(scope="module")
def world(shared):
    """Two containers that have a device with a dot in its name, and one that has not."""
    container, going, plain = (shared.container("netns", "bt-errors"), shared.container("netns", "bt-going"),
                               shared.container("runc", "bt-plain"))
    for one in container, going:
        run("ip", "-n", one.name, "link", "add", "poke0.1", "type", "veth", "peer", "poke1")
    supervisor = shared.supervisor(tuners=only("poke"))
    supervisor.ready("host", container.name, going.name, plain.name)
    return SimpleNamespace(supervisor=supervisor, container=container, going=going, plain=plain)


def test_string(world):
    before = world.container.sysctl(CONGESTION)
    change(world.supervisor, world.container, "text")
    assert world.container.sysctl(CONGESTION) != before
    record = world.supervisor.changes(world.container.name, CONGESTION)[-1]
    assert (record["from"], record["to"]) == (before, world.container.sysctl(CONGESTION))


def test_dots_and_slashes(world):
    path = "/proc/sys/net/ipv4/conf/poke0.1/rp_filter"
    before = int(run("nsenter", f"--net={world.container.netns}", "cat", path).stdout)
    change(world.supervisor, world.container, "device")
    assert int(run("nsenter", f"--net={world.container.netns}", "cat", path).stdout) == before + 1
    assert world.supervisor.changes(world.container.name)[-1]["tunable"] == RP_FILTER


def test_no_such_sysctl(world):
    record = said(world.supervisor, world.plain.name, MISSING)
    assert record["text"] == f"cannot read {MISSING}: No such file or directory"
    before = values(world.plain)
    world.plain.poke("missing")
    change(world.supervisor, world.plain, "second")      # it goes on with the next
    assert not [t for t in world.supervisor.instance(world.plain.name)["tunables"] if t["name"] == MISSING]
    assert values(world.plain)[TTL] == before[TTL]


def test_sysctl_that_goes(world):
    """It was there when the worker began."""
    container = world.going
    change(world.supervisor, container, "device")
    run("ip", "-n", container.name, "link", "del", "poke0.1")
    container.poke("device")
    record = said(world.supervisor, container.name, "cannot write")
    assert record["text"] == f"cannot write {RP_FILTER}: this namespace has no such tunable"
    assert world.supervisor.tunable(container.name, RP_FILTER)["changes"] == 1
    change(world.supervisor, container, "step")
    result = world.supervisor.rollback(container.name)
    assert [row["tunable"] for row in result["restored"]] == [TTL]
    assert [row["tunable"] for row in result["left"]] == [RP_FILTER] and result["left"][0]["why"]


def test_kernel_refuses(world):
    before = world.container.sysctl(TTL)
    world.container.poke("kernel_refuses")
    record = said(world.supervisor, world.container.name, f"cannot write {TTL}")
    assert record["text"] == f"cannot write {TTL}: the kernel does not take {int(before) + 300}"
    assert world.container.sysctl(TTL) == before
    assert_true_ledger(world.supervisor, world.container)
    change(world.supervisor, world.container, "step")    # nothing is stuck


def test_out_of_range(world):
    before = world.container.sysctl(FIN_TIMEOUT)
    world.container.poke("out_of_range")
    said(world.supervisor, world.container.name, "out_of_range: refused: Numerical result out of range")
    assert world.container.sysctl(FIN_TIMEOUT) == before
    change(world.supervisor, world.container, "second")


def test_host_scoped(world):
    with kept_sysctls((BUDGET,)):
        before = int(Host().sysctl(BUDGET))
        world.container.poke("host")
        wait_for(lambda: Host().sysctl(BUDGET) == str(before + 1), 2, "the host's value to change")
        own, host = (said(world.supervisor, name, "asked for by") for name in (world.container.name, "host"))
        for record in own, host:
            assert record["text"].endswith(f"asked for by {world.container.name}")
            assert (record["tunable"], record["from"], record["to"]) == (BUDGET, str(before), str(before + 1))
            assert record["container"] == "host"
        assert not [t for t in world.supervisor.instance(world.container.name)["tunables"] if t["name"] == BUDGET]
        assert "asked for" not in str(world.supervisor.log(world.plain.name))
        world.supervisor.rollback("host")
    world.supervisor.resume("host")
