# SPDX-License-Identifier: GPL-2.0-or-later
"""The ledger's file: nothing that it may hold keeps the supervisor from its work, and no change goes without it."""
import errno
import json
import os
import pathlib
import tempfile
import zlib

import pytest

from lab import BPFTUNE, TTL, change, only, run, values, wait_for


@pytest.fixture(scope="module")
def container(shared):
    return shared.container("netns", "bt-ledger")


@pytest.fixture
def run_dir(lab):
    """A small file system of its own."""
    directory = lab.enter_context(tempfile.TemporaryDirectory(prefix="bpftune-run-"))
    run("mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "none", directory)
    lab.callback(run, "umount", "-l", directory)
    return pathlib.Path(directory)


def line(**fields):
    text = json.dumps(fields)
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


def ledger_of(container, version=1, boot=None, initial="33"):
    """One that says of the container's value what is not so."""
    boot = boot or pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return line(bpftune_ledger=version, boot=boot) + line(
        kind="entry", netns=container.cookie(), tunable=TTL, initial=initial, current=container.sysctl(TTL),
        renew=False, scenarios={"step": 1})


def assert_tunes(supervisor, container):
    before = values(container)
    supervisor.ready(container.name)
    change(supervisor, container, "step", "second")
    supervisor.rollback(container.name)
    assert values(container) == before


def test_that_is_sound(lab, container, run_dir):
    """What the following tests damage would have been believed."""
    (run_dir / "ledger").write_text(ledger_of(container))
    supervisor = lab.supervisor(tuners=only("poke"), run_dir=run_dir)
    supervisor.ready(container.name)
    assert supervisor.tunable(container.name, TTL)["initial"] == "33"
    assert "the ledger" not in supervisor.stderr()


@pytest.mark.parametrize("spoil, kept", [
    (lambda text: text.replace('"initial": "33"', '"initial": "34"'), "damaged"),
    (lambda text: "\0" * len(text) + "\n", "damaged"),
    (lambda text: text[1:], "damaged"),
], ids=["value", "zeroes", "head"])
def test_damaged(lab, container, run_dir, spoil, kept):
    check_set_aside(lab, container, run_dir, spoil(ledger_of(container)), kept)


def test_of_another_version(lab, container, run_dir):
    check_set_aside(lab, container, run_dir, ledger_of(container, version=2), "other-version")


def test_of_another_boot(lab, container, run_dir):
    text = ledger_of(container, boot="1b4e28ba-2fa1-11d2-883f-0016d3cca427")
    check_set_aside(lab, container, run_dir, text, "other-boot")


def check_set_aside(lab, container, run_dir, text, why):
    (run_dir / "ledger").write_text(text)
    before = container.sysctl(TTL)
    supervisor = lab.supervisor(tuners=only("poke"), run_dir=run_dir)
    supervisor.ready(container.name)
    assert supervisor.tunable(container.name, TTL)["initial"] == before
    aside, = run_dir.glob(f"ledger.{why}-*")
    assert aside.read_text() == text
    assert str(aside) in supervisor.stderr() and str(aside) in str(supervisor.log("host"))
    assert_tunes(supervisor, container)


@pytest.mark.parametrize("spoil", [
    lambda text: text + "\n",
    lambda text: text + line(kind="entry", netns=1, tunable=TTL, initial="1", current="1")[1:],
    lambda text: text + line(kind="a later version's", netns=1),
], ids=["empty line", "cut", "unknown"])
def test_sound_lines_count(lab, container, run_dir, spoil):
    text = spoil(ledger_of(container))
    (run_dir / "ledger").write_text(text)
    supervisor = lab.supervisor(tuners=only("poke"), run_dir=run_dir)
    supervisor.ready(container.name)
    assert supervisor.tunable(container.name, TTL)["initial"] == "33"
    aside, = run_dir.glob("ledger.damaged-*")
    assert aside.read_text() == text
    assert str(aside) in supervisor.stderr() and str(aside) in str(supervisor.log("host"))


def make_huge(path, container):
    path.write_text(ledger_of(container))
    os.truncate(path, (256 << 20) + 1)


def make_directory(path, _container):
    path.mkdir()


def make_link(path, container):
    (path.parent / "elsewhere").write_text(ledger_of(container))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("make, why", [
    (make_huge, os.strerror(errno.EFBIG)), (make_directory, "no regular file"), (make_link, "no regular file"),
], ids=["huge", "directory", "link"])
def test_unreadable(container, run_dir, make, why):
    """It is left as it is: what it says is not known to be wrong."""
    ledger = run_dir / "ledger"
    make(ledger, container)
    before = os.lstat(ledger)
    result = run(BPFTUNE, "run", "--stderr", "--plugin-dir", only("poke"), "--run-dir", run_dir, check=False)
    assert result.returncode == 1 and f"cannot read the ledger {ledger}" in result.stderr and why in result.stderr
    after = os.lstat(ledger)
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    assert not list(run_dir.glob("ledger.*"))


def test_torn(lab, container, run_dir):
    (run_dir / "ledger").write_text(ledger_of(container) + line(kind="gone", netns=container.cookie())[:-3])
    supervisor = lab.supervisor(tuners=only("poke"), run_dir=run_dir)
    supervisor.ready(container.name)
    assert supervisor.tunable(container.name, TTL)["initial"] == "33"
    assert not list(run_dir.glob("ledger.*"))


def test_read_only_directory(run_dir):
    run("mount", "-o", "remount,ro", run_dir)
    result = run(BPFTUNE, "run", "--stderr", "--plugin-dir", only("poke"), "--run-dir", run_dir, check=False)
    assert result.returncode == 1 and str(run_dir) in result.stderr and "Read-only" in result.stderr


def fill(run_dir):
    """No room for another byte: the last page's rest is taken by what grows."""
    with (run_dir / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
        while filler.write(b"\0" * 4096):
            pass


def test_full_at_start(run_dir):
    fill(run_dir)
    result = run(BPFTUNE, "run", "--stderr", "--plugin-dir", only("poke"), "--run-dir", run_dir, check=False)
    assert result.returncode == 1 and str(run_dir) in result.stderr and "No space" in result.stderr


def test_full_later(lab, container, run_dir):
    """Then nothing is changed, and that is said; when there is room again it goes on."""
    supervisor = lab.supervisor(tuners=only("poke"), run_dir=run_dir)
    supervisor.ready(container.name)
    change(supervisor, container, "step")
    fill(run_dir)

    def refused():
        before = values(container)
        container.poke("step")
        return values(container) == before and "No space left" in supervisor.stderr()
    wait_for(refused, 10, "the ledger to be full")
    before, size = values(container), os.stat(run_dir / "ledger").st_size
    for _ in range(5):
        container.poke("second", "text")
    assert supervisor.ready(container.name)
    assert values(container) == before
    assert "no change is made" in str(supervisor.log("host"))
    assert os.stat(run_dir / "ledger").st_size <= size

    os.unlink(run_dir / "filler")
    changed = supervisor.tunable(container.name, TTL)["changes"]
    change(supervisor, container, "step")
    assert supervisor.tunable(container.name, TTL)["changes"] == changed + 1
    supervisor.kill()
    supervisor.start()      # and the file is sound
    assert supervisor.ready(container.name)
    assert supervisor.tunable(container.name, TTL)["changes"] == changed + 1
    assert not list(run_dir.glob("ledger.*"))
    supervisor.rollback(container.name)
