# SPDX-License-Identifier: GPL-2.0-or-later
"""Every initial value put back, of one container or of all, unless somebody else changed it since."""
import itertools
from types import SimpleNamespace

import pytest

from lab import (BUDGET, CONGESTION, FIN_TIMEOUT, QUEUE, TTL, Host, change, kept_sysctls, names, only, run, values,
                 wait_for)


@pytest.fixture(scope="module")
def world(shared):
    one, two = shared.container("netns", "bt-one"), shared.container("runc", "bt-two")
    supervisor = shared.supervisor(tuners=only("poke"))
    supervisor.ready("host", one.name, two.name)
    return SimpleNamespace(supervisor=supervisor, one=one, two=two)


@pytest.fixture(autouse=True)
def afresh(world):
    """Each test begins with the initial values and active tuners."""
    yield
    for container in "bt-one", "bt-two", "host":
        world.supervisor.rollback(container)
        world.supervisor.resume(container)


def test_of_one(world):
    supervisor, one, two = world.supervisor, world.one, world.two
    initial = values(one)
    for container in one, two:
        change(supervisor, container, "step", "second", "text", "queue", "step")
    changed = values(two)
    assert not [name for name in initial if values(one)[name] == initial[name]]

    result = supervisor.rollback(one.name)
    assert values(one) == initial
    assert values(two) == changed
    assert names(result["restored"]) == [TTL, QUEUE, CONGESTION, FIN_TIMEOUT]      # last change first
    assert not result["left"]
    assert {row["container"] for row in result["restored"]} == {one.name}
    records = supervisor.changes(one.name)[-4:]
    assert [record["tunable"] for record in records] == names(result["restored"])
    assert {record["scenario"] for record in records} == {"rollback"}
    assert supervisor.tunable(one.name, TTL)["current"] == supervisor.tunable(one.name, TTL)["initial"]

    assert {t["state"] for t in supervisor.instance(one.name)["tuners"]} == {"paused"}
    assert {t["state"] for t in supervisor.instance(two.name)["tuners"]} == {"active"}
    one.poke("step", "second")
    change(supervisor, two, "step")     # handled after those
    assert values(one) == initial
    assert not supervisor.rollback(one.name)["restored"]
    assert "nothing to roll back" in supervisor.cli("rollback", one.name).stdout

    supervisor.resume(one.name)
    change(supervisor, one, "step")
    assert values(one) != initial


def test_of_all(world):
    with kept_sysctls((TTL, BUDGET)):
        places = world.one, world.two, Host()
        initial, budget = [values(place) for place in places], Host().sysctl(BUDGET)
        for place in places:
            change(world.supervisor, place, "step", *["second"] * (place.name != "host"))
        change(world.supervisor, world.one, "host")
        assert Host().sysctl(BUDGET) == str(int(budget) + 1)
        result = world.supervisor.rollback()
        assert [values(place) for place in places] == initial
        assert Host().sysctl(BUDGET) == budget
        order = {name: [row["tunable"] for row in result["restored"] if row["container"] == name]
                 for name in ("host", "bt-one", "bt-two")}
        assert order == {"host": [BUDGET, TTL], "bt-one": [FIN_TIMEOUT, TTL], "bt-two": [FIN_TIMEOUT, TTL]}


def test_text(world):
    change(world.supervisor, world.one, "step")
    current, initial = (world.supervisor.tunable("bt-one", TTL)[key] for key in ("current", "initial"))
    assert world.supervisor.cli("rollback", "bt-one").stdout == f"restored {TTL} in bt-one: {current} -> {initial}\n"


def test_dry_run_prints_what_works(world):
    initial = values(world.one), values(world.two)
    for container in world.one, world.two:
        change(world.supervisor, container, "step", "second", "text")
    changed = values(world.one), values(world.two)
    plan = world.supervisor.rollback("--dry-run")["plan"]
    assert names(plan) == [CONGESTION, FIN_TIMEOUT, TTL] * 2
    commands = world.supervisor.cli("rollback", "--all", "--dry-run").stdout
    assert (values(world.one), values(world.two)) == changed
    assert all(t["state"] == "active" for t in world.supervisor.instance("bt-one")["tuners"])
    run("sh", "-ec", commands)
    assert (values(world.one), values(world.two)) == initial


# Another one each time: a worker that was told to read looks again 0.1 s later, and if what it finds then were an initial value
# that an earlier test has left, there would be nothing to roll back.
PACKETS = itertools.count(33)


def set_by_someone_else(world, noticed):
    """One of two changed values: noticed at once, or found when it is to be put back: a change by netlink."""
    change(world.supervisor, world.one, "step", "queue")
    if not noticed:
        run("ip", "-n", world.one.name, "ntable", "change", "name", "arp_cache", "dev", "lo", "queue", next(PACKETS))
        return QUEUE, TTL
    ledger = world.supervisor.tunable(world.one.name, TTL)
    world.one.write(TTL, next(value for value in ("97", "98", "99") if value not in (ledger["initial"], ledger["current"])))
    wait_for(lambda: world.supervisor.is_manual(world.one.name, "poke"), 2, "the tuner to step aside")
    return TTL, QUEUE


@pytest.mark.parametrize("noticed", [True, False])
def test_what_someone_else_set_is_left(world, noticed):
    theirs, _ = set_by_someone_else(world, noticed)
    now = values(world.one)
    result = world.supervisor.rollback(world.one.name)
    left = {row["tunable"]: row for row in result["left"]}
    assert left[theirs]["why"] == "somebody else set it since" and left[theirs]["container"] == world.one.name
    assert theirs not in names(result["restored"])
    assert values(world.one)[theirs] == now[theirs]


@pytest.mark.parametrize("noticed", [True, False])
def test_the_tuners_other_values_are_put_back(world, noticed):
    initial = values(world.one)
    theirs, ours = set_by_someone_else(world, noticed)
    result = world.supervisor.rollback(world.one.name)
    assert names(result["restored"]) == [ours] and names(result["left"]) == [theirs]
    assert values(world.one)[ours] == initial[ours]
