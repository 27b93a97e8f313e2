# SPDX-License-Identifier: GPL-2.0-or-later
"""Streams: what repeats is folded, a slow reader holds nothing up, and no name reaches a terminal raw."""
import os
import signal
import subprocess

import pytest

from lab import change, only, run, wait_for


@pytest.fixture(scope="module")
def container(shared):
    return shared.container("netns", "bt-log")


@pytest.fixture(scope="module")
def supervisor(shared, container):
    supervisor = shared.supervisor(tuners=only("poke"))
    supervisor.ready("host", container.name)
    return supervisor


def test_folding(supervisor, container):
    container.poke("repeat")
    change(supervisor, container, "step")
    texts = [record["text"] for record in supervisor.log(container.name)]
    assert texts[-3:] == ["the same", "the last record was repeated 14 times", "poked"]
    lines = supervisor.cli("log", container.name).stdout.splitlines()
    assert lines[-2].endswith(f" {container.name} poke: the last record was repeated 14 times")


def test_slow_reader(lab, supervisor, container):
    """It stops reading while thousands of records come; the others go on, and it is told what it missed."""
    output, errors = supervisor.directory / "followed", supervisor.directory / "missed"
    with output.open("w") as stdout, errors.open("w") as stderr:
        follower = subprocess.Popen(supervisor.command("log", "-f", "-n", "0", container.name),
                                    stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
    lab.callback(follower.wait)
    lab.callback(follower.kill)
    wait_for(lambda: change(supervisor, container, "step") or "poked" in output.read_text(), 2, "the follower to follow")
    os.kill(follower.pid, signal.SIGSTOP)
    container.poke("chatter")
    wait_for(lambda: supervisor.log(container.name, "-n", "1")[0]["text"].startswith("chatter 1999 "), 5,
             "the last record")
    change(supervisor, container, "second")      # not held up
    os.kill(follower.pid, signal.SIGCONT)
    wait_for(lambda: "chatter 0 " in output.read_text(), 2, "the follower to go on")

    def told():
        container.poke("step")      # what it missed is told with what comes next
        return "records were missed" in errors.read_text()
    wait_for(told, 5, "the follower to be told")
    missed = int(errors.read_text().split()[1])
    shown = output.read_text().count("chatter ")
    assert 0 < shown < 2000 and missed >= 2000 - shown
    assert follower.poll() is None


@pytest.mark.parametrize("name, shown", [
    ("bt-\x1b[31mred", r"bt-\x1b[31mred"), ("bt-\x07", r"bt-\x07"), ("bt-line\nbreak", r"bt-line\x0abreak"),
    ("bt-a tab\t", r"bt-a tab\x09"), ("bt-\udcff", r"bt-\xff"), ("bt-käse", "bt-käse"),
], ids=["escape", "bell", "newline", "blank", "no UTF-8", "UTF-8"])
def test_names_are_escaped(lab, supervisor, name, shown):
    container = lab.container("netns", name)
    supervisor.ready(shown)
    container.name = shown      # what an operator calls it
    change(supervisor, container, "step")
    for output in (supervisor.cli("log", shown).stdout, supervisor.cli("status").stdout, supervisor.stderr(),
                   supervisor.cli("rollback", "--dry-run", shown).stdout):
        assert shown in output
        assert not [c for c in output if not c.isprintable() and c != "\n"]
    run("sh", "-ec", supervisor.cli("rollback", "--dry-run", shown).stdout)
