# SPDX-License-Identifier: GPL-2.0-or-later
"""Initial values outlive every process: kill -9 at any moment, an end in order, a worker that hangs."""
import json
import os
import random
import signal
import subprocess
import time

import pytest

from lab import CONGESTION, FIN_TIMEOUT, KINDS, QUEUE, SLOWNESS, TTL, change, names, only, pokes, values, wait_for


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_crash(lab, kind):
    """The restarted supervisor knows the initial values, and puts them back before anything new happens."""
    container = lab.container(kind, f"bt-crash-{kind}")
    initial = values(container)
    supervisor = lab.supervisor(tuners=only("poke"))
    supervisor.ready(container.name)
    change(supervisor, container, "step", "step", "second", "text", "queue")
    tunables = supervisor.instance(container.name)["tunables"]
    supervisor.kill()
    assert values(container) != initial
    supervisor.start()
    assert supervisor.ready(container.name)["tunables"] == tunables
    assert names(supervisor.rollback(container.name)["restored"]) == [QUEUE, CONGESTION, FIN_TIMEOUT, TTL]
    assert values(container) == initial
    supervisor.kill()       # paused it stays
    supervisor.start()
    assert {t["state"] for t in supervisor.ready(container.name)["tuners"]} == {"paused"}


def test_written_while_no_supervisor_ran(lab):
    container = lab.container("netns", "bt-crash")
    supervisor = lab.supervisor(tuners=only("poke"))
    supervisor.ready(container.name)
    change(supervisor, container, "step", "second")
    supervisor.kill()
    container.write(TTL, "99")
    supervisor.start()
    supervisor.ready(container.name)
    assert TTL in supervisor.is_manual(container.name, "poke")
    assert TTL in names(supervisor.rollback(container.name)["left"])
    assert container.sysctl(TTL) == "99"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_run_rollback(lab, number):
    containers = [lab.container(kind, f"bt-end-{kind}") for kind in KINDS]
    initial = [values(container) for container in containers]
    supervisor = lab.supervisor("--rollback", tuners=only("poke"))
    supervisor.ready(*(container.name for container in containers))
    for container in containers:
        change(supervisor, container, "step", "second", "text", "queue")
    assert initial != [values(container) for container in containers]
    supervisor.stop(number)
    assert [values(container) for container in containers] == initial
    supervisor.start()      # and it is an end, not a pause
    instance = supervisor.ready(*(container.name for container in containers))
    assert {t["state"] for t in instance["tuners"]} == {"active"}


def test_worker_that_hangs(lab):
    """It is killed in the midst of a rollback: its successor puts the values back, and the answer is whole."""
    container = lab.container("netns", "bt-hang")
    initial = values(container)
    supervisor = lab.supervisor(tuners=only("poke"))
    worker = supervisor.ready(container.name)["worker"]["pid"]
    change(supervisor, container, "step", "second")
    os.kill(worker, signal.SIGSTOP)
    rollback = subprocess.Popen([*supervisor.command("rollback", "--json", container.name)], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, text=True)
    try:
        assert supervisor.status()      # answers in the meantime
        os.kill(worker, signal.SIGKILL)
        output = rollback.communicate(timeout=10 * SLOWNESS)[0]
    finally:
        rollback.kill()
    assert sorted(names(json.loads(output)["restored"])) == sorted([TTL, FIN_TIMEOUT])
    assert values(container) == initial


def poke_without_end(lab, container):
    loop = f"while :; do {pokes()}/poke-0; {pokes()}/poke-1; sleep 0.002; done"
    # In the container's cgroup as well, as what runs in a container is.
    script = f"echo $$ >'{container.cgroup_procs()}'; exec nsenter --net='{container.netns}' sh -c '{loop}'"
    load = subprocess.Popen(["sh", "-c", script], stdin=subprocess.DEVNULL, start_new_session=True)
    lab.callback(load.wait)
    lab.callback(os.killpg, load.pid, signal.SIGKILL)


def kill_worker(supervisor, names, rng):
    """Of one that dies again and again the next comes later and later: maybe there is none now."""
    worker = supervisor.workers().get(rng.choice(names))
    if worker:
        os.kill(worker, signal.SIGKILL)


def kill_client(supervisor, words, rng):
    client = subprocess.Popen(supervisor.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    time.sleep(rng.uniform(0, 0.1))
    client.kill()
    client.wait()


def kill_asker(supervisor, names, rng):
    words = rng.choice((["rollback", "--all"], ["rollback", names[0]], ["log", "-f"], ["status", "--json"]))
    kill_client(supervisor, words, rng)
    for name in names if words[0] == "rollback" else ():
        supervisor.cli("resume", name, check=False)     # a name may not be known yet


def kill_supervisor(supervisor, _names, rng):
    supervisor.kill()
    for _ in range(rng.choice((0, 0, 1, 2))):
        kill_client(supervisor, ["rollback", "--offline", "--all"], rng)
        wait_for(lambda: not supervisor.traces(), 5, "the client's worker to go")
    supervisor.start()


def test_killed_at_random_moments(lab, capsys):
    """kill -9 of workers, supervisors and clients while values change all the time: each comes back to the byte, whether a
    supervisor puts it back or none."""
    seed = int(time.time())
    with capsys.disabled():
        print(f"\nseed {seed}", end=" ")
    rng = random.Random(seed)
    containers = [lab.container(kind, f"bt-load-{kind}") for kind in KINDS]
    initial, ready = [values(container) for container in containers], [container.name for container in containers]
    supervisor = lab.supervisor(tuners=only("poke"))
    supervisor.ready(*ready, deadline=5)
    for container in containers:
        poke_without_end(lab, container)
    rounds = max(10, int(50 / SLOWNESS))
    for _ in range(rounds):
        time.sleep(rng.uniform(0, 0.1))
        rng.choice((kill_worker, kill_asker, kill_supervisor))(supervisor, ready, rng)
    supervisor.kill()
    supervisor.start()
    supervisor.ready(*ready, deadline=5)
    assert all(supervisor.tunable(name, TTL)["changes"] > rounds // 2 for name in ready)
    assert not supervisor.rollback()["left"]
    assert [values(container) for container in containers] == initial

    for container in containers:
        supervisor.resume(container.name)
    wait_for(lambda: all(before[TTL] != values(container)[TTL] for before, container in zip(initial, containers)), 5,
             "values to change again")
    supervisor.kill()
    result = supervisor.cli("rollback", "--offline", "--json", "--all")
    assert TTL in names(json.loads(result.stdout)["restored"])
    assert [values(container) for container in containers] == initial
