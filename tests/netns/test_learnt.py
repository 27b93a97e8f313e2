# SPDX-License-Identifier: GPL-2.0-or-later
"""What tuners learn is shown for each container, and what they decide reaches their programs, there only."""
from collections import Counter
import sys

import pytest

from crowd import verdicts
from lab import only, said, wait_for


def learnt(supervisor, container):
    return {row["about"]: row["text"] for row in supervisor.instance(container.name)["learnt"] if row["tuner"] == "poke"}


def learn(supervisor, container, text):
    container.poke("learn")
    wait_for(lambda: learnt(supervisor, container).get("poke 0") == text, 2, f"'{text}' in {container.name}")


def test_dry_run(lab):
    """The first here, as the others share a supervisor."""
    container = lab.container("netns", "bt-learn")
    supervisor = lab.supervisor("--dry-run", tuners=only("poke"))
    supervisor.ready(container.name)
    learn(supervisor, container, "is 1")
    said(supervisor, container.name, "would decide: poke 0: is 1")
    container.poke("tell")
    said(supervisor, container.name, "the program finds 0")


@pytest.fixture(scope="module")
def supervisor(shared):
    return shared.supervisor(tuners=only("poke"))


def test_verdict(lab, supervisor):
    """Each 'learn' decides one more than the program finds; zero takes it back."""
    one, other = lab.container("netns", "bt-learns"), lab.container("runc", "bt-learns-not")
    supervisor.ready(one.name, other.name)
    for number in 1, 2:
        learn(supervisor, one, f"is {number}")
        assert said(supervisor, one.name, f"poke 0: is {number}")["tuner"] == "poke"
    for container, number in (one, 2), (other, 0):
        container.poke("tell")
        said(supervisor, container.name, f"the program finds {number}")
    assert not learnt(supervisor, other)
    assert "* poke: poke 0: is 2\n" in supervisor.cli("status", one.name).stdout
    learn(supervisor, one, "is 3")
    learn(supervisor, one, "is 0")
    one.poke("tell")
    said(supervisor, one.name, "the program finds 0")


def test_bounded(lab, supervisor):
    """64 are kept, the newest ones; what goes is taken back from the program."""
    container = lab.container("netns", "bt-learns-much")
    supervisor.ready(container.name)
    learn(supervisor, container, "is 1")
    container.poke("learn_many")
    wait_for(lambda: "poke 64" in learnt(supervisor, container), 2, "the last of many")
    assert list(learnt(supervisor, container)) == [f"poke {number}" for number in range(1, 65)]
    container.poke("tell")
    said(supervisor, container.name, "the program finds 0")


def in_effect(supervisor):
    """How many verdicts `status` shows as in effect, of each namespace that has any."""
    rows = ((instance["netns"]["cookie"], row) for instance in supervisor.status()["instances"] for row in instance["learnt"])
    return Counter(cookie for cookie, row in rows if row["in_effect"])


def test_more_than_the_map_has_room_for(lab, supervisor):
    """poke's map has room for 1,024 verdicts. Many containers' push out nobody's, and `status` shows what the map holds."""
    one, *others = (lab.container("netns", f"bt-crowd{number}") for number in range(18))
    supervisor.ready(*(container.name for container in (one, *others)))
    learn(supervisor, one, "is 1")
    for container in others:
        container.poke("learn_many")
    for container in others:
        wait_for(lambda: "poke 64" in learnt(supervisor, container), 10, f"the last of {container.name}")
    shown = in_effect(supervisor)
    assert shown == Counter(int.from_bytes(key[:8], sys.byteorder) for key in verdicts(supervisor))
    assert sum(shown.values()) == 1024
    one.poke("tell")
    said(supervisor, one.name, "the program finds 1")
