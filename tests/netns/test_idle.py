# SPDX-License-Identifier: GPL-2.0-or-later
"""Windows are kept over idle times where they would only have to grow again, as long as they lose nothing."""
import contextlib
from types import SimpleNamespace

import pytest

from lab import Host, only, run, said, sysctl_path, wait_for
from trouble_idle import AFTER_IDLE, PORT, SLOW_MS, Trouble

HAS_BBR = "bbr" in sysctl_path("net.ipv4.tcp_allowed_congestion_control").read_text().split()


@pytest.fixture(scope="module")
def world(shared):
    bystander = shared.container("netns", "bt-idle-next")
    supervisor = shared.supervisor(tuners=only("idle"))
    supervisor.ready("host", bystander.name)
    return SimpleNamespace(supervisor=supervisor, bystander=bystander)


def begin(lab, world, *words):
    trouble = Trouble(lab, *words)
    world.supervisor.ready(trouble.near.name)
    trouble.start()
    return trouble


def cured(lab, world):
    trouble = begin(lab, world)
    wait_for(lambda: trouble.near.sysctl(AFTER_IDLE) == "0", 15, "windows to be kept")
    world.supervisor.wait_for_log(trouble.near.name, AFTER_IDLE, trouble.near)
    return trouble


def requests(trouble, count):
    """Waits for so many more; gives their milliseconds."""
    before = len(trouble.ms)
    wait_for(lambda: len(trouble.ms) >= before + count, 3 * count, f"{count} requests")
    return trouble.ms[before:before + count]


@contextlib.contextmanager
def losing(trouble, which):
    """Of what the near end sends, after the handshake."""
    nft, table = trouble.far.command("nft"), "ip lossy"
    run(*nft, f"add table {table}")
    try:
        run(*nft, f"add chain {table} input {{ type filter hook input priority 0; }}")
        run(*nft, f"add rule {table} input tcp dport {PORT} tcp flags & syn == 0 {which} drop")
        yield
    finally:
        run(*nft, f"delete table {table}")


def test_kept_where_it_helps(lab, world):
    """In this container alone, once, and a request takes a round trip again. A rollback has the kernel restart windows."""
    others = [Host(), world.bystander]
    before = [other.sysctl(AFTER_IDLE) for other in others]
    trouble = cured(lab, world)
    slow = trouble.counts()
    wait_for(lambda: max(requests(trouble, 2)) < SLOW_MS, 30, "requests to take a round trip")
    print(f"slow requests, of all: {slow} before; ms: {trouble.ms}")
    change, = world.supervisor.changes(trouble.near.name)
    assert (change["tunable"], change["from"], change["to"], change["scenario"]) == (AFTER_IDLE, "1", "0", "window_restarted")
    assert f"to {trouble.address} was made" in change["text"]
    assert [other.sysctl(AFTER_IDLE) for other in [*others, trouble.far]] == [*before, "1"]
    assert not world.supervisor.changes(world.bystander.name) and not world.supervisor.changes("host")

    trouble.stop()
    world.supervisor.rollback(trouble.near.name)
    assert trouble.near.sysctl(AFTER_IDLE) == "1"


def test_undone_where_kept_windows_lose(lab, world):
    """And not tried again soon, though windows are restarted for nothing again."""
    trouble = cured(lab, world)
    with losing(trouble, "numgen inc mod 13 == 6"):
        wait_for(lambda: trouble.near.sysctl(AFTER_IDLE) == "1", 20, "windows to be restarted again")
    record = said(world.supervisor, trouble.near.name, "windows that were kept over idle times")
    assert (record["scenario"], record["from"], record["to"]) == ("kept_window_lost", "0", "1")
    assert "no more for 10 min" in record["text"]
    requests(trouble, 5)
    assert trouble.near.sysctl(AFTER_IDLE) == "1" and len(world.supervisor.changes(trouble.near.name)) == 2


def test_an_administrators_value_stays(lab, world):
    trouble = cured(lab, world)
    trouble.near.write(AFTER_IDLE, 1)
    wait_for(lambda: world.supervisor.is_manual(trouble.near.name, "idle"), 3, "the tuner to step aside")
    requests(trouble, 5)
    assert trouble.near.sysctl(AFTER_IDLE) == "1"


@pytest.mark.skipif(not HAS_BBR, reason="needs bbr among net.ipv4.tcp_allowed_congestion_control")
def test_paced_senders_are_left_alone(lab, world):
    """The kernel restarts none of their windows, and what this value is makes no difference to them."""
    trouble = begin(lab, world, "bbr")
    requests(trouble, 6)
    assert trouble.near.sysctl(AFTER_IDLE) == "1" and not world.supervisor.changes(trouble.near.name)
