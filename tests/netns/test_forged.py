# SPDX-License-Identifier: GPL-2.0-or-later
"""An event that cannot be right is counted, and nothing comes of it."""

import pytest

from crowd import FROM_SUPERVISOR, FROM_WATCH, Sleeper, forge, wait_for_instance
from lab import Host, only, wait_for


@pytest.fixture(scope="module")
def supervisor(shared):
    supervisor = shared.supervisor(tuners=only("tcp_buffer"))
    supervisor.ready("host")
    return supervisor


@pytest.fixture(scope="module")
def container(shared, supervisor):
    container = shared.container("netns", "bt-forged")
    supervisor.ready(container.name)
    return container


@pytest.fixture(scope="module")
def retired(supervisor):
    """The id of an instance that was."""
    sleeper = Sleeper()
    try:
        instance = wait_for_instance(supervisor, sleeper)
    finally:
        sleeper.remove()
    wait_for(lambda: instance["id"] not in [i["id"] for i in supervisor.status()["instances"]], 3, "it to go")
    return instance["id"]


@pytest.mark.parametrize("what, event", [
    ("no such namespace", (2**63 + 5, 0, 0, 0)),
    ("no namespace", (0, 0, 0, 0)),
    ("a retired instance", ("cookie", "retired", 0, 0)),
    ("an instance to come", ("cookie", 2**40, 0, 0)),
    ("no such tuner", ("cookie", 0, 1, 0)),
    ("no such tuner by far", ("cookie", 0, 0x7fff, 0)),
    ("no such scenario", ("cookie", 0, 0, 999)),
    ("an order, which only the supervisor gives", ("cookie", 0, FROM_SUPERVISOR, 0)),
    ("no such watch event", ("cookie", 0, FROM_WATCH, 0x7fff)),
], ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "")
def test_event_that_cannot_be(supervisor, container, retired, what, event):
    # The hand-written numbers above: there is one tuner, and it has fewer scenarios.
    assert [tuner["name"] for tuner in supervisor.status()["tuners"]] == ["tcp_buffer"]
    words = {"cookie": container.cookie(), "retired": retired}
    before, limits = supervisor.status(), (container.limits(), Host().limits())

    forge(supervisor, [words.get(field, field) for field in event])

    wait_for(lambda: supervisor.status()["events"]["unroutable"] == before["events"]["unroutable"] + 1, 2, what)
    after = supervisor.status()
    assert after["events"]["routed"] == before["events"]["routed"]
    assert {i["id"]: i["worker"] for i in after["instances"]} == {i["id"]: i["worker"] for i in before["instances"]}
    assert (container.limits(), Host().limits()) == limits
    assert not [t for i in after["instances"] for t in i["tunables"] if t["changes"]]


def test_event_that_can_be(supervisor, container):
    """That forging works: by cookie, and by the instance's id."""
    before = supervisor.status()["events"]
    forge(supervisor, (container.cookie(), 0, 0, 0),
          (container.cookie(), supervisor.instance(container.name)["id"], 0, 1))
    wait_for(lambda: supervisor.status()["events"]["routed"] == before["routed"] + 2, 2, "both to be routed")
    assert supervisor.status()["events"]["unroutable"] == before["unroutable"]
