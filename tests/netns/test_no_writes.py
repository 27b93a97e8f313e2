# SPDX-License-Identifier: GPL-2.0-or-later
"""A supervisor that cannot write, or was told not to, changes nothing, and says so."""
from lab import (AMPLE, BUDGET, CONGESTION, FIN_TIMEOUT, PLAIN, QUEUE, SMALL_WMEM, TTL, WMEM, assert_true_ledger, only,
                 said, sysctl_path, values, wait_for)


def test_read_only(lab):
    """A supervisor that sees /proc/sys read-only: it runs, changes nothing, and says what to do."""
    container = lab.container("netns", "bt-read-only")
    script = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec \"$0\" \"$@\""
    supervisor = lab.supervisor(tuners=only("poke"), wrap=("unshare", "-m", "sh", "-c", script))
    supervisor.ready(container.name)
    before = values(container)
    container.poke("step")
    record = said(supervisor, container.name, "cannot write")
    assert record["text"] == f"cannot write {TTL}: /proc/sys is read-only here (mount it read-write)"
    assert values(container) == before
    assert supervisor.tunable(container.name, TTL)["changes"] == 0
    assert_true_ledger(supervisor, container)
    assert not supervisor.rollback()["restored"]


def test_dry_run(lab):
    """Everything but the writing."""
    far, near = lab.container("netns", "bt-far", AMPLE), lab.container("netns", "bt-near", SMALL_WMEM)
    supervisor = lab.supervisor("--dry-run", tuners=only("poke", "tcp_buffer"))
    supervisor.ready(near.name, far.name)
    before = {path: path.read_text() for path in (sysctl_path(WMEM), sysctl_path(BUDGET))}
    inside = near.limits(), values(near)
    near.poke("step", "second", "text", "queue", "host")
    flow = lab.path(near, far, 1).start(60, *PLAIN, "-b", "100M")
    wait_for(lambda: {TTL, FIN_TIMEOUT, CONGESTION, QUEUE, WMEM, BUDGET} <=
             {record["tunable"] for record in supervisor.changes(near.name)}, 4, "a record of each")
    flow.remove()
    assert (near.limits(), values(near)) == inside
    assert before == {path: path.read_text() for path in before}
    assert all(record["text"].startswith("would change: ") for record in supervisor.changes(near.name))
    assert supervisor.status()["dry_run"]
    assert not [t for t in supervisor.instance(near.name)["tunables"] if t["changes"]]
    assert not supervisor.rollback()["restored"]
