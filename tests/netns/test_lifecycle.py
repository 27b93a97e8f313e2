# SPDX-License-Identifier: GPL-2.0-or-later
"""Workers come with containers and go with them; what is no container costs no process."""
import os
import re
import subprocess
import time

import pytest

from lab import KINDS, SLOWNESS, VALGRIND, Host, alive, children, netns_id, run, wait_for

EXISTING = {f"bt-old{i}": "runc" if i < 2 else "netns" for i in range(10)}


@pytest.fixture(scope="module")
def existing(shared):
    """Ten containers that are there before the supervisor."""
    return {name: shared.container(kind, name) for name, kind in EXISTING.items()}


@pytest.fixture(scope="module")
def supervisor(shared, existing):
    return shared.supervisor()


def assert_in_its_namespace(instance, container):
    pid = instance["worker"]["pid"]
    assert netns_id(f"/proc/{pid}/ns/net") == netns_id(container.netns)
    assert instance["netns"]["inode"] == netns_id(container.netns)[1]
    assert instance["netns"]["cookie"] == container.cookie()


def test_existing_containers_are_found(existing, supervisor):
    supervisor.ready("host", *existing)
    instances = supervisor.instances()
    for name, container in existing.items():
        assert_in_its_namespace(instances[name], container)
    assert instances["host"]["id"] == 1
    assert_in_its_namespace(instances["host"], Host())
    workers = [instances[name]["worker"]["pid"] for name in ("host", *existing)]
    assert len(set(workers)) == len(workers)


@pytest.mark.parametrize("kind", KINDS)
def test_container_gets_a_worker(lab, supervisor, kind):
    container = lab.container(kind, f"bt-new-{kind}")
    instance = supervisor.ready(container.name)
    assert_in_its_namespace(instance, container)
    assert instance["worker"]["restarts"] == 0
    if kind == "runc":
        assert (instance["container_id"], instance["runtime"]) == (container.name, "runc")
        assert (instance["cgroup"]["path"], instance["cgroup"]["id"]) == container.cgroup()


@pytest.mark.skipif(VALGRIND, reason="valgrind has descriptors of its own in each process")
def test_worker_has_few_privileges(supervisor):
    """No new privileges, no more capabilities than the manual names, and only its own descriptors."""
    worker = supervisor.workers()["bt-old5"]
    with open(f"/proc/{worker}/status") as file:
        status = dict(re.findall(r"^(\w+):\t(.*)$", file.read(), re.M))
    kept = int(status["CapPrm"], 16)
    assert status["NoNewPrivs"] == "1"
    assert status["CapEff"] == status["CapPrm"]
    assert not kept & ~(1 << 12)    # CAP_NET_ADMIN
    targets = [os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")]
    assert not [target for target in targets if "bpf" in target or target.startswith(("net:", "/run", "/tmp"))]
    with pytest.raises(OSError, match="Read-only file system"):     # what it reads in is a mount of ours
        open(f"/proc/{worker}/fd/5/net/ipv4/tcp_wmem", "w")


@pytest.mark.parametrize("kind", KINDS)
def test_container_ends(lab, supervisor, kind):
    """Then the worker goes, and so does the namespace: the veth's other end goes with it."""
    container = lab.container(kind, f"bt-end-{kind}")
    veth = f"/sys/class/net/{lab.veth(container)}"
    worker = supervisor.ready(container.name)["worker"]["pid"]
    assert os.path.exists(veth)
    if kind == "runc":
        run("runc", "kill", container.name, "KILL")
    else:
        container.remove()
    wait_for(lambda: not alive(worker) and not os.path.exists(veth), 5, "the worker and the namespace to go")
    wait_for(lambda: not supervisor.instance(container.name), 5, "the instance to go")


def test_short_lived_namespaces_cost_no_process(supervisor, existing):
    supervisor.ready("host", *existing)
    before = set(supervisor.instances())
    wait_for(lambda: children(supervisor.pid) == set(supervisor.workers().values()), 2, "other workers to go")
    workers = children(supervisor.pid)
    for _ in range(100):
        run("unshare", "-n", "true")
        assert children(supervisor.pid) <= workers
    end = time.monotonic() + 2
    wait_for(lambda: set(supervisor.instances()) <= before, end - time.monotonic(), "their instances to go")
    assert children(supervisor.pid) == workers == set(supervisor.workers().values())


def test_churn(supervisor, existing):
    """Many that come and go at once: no worker for any, and afterwards the supervisor is as it was."""
    supervisor.ready("host", *existing)

    def descriptors():
        return len(os.listdir(f"/proc/{supervisor.pid}/fd"))

    wait_for(lambda: children(supervisor.pid) == set(supervisor.workers().values()), 2, "other workers to go")
    instances, workers, held = set(supervisor.instances()), children(supervisor.pid), descriptors()
    forked = supervisor.stderr().count("is ready")
    subprocess.run(["xargs", "-P20", "-n1", "unshare", "--net", "true"], input="\n".join(map(str, range(300))), text=True,
                   check=True, timeout=60 * SLOWNESS)
    wait_for(lambda: set(supervisor.instances()) == instances, 5, "all instances to go")
    wait_for(lambda: descriptors() <= held, 2, "all descriptors to be closed")
    assert children(supervisor.pid) == workers
    assert supervisor.stderr().count("is ready") == forked
