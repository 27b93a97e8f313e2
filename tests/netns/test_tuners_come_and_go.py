# SPDX-License-Identifier: GPL-2.0-or-later
"""Tuners come and go with their files while the supervisor runs."""
import json
import os
import pathlib
import shutil
import struct

import pytest

from lab import (AMPLE, PLAIN, POKE, SMALL_WMEM, TTL, TUNERS, WMEM, change, maximum, run, wait_for)

pytestmark = pytest.mark.alone
POKE_FILE = pathlib.Path(POKE, "poke.so")


@pytest.fixture
def directory(tmp_path):
    """The tuners' directory: with tcp_buffer, and by copies of files, as an installation has it."""
    path = tmp_path / "tuners"
    path.mkdir(mode=0o755)
    shutil.copy(pathlib.Path(TUNERS, "tcp_buffer.so"), path)
    return path


def install(directory, name="poke.so", content=None):
    """As package managers do: whole, by a rename."""
    new = directory / f"{name}.dpkg-new"
    new.write_bytes(POKE_FILE.read_bytes() if content is None else content)
    new.chmod(0o644)
    new.rename(directory / name)


def tuners(supervisor):
    return [(tuner["name"], tuner["state"]) for tuner in json.loads(supervisor.cli("tuners", "--json").stdout)]


def wait_for_tuners(supervisor, *expected):
    wait_for(lambda: tuners(supervisor) == list(expected), 3, f"the tuners {expected}")


def wait_for_line(supervisor, text, count=1):
    wait_for(lambda: supervisor.stderr().count(text) >= count, 3, f"'{text}' to be said")


def other_abi():
    """poke.so, but its note is of ABI 99: see tuners/tuner.h."""
    content = bytearray(POKE_FILE.read_bytes())
    head = struct.pack("<III8s", 8, 32, 1, b"bpftune")
    assert content.count(head) == 1
    struct.pack_into("<I", content, content.index(head) + len(head), 99)
    return bytes(content)


def test_added_and_removed(lab, directory):
    """It acts in a container of before and in a new one. Removed, it acts no more; its values stay, and are rolled back."""
    supervisor = lab.supervisor(tuners=directory)
    old = lab.container("netns", "bt-old")
    supervisor.ready("host", old.name)
    workers = supervisor.workers()
    wait_for_tuners(supervisor, ("tcp_buffer", "active"))

    install(directory)
    wait_for_tuners(supervisor, ("tcp_buffer", "active"), ("poke", "active"))
    wait_for_line(supervisor, "2 workers were replaced, one after another")
    supervisor.ready("host", old.name)
    new = lab.container("netns", "bt-new")
    supervisor.ready(new.name)
    initial = old.sysctl(TTL)
    for container in old, new:
        change(supervisor, container, "step")
        assert container.sysctl(TTL) == str(int(initial) + 1)
    assert not workers.items() & supervisor.workers().items()       # other processes, of which none has crashed
    assert all(not instance["worker"]["restarts"] for instance in supervisor.status()["instances"])
    programs = "\n".join(hook["program"] for tuner in supervisor.status()["tuners"] for hook in tuner["hooks"])
    assert "poke_exec" in programs

    workers = supervisor.workers()
    (directory / "poke.so").unlink()
    wait_for_tuners(supervisor, ("tcp_buffer", "active"), ("poke", "removed"))
    assert f"tuner poke is removed, as {directory}/poke.so is" in supervisor.stderr()
    assert not json.loads(supervisor.cli("tuners", "--json").stdout)[1]["hooks"]
    assert "removed: its file was removed" in " ".join(supervisor.cli("tuners").stdout.split())
    received = supervisor.status()["events"]["received"]
    old.poke("step")
    new.poke("step")
    last = lab.container("netns", "bt-last")
    supervisor.ready(last.name)     # its worker was forked since
    last.poke("step")
    assert {old.sysctl(TTL), new.sysctl(TTL)} == {str(int(initial) + 1)}
    assert last.sysctl(TTL) == initial
    assert workers.items() <= supervisor.workers().items()
    assert supervisor.status()["events"]["received"] - received < 30

    done = supervisor.rollback(old.name)
    assert [(row["tunable"], row["to"]) for row in done["restored"]] == [(TTL, initial)]
    assert (old.sysctl(TTL), new.sysctl(TTL)) == (initial, str(int(initial) + 1))
    supervisor.rollback()
    assert new.sysctl(TTL) == initial


def test_back_again(lab, directory):
    """Under another number: what the ledger has goes on. An administrator's write in between is seen, and kept."""
    install(directory)
    supervisor = lab.supervisor(tuners=directory)
    one, two = (lab.container("netns", name) for name in ("bt-one", "bt-two"))
    supervisor.ready("host", one.name, two.name)
    initial = int(one.sysctl(TTL))
    change(supervisor, one, "step", "step")
    change(supervisor, two, "step")
    (directory / "poke.so").unlink()
    wait_for_tuners(supervisor, ("poke", "removed"), ("tcp_buffer", "active"))
    two.write(TTL, 77)
    install(directory, "again.so")
    wait_for_tuners(supervisor, ("poke", "removed"), ("tcp_buffer", "active"), ("poke", "active"))
    wait_for_line(supervisor, "3 workers were replaced, one after another")
    supervisor.ready("host", one.name, two.name)
    change(supervisor, one, "step")
    tunable = supervisor.tunable(one.name, TTL)
    assert (tunable["initial"], tunable["current"], tunable["changes"]) == (str(initial), str(initial + 3), 3)
    names = [tunable["name"] for tunable in supervisor.instance(one.name)["tunables"]]
    assert len(names) == len(set(names))
    done = supervisor.rollback()
    assert [row["tunable"] for row in done["restored"]] == [TTL]
    assert one.sysctl(TTL) == str(initial)
    assert two.sysctl(TTL) == "77"


def test_files_that_are_no_tuners(lab, directory):
    """Half-written, of a temporary name, of another ABI, a text, somebody else's: not loaded, and said. Then the whole one is."""
    supervisor = lab.supervisor(tuners=directory)
    supervisor.ready("host")
    content = POKE_FILE.read_bytes()
    for name in ".poke.so", "poke.so.dpkg-new", "poke.so;5f3a":
        (directory / name).write_bytes(content)
    with (directory / "half.so").open("wb") as half:
        half.write(content[:len(content) // 2])
        half.flush()
        (directory / "text.so").write_text("This is a text.\n")
        (directory / "abi.so").write_bytes(other_abi())
        wait_for(lambda: sorted(tuners(supervisor)) == [("abi.so", "refused"), ("tcp_buffer", "active"),
                                                        ("text.so", "refused")], 3, "two to be refused")
    wait_for_line(supervisor, f"cannot use tuner {directory}/half.so: it is no whole shared object")
    wait_for_line(supervisor, f"cannot use tuner {directory}/text.so: it is no whole shared object")
    wait_for_line(supervisor, f"cannot use tuner {directory}/abi.so: built for another version")
    assert "cannot use tuner" in supervisor.stderr() and "dpkg-new" not in supervisor.stderr()
    text = " ".join(supervisor.cli("tuners").stdout.split())
    assert f"{directory}/abi.so refused: built for another version" in text

    (directory / "text.so").unlink()
    (directory / "abi.so").unlink()
    (directory / "half.so").write_bytes(content)
    wait_for_tuners(supervisor, ("tcp_buffer", "active"), ("poke", "active"))


def test_of_somebody_else(lab, directory):
    """What others than root may write is not loaded, nor what they could have put there."""
    supervisor = lab.supervisor(tuners=directory)
    supervisor.ready("host")
    path = directory / "poke.so"

    def try_with(spoil, mend, said_so):
        lines = supervisor.stderr().count(said_so)
        shutil.copy(POKE_FILE, directory / "poke.new")
        (directory / "poke.new").chmod(0o644)
        spoil(directory / "poke.new")
        (directory / "poke.new").rename(path)
        wait_for_line(supervisor, said_so, lines + 1)
        assert "poke" not in dict(tuners(supervisor))
        path.unlink()
        mend()

    try_with(lambda new: new.chmod(0o646), lambda: None, f"others may write {path} (chmod o-w)")
    try_with(lambda new: (os.chown(new, 0, 1234), new.chmod(0o664)), lambda: None, f"may write {path} (chmod g-w)")
    try_with(lambda new: os.chown(new, 1234, 0), lambda: None, f"{path} belongs to user 1234, not to root (chown root)")
    try_with(lambda new: directory.chmod(0o777), lambda: directory.chmod(0o755), f"others may write {directory} (chmod o-w)")
    path.symlink_to(POKE_FILE)
    wait_for_tuners(supervisor, ("tcp_buffer", "active"), ("poke", "active"))


@pytest.mark.parametrize("how", ("moved", "written"))
def test_replaced(lab, directory, how):
    """The old one goes on, also where the new one is written over it; nothing is loaded twice."""
    install(directory)
    supervisor = lab.supervisor(tuners=directory)
    container = lab.container("netns", "bt-replaced")
    supervisor.ready("host", container.name)
    workers = supervisor.workers()

    def put(content):
        if how == "moved":
            install(directory, content=content)
        else:
            (directory / "poke.so").write_bytes(content)

    for content, why in (b"", "no whole shared object"), (POKE_FILE.read_bytes() + b" ", "loaded at the next start"), \
            (other_abi(), "built for another version"):
        put(content)
        wait_for(lambda: why in (supervisor.status()["tuners"][0]["why"] or ""), 3, f"'{why}' to be shown")
        assert tuners(supervisor) == [("poke", "replaced"), ("tcp_buffer", "active")]
        change(supervisor, container, "step")
    assert supervisor.workers() == workers
    assert "replaced: " in supervisor.cli("tuners").stdout
    run("kill", "-9", workers[container.name])
    wait_for(lambda: supervisor.workers().get(container.name) not in (None, workers[container.name]), 5, "another worker")
    supervisor.ready(container.name)
    change(supervisor, container, "step")
    (directory / "poke.so").unlink()
    wait_for_tuners(supervisor, ("poke", "removed"), ("tcp_buffer", "active"))


def test_directory_is_replaced(lab, directory):
    """What is in the new one is compared; while there is none, nothing changes."""
    install(directory)
    supervisor = lab.supervisor(tuners=directory)
    supervisor.ready("host")
    new = directory.with_name("new")
    new.mkdir(mode=0o755)
    shutil.copy(pathlib.Path(TUNERS, "tcp_init.so"), new)
    shutil.copy(POKE_FILE, new)
    directory.rename(directory.with_name("old"))
    new.rename(directory)
    wait_for_tuners(supervisor, ("poke", "replaced"), ("tcp_buffer", "removed"), ("tcp_init", "active"))
    (directory / "poke.so").unlink()
    wait_for_tuners(supervisor, ("poke", "removed"), ("tcp_buffer", "removed"), ("tcp_init", "active"))
    directory.rename(directory.with_name("older"))
    wait_for_line(supervisor, f"the tuners' directory {directory} is gone")
    assert tuners(supervisor)[2] == ("tcp_init", "active")
    supervisor.ready("host")


def test_one_at_a_time(lab, directory):
    """At no moment are two workers away; each ledger goes on; another tuner's flow is tuned on, and loses no event."""
    shutil.copy(POKE_FILE, directory)
    supervisor = lab.supervisor(tuners=directory)
    near, far = (lab.container("netns", name, {**AMPLE, **limits}) for name, limits in
                 (("bt-near", SMALL_WMEM), ("bt-far", {})))
    others = [lab.container("netns", f"bt-row{i}") for i in range(8)]
    path = lab.path(near, far, 1)
    names = {"host", near.name, far.name, *(other.name for other in others)}
    supervisor.ready(*names)
    for other in others:
        change(supervisor, other, "step")
    before = {name: supervisor.tunable(name, TTL) for name in names}
    flow = path.start(60, *PLAIN, "-b", "400M")
    wait_for(lambda: len(supervisor.changes(near.name, WMEM)) > 1, 5, "a flow to be tuned")

    workers = supervisor.workers()
    shutil.copy(pathlib.Path(TUNERS, "tcp_init.so"), directory / "tcp_init.new")
    limit = maximum(near.sysctl(WMEM))
    routed = supervisor.status()["events"]["routed"]
    (directory / "tcp_init.new").rename(directory / "tcp_init.so")
    away = 0
    while "workers were replaced" not in supervisor.stderr():
        states = [instance["worker"]["state"] for instance in supervisor.status()["instances"]]
        away = max(away, len([state for state in states if state != "ready"]))
    assert away <= 1
    assert not workers.items() & supervisor.workers().items()
    assert f"{len(names)} workers were replaced" in supervisor.stderr()
    assert {name: supervisor.tunable(name, TTL) for name in names} == before
    wait_for(lambda: maximum(near.sysctl(WMEM)) > limit or supervisor.status()["events"]["routed"] > routed, 5,
             "the flow to go on being tuned")
    events = supervisor.status()["events"]
    assert (events["lost"], events["unserved"]) == (0, 0)
    assert all(not instance["worker"]["restarts"] for instance in supervisor.status()["instances"])
    flow.remove()
    change(supervisor, others[0], "step")
    done = supervisor.rollback()
    assert len([row for row in done["restored"] if row["tunable"] == TTL]) == len(others)
