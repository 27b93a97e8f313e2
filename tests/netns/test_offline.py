# SPDX-License-Identifier: GPL-2.0-or-later
"""`bpftune rollback --offline`: the ledger alone is enough to put each initial value back."""
import json
import os
import pathlib
import zlib

import pytest

from lab import (BUDGET, BPFTUNE, CONGESTION, FIN_TIMEOUT, KINDS, QUEUE, TTL, Host, change, kept_sysctls, names, only, run,
                 values, wait_for)


def call(supervisor, *words):
    return run(BPFTUNE, "rollback", "--offline", "--run-dir", supervisor.run_dir, *words, check=False)


def offline(supervisor, *words, status=0):
    result = call(supervisor, "--json", *words)
    assert result.returncode == status, result.stderr
    return json.loads(result.stdout)


def ledger_of(supervisor):
    return supervisor.run_dir / "ledger"


@pytest.fixture
def supervisor(lab):
    return lab.supervisor(tuners=only("poke"))


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_crash(lab, supervisor, kind):
    container = lab.container(kind, f"bt-off-{kind}")
    initial = values(container)
    supervisor.ready(container.name)
    change(supervisor, container, "step", "step", "second", "text", "queue")
    changed = values(container)
    supervisor.kill()

    result = offline(supervisor, container.name)
    assert values(container) == initial
    assert names(result["restored"]) == [QUEUE, CONGESTION, FIN_TIMEOUT, TTL]      # last change first
    assert [(row["from"], row["to"]) for row in result["restored"][1:]] == \
        [(changed[name].strip(), initial[name].strip()) for name in names(result["restored"])[1:]]
    assert {row["container"] for row in result["restored"]} == {container.name}
    assert not result["left"] and not result["gone"] and "plan" not in result
    assert call(supervisor, container.name).stdout == "nothing to roll back\n"

    supervisor.start()      # the ledger has it, and it is an end, not a pause
    instance = supervisor.ready(container.name)
    assert {t["state"] for t in instance["tuners"]} == {"active"}
    tunable = supervisor.tunable(container.name, TTL)
    assert tunable["current"] == tunable["initial"] == initial[TTL].strip()
    assert tunable["last_scenario"] == "rollback" and tunable["changes"] == 3
    change(supervisor, container, "step")
    assert values(container) != initial
    supervisor.rollback(container.name)
    assert values(container) == initial


def test_of_all(lab, supervisor):
    with kept_sysctls((TTL, BUDGET)):
        places = lab.container("netns", "bt-one"), lab.container("runc", "bt-two"), Host()
        initial, budget = [values(place) for place in places], Host().sysctl(BUDGET)
        supervisor.ready(*(place.name for place in places))
        for place in places:
            change(supervisor, place, "step", *["second"] * (place.name != "host"))
        change(supervisor, places[0], "host")
        supervisor.stop()
        assert Host().sysctl(BUDGET) != budget
        result = offline(supervisor, "--all")
        assert [values(place) for place in places] == initial
        assert Host().sysctl(BUDGET) == budget
        order = {name: [row["tunable"] for row in result["restored"] if row["container"] == name]
                 for name in ("host", "bt-one", "bt-two")}
        assert order == {"host": [BUDGET, TTL], "bt-one": [FIN_TIMEOUT, TTL], "bt-two": [FIN_TIMEOUT, TTL]}


def test_of_one(lab, supervisor):
    """By its name, its id, or the beginning of that; and not the others."""
    one = lab.container("netns", "bt-one")
    twins = [lab.container("runc", f"bt-two-{letter}") for letter in "ab"]
    places = one, *twins
    initial = [values(place) for place in places]
    supervisor.ready(*(place.name for place in places))
    for place in places:
        change(supervisor, place, "step")
    changed = [values(place) for place in places]
    current, first = (supervisor.tunable(one.name, TTL)[key] for key in ("current", "initial"))
    supervisor.kill()

    for word, why in ("bt-on", "tells of no change"), ("bt-two", "several containers"), ("2", "tells of no change"), \
            ("", "tells of no change"):
        result = call(supervisor, word)
        assert result.returncode == 1 and why in result.stderr
    assert [values(place) for place in places] == changed
    assert call(supervisor, one.name).stdout == f"restored {TTL} in {one.name}: {current} -> {first}\n"
    assert [values(place) for place in places] == [initial[0], *changed[1:]]
    assert {row["container"] for row in offline(supervisor, "bt-two-b")["restored"]} == {"bt-two-b"}
    assert [values(place) for place in places] == [initial[0], changed[1], initial[2]]
    assert {row["container"] for row in offline(supervisor, "bt-two-a")["restored"]} == {"bt-two-a"}
    assert [values(place) for place in places] == initial


def test_beginning_of_an_id(lab, supervisor):
    container = lab.container("runc", "bt-c0ffee")
    initial = values(container)
    supervisor.ready(container.name)
    change(supervisor, container, "step")
    supervisor.kill()
    assert names(offline(supervisor, "bt-c0f")["restored"]) == [TTL]
    assert values(container) == initial


def test_what_someone_else_set_is_left(lab, supervisor):
    """Whether a supervisor saw it or none ran."""
    container = lab.container("netns", "bt-off")
    initial = values(container)
    supervisor.ready(container.name)
    change(supervisor, container, "step", "second", "queue")
    container.write(TTL, "99")
    wait_for(lambda: supervisor.is_manual(container.name, "poke"), 2, "the tuner to step aside")
    supervisor.kill()
    container.write(FIN_TIMEOUT, "77")

    result = offline(supervisor, container.name, status=1)
    assert sorted(names(result["left"])) == sorted([TTL, FIN_TIMEOUT])
    assert {row["why"] for row in result["left"]} == {"somebody else set it since"}
    assert names(result["restored"]) == [QUEUE]
    assert values(container) == {**initial, TTL: "99\n", FIN_TIMEOUT: "77\n"}
    text = call(supervisor, container.name)
    assert text.returncode == 1 and f"left {TTL} in {container.name}: 99 -> " in text.stdout
    container.write(TTL, initial[TTL].strip())      # then there is nothing to do about it
    assert names(offline(supervisor, container.name, status=1)["left"]) == [FIN_TIMEOUT]


def test_namespace_that_is_gone(lab, supervisor):
    """It is told of; one that has its name now is another's."""
    gone, stays = lab.container("netns", "bt-gone"), lab.container("netns", "bt-stays")
    initial, cookie = values(stays), gone.cookie()
    supervisor.ready(gone.name, stays.name)
    for container in gone, stays:
        change(supervisor, container, "step")
    supervisor.kill()
    gone.remove()
    again = lab.container("netns", "bt-gone")
    again.write(TTL, "88")
    for words in ("--all", "--dry-run"), ("--all",):
        assert offline(supervisor, *words)["gone"] == [{"container": "bt-gone", "netns": cookie}]
    assert values(stays) == initial and again.sysctl(TTL) == "88"
    assert call(supervisor, "bt-gone").stdout == \
        f"gone bt-gone: no task and no mount has its namespace any more (cookie {cookie})\n"


def test_dry_run_prints_what_works(lab, supervisor):
    with kept_sysctls((TTL,)):
        places = lab.container("netns", "bt-one"), lab.container("runc", "bt-two"), Host()
        initial = [values(place) for place in places]
        supervisor.ready(*(place.name for place in places))
        for place in places:
            change(supervisor, place, "step")
        change(supervisor, places[0], "queue", "second")
        places[0].write(FIN_TIMEOUT, "77")
        wait_for(lambda: supervisor.is_manual("bt-one", "poke"), 2, "the tuner to step aside")
        supervisor.kill()
        ledger, changed = ledger_of(supervisor).read_bytes(), [values(place) for place in places]
        plan = offline(supervisor, "--all", "--dry-run")["plan"]
        assert sorted(names(plan)) == sorted([FIN_TIMEOUT, QUEUE, TTL, TTL, TTL])
        commands = call(supervisor, "--all", "--dry-run").stdout
        assert ledger_of(supervisor).read_bytes() == ledger
        assert [values(place) for place in places] == changed
        run("sh", "-ec", commands)
        assert [place.sysctl(TTL) for place in places] == [each[TTL].strip() for each in initial]
        assert values(places[0])[QUEUE] == initial[0][QUEUE]
        assert f"# {FIN_TIMEOUT} in bt-one stays 77: somebody else set it since" in commands


def test_while_a_supervisor_runs(lab, supervisor):
    container = lab.container("netns", "bt-off")
    supervisor.ready(container.name)
    change(supervisor, container, "step")
    changed = values(container)
    result = call(supervisor, container.name)
    assert result.returncode == 1 and f"pid {supervisor.pid} " in result.stderr and str(supervisor.run_dir) in result.stderr
    assert values(container) == changed
    supervisor.rollback(container.name)


def line(**fields):
    text = json.dumps(fields)
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


def forged(container, boot=None):
    """A ledger that tells of a change in this container."""
    boot = boot or pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return line(bpftune_ledger=1, boot=boot) + line(
        kind="entry", netns=container.cookie(), tunable=TTL, initial="33", current=container.sysctl(TTL), renew=False,
        foreign=False, scenarios={"step": 1})


@pytest.fixture
def stopped(lab, supervisor):
    """A supervisor's run directory, and a container that it knows nothing of."""
    container = lab.container("netns", "bt-off")
    supervisor.kill()
    return supervisor, container


def test_of_another_boot(stopped):
    """Its cookies are no namespace's of this boot."""
    supervisor, container = stopped
    text = forged(container, "1b4e28ba-2fa1-11d2-883f-0016d3cca427")
    ledger_of(supervisor).write_text(text)
    before = container.sysctl(TTL)
    result = call(supervisor, "--all")
    assert result.returncode == 0 and "another boot" in result.stderr and result.stdout == "nothing to roll back\n"
    assert container.sysctl(TTL) == before and ledger_of(supervisor).read_text() == text


def test_of_this_boot(stopped):
    """What the test above says would have been done; a ledger of a version that knew no names."""
    supervisor, container = stopped
    ledger_of(supervisor).write_text(forged(container))
    result = offline(supervisor, "--all")
    assert [row["container"] for row in result["restored"]] == [f"netns cookie {container.cookie()}"]
    assert container.sysctl(TTL) == "33"


def test_damaged(stopped):
    supervisor, container = stopped
    text = forged(container) + "damage\n"
    ledger_of(supervisor).write_text(text)
    result = call(supervisor, "--all")
    assert result.returncode == 0 and container.sysctl(TTL) == "33"
    aside, = supervisor.run_dir.glob("ledger.damaged-*")
    assert aside.read_text() == text and str(aside) in result.stderr

    ledger_of(supervisor).write_text(text[1:])
    result = call(supervisor, "--all")
    assert result.returncode == 1 and "of no use (damaged)" in result.stderr
    assert ledger_of(supervisor).read_text() == text[1:]


@pytest.mark.parametrize("spoil, why", [
    (lambda path: os.truncate(path, (256 << 20) + 1), "longer than 256 MiB"),
    (os.unlink, "No such file"),
], ids=["huge", "none"])
def test_unreadable(stopped, spoil, why):
    supervisor, container = stopped
    path = ledger_of(supervisor)
    path.write_text(forged(container))
    spoil(path)
    before, ttl = path.exists() and os.stat(path), container.sysctl(TTL)
    result = call(supervisor, "--all")
    assert result.returncode == 1 and str(path) in result.stderr and why in result.stderr
    after = path.exists() and os.stat(path)
    assert (before and (before.st_ino, before.st_size, before.st_mtime_ns)) == \
        (after and (after.st_ino, after.st_size, after.st_mtime_ns))
    assert container.sysctl(TTL) == ttl and [each.name for each in supervisor.run_dir.glob("ledger.*")] == []


def test_usage(tmp_path):
    for words in (), ("--all", "bt-one"):
        assert run(BPFTUNE, "rollback", "--offline", "--run-dir", tmp_path, *words, check=False).returncode == 2
    assert run(BPFTUNE, "status", "--offline", check=False).returncode == 2
    result = run(BPFTUNE, "rollback", "--offline", "--run-dir", tmp_path / "none", "--all", check=False)
    assert result.returncode == 1 and "--run-dir" in result.stderr and not (tmp_path / "none").exists()
