# SPDX-License-Identifier: GPL-2.0-or-later
"""Every namespace is found, paired with its cgroup, named, and let go."""
import concurrent.futures
import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from types import SimpleNamespace

import pytest

from crowd import (Cgroup, Container, Inside, Rootfs, Sleeper, forge, instance_in, is_ready, paired_with, place,
                   wait_for_instance)
from lab import AMPLE, SMALL_WMEM, WMEM, Host, alive, kept_sysctls, run, sysctl_path, wait_for

pytestmark = pytest.mark.lanes(4)

CROWD = int(os.environ.get("CROWD", "50"))      # containers that come and go


@pytest.fixture(scope="module")
def rootfs(shared):
    return shared.keep(Rootfs())


@pytest.fixture(scope="module")
def supervisor(shared):
    supervisor = shared.supervisor()
    supervisor.ready("host")
    return supervisor


@pytest.fixture(scope="module")
def parents(shared):
    """A cgroup that those of several tests are below."""
    return shared.keep(Cgroup("/system.slice"))


# --- pairing and names ----------------------------------------------------------------------------

@pytest.mark.usefixtures("parents")
def test_container(lab, supervisor, rootfs):
    container = lab.keep(Container(rootfs, "bt-pair", cgroup="/bt-parent/bt-pair"))
    instance = supervisor.ready(container.name)
    assert place(instance) == container.cgroup()
    assert (instance["container_id"], instance["runtime"]) == (container.name, "runc")
    assert (instance["netns"]["inode"], instance["netns"]["cookie"]) == (container.inode, container.cookie())
    assert not instance["netns"]["shared"]
    assert supervisor.status(f"pid:{container.pid}")["instances"][0]["id"] == instance["id"]


DOCKER = f"docker-{'5a' * 32}.scope"
POD = "1b0f3a52_66c1_4b8e_9d3c_2f7a51e0c4d9"


@pytest.mark.parametrize("path, runtime, container_id, pod", [
    (f"/system.slice/{DOCKER}", "docker", "5a" * 32, (None, None)),
    (f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD}.slice/crio-{'6b' * 32}.scope",
     "cri-o", "6b" * 32, (POD.replace("_", "-"), "burstable")),
    ("/bt-lxc/lxc.payload.web", "lxc", "web", (None, None)),
    ("/system.slice/bt-private.service", "systemd", None, (None, None)),
], ids=lambda value: value if isinstance(value, str) and "/" not in value else "")
def test_runtime_by_cgroup(lab, supervisor, path, runtime, container_id, pod):
    cgroup = lab.keep(Cgroup(path))
    instance = wait_for_instance(supervisor, lab.keep(Sleeper(cgroup)), is_ready, what="the worker")
    assert place(instance) == (cgroup.path, cgroup.id)
    assert (instance["runtime"], instance["container_id"]) == (runtime, container_id)
    assert (instance["pod_uid"], instance["pod_qos"]) == pod


def test_hostile_name(lab, supervisor):
    """What a container's user may name a cgroup stays one line in the log, and valid in status."""
    cgroup = lab.keep(Cgroup("/bt-\x1b[31m\t\udcff" + "x" * 200))
    sleeper = lab.keep(Sleeper(cgroup))
    name = wait_for_instance(supervisor, sleeper, is_ready)["name"]
    assert name.startswith("bt-\\x1b[31m\\x09\\xffxxx")
    assert supervisor.log(name)


def test_two_of_one_name(lab, supervisor):
    first, second = (lab.keep(Sleeper(lab.keep(Cgroup(f"/bt-{i}/bt-same")))) for i in range(2))
    one = wait_for_instance(supervisor, first, is_ready)
    two = wait_for_instance(supervisor, second, is_ready)
    assert {one["name"], two["name"]} == {"bt-same", f"bt-same@{max(one['id'], two['id'])}"}
    for instance in one, two:
        assert supervisor.status(instance["name"])["instances"][0]["id"] == instance["id"]


def test_pod(lab, supervisor, rootfs):
    """Containers that share a namespace are paired with what holds them all, and again when one has gone."""
    pod = lab.keep(Cgroup("/bt-pod"))
    pause = lab.keep(Container(rootfs, "bt-pause", cgroup="/bt-pod/bt-pause"))
    alone = wait_for_instance(supervisor, pause, is_ready)
    assert place(alone) == pause.cgroup()
    app = Container(rootfs, "bt-app", network=pause.netns, cgroup="/bt-pod/bt-app")
    try:
        together = wait_for_instance(supervisor, pause, paired_with(pod), what="the pod's cgroup")
    finally:
        app.remove()
    assert (together["id"], together["worker"]) == (alone["id"], alone["worker"])
    assert "bt-app" not in supervisor.instances()


def test_tasks_move(lab, supervisor):
    here, there = (lab.keep(Cgroup(f"/bt-move/bt-{name}")) for name in ("here", "there"))
    sleeper = lab.keep(Sleeper(here))
    instance = wait_for_instance(supervisor, sleeper, is_ready)
    assert place(instance) == (here.path, here.id) and instance["name"] == "bt-here"
    there.add(sleeper.pid)
    moved = wait_for_instance(supervisor, sleeper, paired_with(there), what="the other cgroup")
    assert (moved["id"], moved["worker"], moved["name"]) == (instance["id"], instance["worker"], "bt-there")


def test_some_tasks_move(lab, supervisor):
    """The deepest cgroup that holds all: the parent while they are apart, and the one when they are together."""
    parent, here, there = (lab.keep(Cgroup(f"/bt-parts{name}")) for name in ("", "/here", "/there"))
    sleeper = lab.keep(Sleeper(here))
    wait_for_instance(supervisor, sleeper, paired_with(here), what="the first cgroup")
    other = lab.keep(Sleeper(there, netns=sleeper.netns))
    wait_for_instance(supervisor, sleeper, paired_with(parent), what="the parent")
    here.add(other.pid)
    wait_for_instance(supervisor, sleeper, paired_with(here), what="the first cgroup again")


def test_moved_into_a_container(lab, supervisor):
    """A plain namespace costs no process until its task is put into a container's cgroup."""
    cgroup, sleeper = lab.keep(Cgroup("/bt-late")), lab.keep(Sleeper())
    wait_for_instance(supervisor, sleeper)
    time.sleep(0.5)     # nothing is to happen
    assert instance_in(supervisor, sleeper)["worker"]["state"] == "none"
    cgroup.add(sleeper.pid)
    wait_for_instance(supervisor, sleeper, paired_with(cgroup), what="the cgroup")
    wait_for_instance(supervisor, sleeper, is_ready, what="the worker")


LOOK_IN = """
import ctypes, os, socket, sys, threading
def look():
    assert ctypes.CDLL(None).setns(os.open(sys.stdin.readline().strip(), os.O_RDONLY), 0x40000000) == 0
    socket.socket()
    print(flush=True)
    sys.stdin.read()
threading.Thread(target=look).start()
"""


def test_who_looks_in_does_not_live_there(lab, supervisor):
    """A container engine's thread sets the network up from outside: its cgroup is not the container's."""
    manager, cgroup = lab.keep(Cgroup("/bt-manager")), lab.keep(Cgroup("/bt-managed"))
    join = ("sh", "-c", 'echo $$ >"$0" && exec "$@"')
    looker = subprocess.Popen([*join, manager.directory / "cgroup.procs", sys.executable, "-c", LOOK_IN], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    lab.callback(looker.communicate)
    wait_for(lambda: len(os.listdir(f"/proc/{looker.pid}/task")) == 2, 5, "the engine")
    # Whoever made the namespace is gone, and the last one seen in it is the engine.
    maker = run(*join, cgroup.directory / "cgroup.procs", "unshare", "--net", "sh", "-c",
                "sleep infinity >/dev/null 2>&1 & echo $!")
    inside = Inside()
    inside.name, inside.pid = "bt-managed", int(maker.stdout)
    inside.netns = f"/proc/{inside.pid}/ns/net"
    lab.callback(os.kill, inside.pid, signal.SIGKILL)
    looker.stdin.write(f"{inside.netns}\n")
    looker.stdin.flush()
    looker.stdout.readline()
    wait_for_instance(supervisor, inside, is_ready, what="the worker")
    assert place(instance_in(supervisor, inside)) == (cgroup.path, cgroup.id)
    assert manager.path not in supervisor.stderr()


@pytest.mark.parametrize("path", [None, "/user.slice/user-0.slice/session-99.scope"], ids=["own", "session"])
def test_plain_namespace(lab, supervisor, path):
    """In our own cgroup or a login's: no container, so no worker until there is something to do."""
    sleeper = lab.keep(Sleeper(lab.keep(Cgroup(path)) if path else None))
    wait_for_instance(supervisor, sleeper)
    time.sleep(0.6)     # nothing is to happen
    instance = instance_in(supervisor, sleeper)
    assert (instance["worker"]["state"], instance["cgroup"]["path"]) == ("none", "/")
    forge(supervisor, (instance["netns"]["cookie"], 0, 0, 0))
    wait_for_instance(supervisor, sleeper, is_ready, 5, "the worker")


def test_two_namespaces_in_one_cgroup(lab, supervisor):
    """A flow is tuned in its own namespace, whoever else is paired with its cgroup."""
    cgroup = lab.keep(Cgroup("/bt-both"))
    far = lab.container("netns", "bt-far", AMPLE)
    first, second = (lab.keep(Sleeper(cgroup)) for _ in range(2))
    for sleeper in first, second:
        run(*sleeper.command("sysctl", "-qw", *(f"{name}={value}" for name, value in SMALL_WMEM.items())))
    ids = [wait_for_instance(supervisor, sleeper, is_ready)["id"] for sleeper in (first, second)]
    for sleeper in first, second:
        supervisor.give_back(sleeper.name, SMALL_WMEM, sleeper.inode)
    for nth, (busy, idle) in enumerate([(first, second), (second, first)], 1):
        client = SimpleNamespace(netns=busy.netns, sysctl=busy.sysctl, command=lambda *words, busy=busy: (
            "sh", "-c", 'echo $$ >"$0" && exec "$@"', str(cgroup.directory / "cgroup.procs"), *busy.command(*words)))
        before = idle.sysctl(WMEM)
        lab.path(client, far, nth).raise_limit()
        supervisor.wait_for_log(instance_in(supervisor, busy)["name"], WMEM, busy)
        assert idle.sysctl(WMEM) == before
    instances = {instance["id"]: instance["name"] for instance in supervisor.status()["instances"]}
    for number in ids:
        assert {change["instance"] for change in supervisor.changes(instances[number])} == {number}


# --- nothing is pinned ----------------------------------------------------------------------------

class BoundNamespace(Inside):
    """A namespace without tasks, which a bind mount keeps where ip-netns(8) has none: as Docker's Swarm keeps ingress_sbox."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="bpftune-nsfs-"))
        self.netns, self.name = self.directory / "bt-bound", "bt-bound"
        run("mount", "--bind", self.directory, self.directory)
        run("mount", "--make-private", self.directory)
        self.netns.touch()
        run("unshare", f"--net={self.netns}", "true")

    def unmount(self):
        run("umount", self.netns)

    def remove(self):
        run("umount", self.netns, check=False)
        run("umount", self.directory)
        shutil.rmtree(self.directory)


def witness(lab, container):
    """The host's end of a veth into the container: it goes when the namespace does."""
    name = f"v-{container.name}"[:15]
    run("ip", "link", "del", name, check=False)
    run(*container.command("ip", "link", "add", "eth0", "type", "veth", "peer", "name", name, "netns", str(os.getpid())))
    lab.callback(run, "ip", "link", "del", name, check=False)
    return pathlib.Path("/sys/class/net", name)


def assert_ends(supervisor, instance, veth):
    worker = instance["worker"]["pid"]
    wait_for(lambda: not veth.exists(), 8, "the namespace to be destroyed")
    wait_for(lambda: not alive(worker), 5, "the worker to end")
    wait_for(lambda: instance["id"] not in [i["id"] for i in supervisor.status()["instances"]], 5, "the instance to go")


def test_unmount_ends_a_namespace(lab, supervisor):
    container = lab.keep(BoundNamespace())
    instance = wait_for_instance(supervisor, container, is_ready)
    assert instance["name"] == container.name
    veth = witness(lab, container)
    container.unmount()
    assert_ends(supervisor, instance, veth)


def test_last_descriptor_ends_a_namespace(lab, supervisor):
    """No hook announces it: the slow sweep finds it."""
    container = lab.container("netns", "bt-held")
    instance = supervisor.ready(container.name)
    inside = Inside()
    inside.name, inside.netns = container.name, container.netns
    veth = witness(lab, inside)
    holder = subprocess.Popen(["sh", "-c", f"exec sleep infinity 7<{container.netns}"])
    try:
        wait_for(lambda: os.path.exists(f"/proc/{holder.pid}/fd/7"), 2, "a process to hold it")
        container.remove()
        time.sleep(1.5)     # nothing is to happen
        assert veth.exists() and alive(instance["worker"]["pid"])
    finally:
        holder.kill()
        holder.wait()
    assert_ends(supervisor, instance, veth)


@pytest.mark.parametrize("kind", ["runc", "netns"])
def test_stopped_worker_pins_nothing(lab, supervisor, kind):
    """It cannot read that it is to end; so it is killed."""
    container = lab.container(kind, f"bt-stop-{kind}")
    veth = pathlib.Path("/sys/class/net", lab.veth(container))
    instance = supervisor.ready(container.name)
    os.kill(instance["worker"]["pid"], signal.SIGSTOP)
    if kind == "runc":
        run("runc", "kill", container.name, "KILL")
    else:
        container.remove()
    assert_ends(supervisor, instance, veth)


@pytest.mark.alone
def test_worker_holds_only_its_pipes(lab, supervisor):
    """At rest: no socket, no descriptor of a namespace; and the supervisor holds none either."""
    container = lab.container("netns", "bt-rest")
    worker = supervisor.ready(container.name)["worker"]["pid"]

    def held(pid):
        for path in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):    # one of those that are soon closed
                yield os.readlink(path)

    def namespaces(pid):
        return [target for target in held(pid)
                if target.startswith("net:") or "/ns/net" in target or "/netns/" in target]

    assert not [target for target in held(worker) if target.startswith("socket:")]
    for pid in worker, supervisor.pid:
        wait_for(lambda pid=pid: not namespaces(pid), 5, "it to hold none")


# --- a container in the host's namespace ----------------------------------------------------------

@pytest.mark.alone
def test_host_network(lab, supervisor, rootfs):
    """An instance of its own, whose flows raise the host's limit once, with the container's name on it."""
    lab.enter_context(kept_sysctls())
    far = lab.container("netns", "bt-far", AMPLE)
    sysctl_path(WMEM).write_text(SMALL_WMEM[WMEM])
    supervisor.give_back("host")
    container = lab.keep(Container(rootfs, "bt-hostnet", network="host"))
    instance = supervisor.ready("host", container.name)
    assert instance["netns"]["shared"]
    assert instance["netns"]["inode"] == supervisor.instance("host")["netns"]["inode"]
    assert (instance["container_id"], instance["runtime"]) == (container.name, "runc")
    assert place(instance) == container.cgroup()
    assert instance["tunables"] == []
    path = lab.path(Host(), far, 1)
    path.near = container       # the path is the host's, the client the container's
    events = supervisor.status()["events"]

    path.raise_limit()

    for name in "host", container.name:
        supervisor.wait_for_log(name, WMEM, container)
    changes = supervisor.changes("host")
    assert all(change["text"].endswith(f"; asked for by {container.name}") for change in changes)
    own = supervisor.changes(container.name)
    assert [(c["from"], c["to"]) for c in own] == [(c["from"], c["to"]) for c in changes]
    assert {c["instance"] for c in own} == {instance["id"]}
    assert supervisor.status()["events"]["lost"] == events["lost"]

    def said():
        """Of what tcp_buffer says: what other tuners learn from the container's flow may come after its end."""
        return [record for record in supervisor.log(container.name) if record["tuner"] == "tcp_buffer"]

    # A flow of the host's own is nobody's but the host's.
    sysctl_path(WMEM).write_text("4096 16384 65000")    # a new value: else it looks as if our last step was never made
    wait_for(lambda: supervisor.is_manual("host", "tcp_buffer"), 3, "the tuner to step aside")
    before = said()
    assert any("asking the host's worker" in record["text"] for record in before)
    supervisor.cli("resume", "host")
    path.near = Host()
    path.raise_limit()
    supervisor.wait_for_log("host", WMEM, path.near)
    assert "asked for by" not in supervisor.changes("host")[-1]["text"]
    assert said() == before

    worker = instance["worker"]["pid"]
    container.remove()
    wait_for(lambda: not supervisor.instance(container.name) and not alive(worker), 3, "the instance to go")
    assert supervisor.instance("host")["worker"]["restarts"] == 0


# --- many -----------------------------------------------------------------------------------------

LOAD = ("sh", "-c", "ip link set lo up; iperf3 -s -D && sleep 1; exec iperf3 -c 127.0.0.1 -t 3600 -b 10M")


def live(supervisor, rootfs, name, seconds):
    """A container's whole life: found and paired right while it lives, gone when it is."""
    container = Container(rootfs, name, cgroup=f"/bt-crowd/{name}")
    try:
        time.sleep(seconds)
        instance = wait_for_instance(supervisor, container, is_ready, 10, "the worker")
        assert place(instance) == container.cgroup()
        assert (instance["name"], instance["container_id"], instance["runtime"]) == (name, name, "runc")
        assert instance["netns"]["cookie"] == container.cookie()
        assert instance["worker"]["restarts"] == 0
    finally:
        container.remove()
    wait_for(lambda: instance["id"] not in [i["id"] for i in supervisor.status()["instances"]], 5, "it to go")


@pytest.mark.alone
def test_containers_come_and_go(lab, supervisor, rootfs):
    seed = int(os.environ.get("SEED", time.time_ns() % 2**32))
    print(f"SEED={seed} CROWD={CROWD}")
    rng = random.Random(seed)
    busy = [lab.keep(Container(rootfs, f"bt-busy{i}", args=LOAD)) for i in range(max(2, CROWD // 5))]
    supervisor.ready(*(container.name for container in busy), deadline=10)
    before = {instance["id"]: instance["worker"] for instance in supervisor.status()["instances"]}

    lives = [(f"bt-come{i}", rng.uniform(0, 1.5)) for i in range(CROWD)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for future in [pool.submit(live, supervisor, rootfs, *life) for life in lives]:
            future.result()

    def same():
        return {i["id"]: i["worker"] for i in supervisor.status()["instances"]} == before
    wait_for(same, 5, "nobody but the others to be left")
    assert "starting another worker" not in supervisor.stderr()
