# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens when a process dies or is told to."""
import os
import signal

import pytest

from lab import AMPLE, KINDS, SMALL_WMEM, WMEM, alive, only, wait_for


def test_killed_worker_is_replaced(lab):
    """Its state and counts are kept, the other workers do not notice, and it still tunes."""
    far, near = lab.container("netns", "bt-far", AMPLE), lab.container("netns", "bt-near", SMALL_WMEM)
    other = lab.container("runc", "bt-other")
    path = lab.path(near, far, 1)
    supervisor = lab.supervisor(tuners=only("tcp_buffer"))
    supervisor.ready(far.name, other.name, near.name)
    path.raise_limit()
    supervisor.wait_for_log(near.name, WMEM, near)
    before, instance = supervisor.workers(), supervisor.instance(near.name)
    changes = supervisor.tunable(near.name, WMEM)["changes"]
    assert changes > 0

    os.kill(before[near.name], signal.SIGKILL)

    def replaced():
        now = supervisor.instance(near.name)
        return now["worker"]["restarts"] == 1 and now["worker"]["state"] == "ready" and now
    now = wait_for(replaced, 5, "a new worker")
    after = supervisor.workers()
    assert after.pop(near.name) != before.pop(near.name)
    assert after == before
    assert now["id"] == instance["id"]
    assert [(t["name"], t["initial"]) for t in now["tunables"]] == [(t["name"], t["initial"]) for t in instance["tunables"]]
    assert next(t for t in now["tunables"] if t["name"] == WMEM)["changes"] >= changes

    flow = path.start(60, "-b", "400M")
    wait_for(lambda: supervisor.tunable(near.name, WMEM)["changes"] > changes, 5, "another change")
    flow.remove()
    wait_for(lambda: len(supervisor.changes(near.name)) == supervisor.tunable(near.name, WMEM)["changes"], 2,
             "the log to have each change")


@pytest.mark.parametrize("kind", KINDS)
def test_killed_supervisor_leaves_nothing(lab, kind):
    supervisor = lab.supervisor()
    lab.container(kind, "bt-orphan")
    supervisor.ready("host", "bt-orphan")
    workers = supervisor.workers()
    assert {kind for kind, _ in supervisor.traces()} == {"process", "prog", "map", "link", "attached"}

    supervisor.process.kill()
    supervisor.process.wait()

    wait_for(lambda: not any(map(alive, workers.values())), 5, "the workers to go")
    wait_for(lambda: not supervisor.traces(), 3, "its BPF objects to go")

    supervisor.start()      # what it left in its run directory is not in the way
    supervisor.ready("host", "bt-orphan")
    supervisor.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])
def test_orderly_end(lab, number):
    supervisor = lab.supervisor(tuners=only("poke"))
    lab.container("netns", "bt-last")
    supervisor.ready("host", "bt-last")
    supervisor.stop(number)
    assert f"stopping on {signal.strsignal(number)}" in supervisor.stderr()
    assert not (supervisor.run_dir / "control.sock").exists()


def test_signals_are_for_the_supervisor(lab):
    """A terminal sends them to workers as well."""
    supervisor = lab.supervisor(tuners=only("poke"))
    worker = supervisor.ready("host")["worker"]["pid"]
    for number in signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM:
        os.kill(worker, number)
    supervisor.rollback("host")     # it answers
    assert supervisor.instance("host")["worker"] == {"pid": worker, "state": "ready", "restarts": 0, "events": 0}


def test_nohup(lab):
    supervisor = lab.supervisor(tuners=only("poke"), wrap=("nohup",))
    os.kill(supervisor.pid, signal.SIGHUP)
    supervisor.ready("host")
    supervisor.stop()
    assert f"stopping on {signal.strsignal(signal.SIGTERM)}" in supervisor.stderr()


def test_end_while_a_flow_runs(lab):
    """The limit stays as it was raised; the flow goes on."""
    far, near = lab.container("netns", "bt-far", AMPLE), lab.container("netns", "bt-near", SMALL_WMEM)
    path = lab.path(near, far, 1)
    supervisor = lab.supervisor(tuners=only("tcp_buffer"))
    flow = path.start(2, "-b", "400M")
    wait_for(lambda: near.sysctl(WMEM) != SMALL_WMEM[WMEM], 3, "the limit to rise")
    supervisor.stop()
    assert flow.finish()
    assert near.sysctl(WMEM) != SMALL_WMEM[WMEM]
