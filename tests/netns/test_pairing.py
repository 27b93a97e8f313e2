# SPDX-License-Identifier: GPL-2.0-or-later
"""Cgroups that make it hard: whose a namespace is, odd names, and tasks in several places."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from crowd import (Cgroup, Container, Rootfs, Sleeper, flood, forge, instance_in, is_ready, paired_with, place,
                   remove_directory, sharers, sleepers_in, wait_for_instance)
from lab import Host, only, run, wait_for

pytestmark = pytest.mark.lanes(4)

POD = "/kubepods/burstable/pod1b0f3a52-66c1-4b8e-9d3c-2f7a51e0c4d9"


def docker():
    """An id as Docker makes it, and what it calls a container's cgroup."""
    name = os.urandom(32).hex()
    return name, f"docker-{name}.scope"


# A thread that is no leader goes into a namespace of its own, as the Go programs do that lock a thread to it.
THREAD = """
import ctypes, os, socket, threading

def work():
    assert ctypes.CDLL(None, use_errno=True).unshare(0x40000000) == 0    # CLONE_NEWNET
    socket.socket()
    print(os.stat("/proc/thread-self/ns/net").st_ino, flush=True)
    threading.Event().wait()

threading.Thread(target=work).start()
"""


class Threaded:
    """A process of such a thread, in a cgroup; `inode` is that of the thread's namespace."""

    def __init__(self, cgroup):
        self.process = subprocess.Popen(["sh", "-c", 'echo $$ >"$0" && exec "$@"', cgroup.directory / "cgroup.procs",
                                         sys.executable, "-c", THREAD], stdout=subprocess.PIPE, text=True)
        self.inode = int(self.process.stdout.readline())

    def remove(self):
        self.process.kill()
        self.process.communicate()

    def wait_for_worker(self, supervisor):
        """Its instance, when the worker is ready: /proc/PID/ns/net is the leader's, so the way in is the thread."""
        return wait_for(lambda: next((instance for instance in supervisor.status()["instances"]
                                      if instance["netns"]["inode"] == self.inode and is_ready(instance)), None), 3, "its worker")


@pytest.mark.alone
def test_thread_before_the_supervisor(lab):
    cgroup = lab.keep(Cgroup("/bt-thread0"))
    threaded = lab.keep(Threaded(cgroup))
    assert place(threaded.wait_for_worker(lab.supervisor(tuners=only("tcp_buffer")))) == (cgroup.path, cgroup.id)


@pytest.mark.alone
def test_pod_before_the_supervisor(lab):
    """The first here, as the others share a supervisor."""
    pod, first, second = (lab.keep(Cgroup(POD + below)) for below in ("", "/" + "1c" * 32, "/" + "2d" * 32))
    sleeper = lab.keep(Sleeper(first))
    lab.keep(Sleeper(second, netns=sleeper.netns))
    instance = wait_for_instance(lab.supervisor(tuners=only("tcp_buffer")), sleeper, paired_with(pod), what="the pod's cgroup")
    assert (instance["container_id"], instance["runtime"]) == (None, "kubernetes")


@pytest.fixture(scope="module")
def rootfs(shared):
    return shared.keep(Rootfs())


@pytest.fixture(scope="module")
def parents(shared):
    """Cgroups that those of several tests are below."""
    return [shared.keep(Cgroup(path)) for path in ("/system.slice/system-bt.slice", "/kubepods/burstable")]


@pytest.fixture(scope="module")
def supervisor(shared):
    supervisor = shared.supervisor()
    supervisor.ready("host")
    return supervisor


def test_thread_that_is_no_leader(lab, supervisor):
    cgroup = lab.keep(Cgroup("/bt-thread1"))
    assert place(lab.keep(Threaded(cgroup)).wait_for_worker(supervisor)) == (cgroup.path, cgroup.id)


# --- limits ---------------------------------------------------------------------------------------

def states(supervisor, sleepers):
    inodes = {sleeper.inode for sleeper in sleepers}
    return sorted(i["worker"]["state"] for i in supervisor.status()["instances"] if i["netns"]["inode"] in inodes)


@pytest.mark.alone
def test_worker_limit(lab, supervisor):
    """64 workers; who has none is counted, and served when there is room."""
    cgroup = lab.keep(Cgroup("/bt-limit"))
    sleepers = sleepers_in(lab, [cgroup] * 66)
    wait_for(lambda: states(supervisor, sleepers) == ["none"] * 2 + ["ready"] * 64, 10, "64 workers")
    waiting = [instance for instance in (instance_in(supervisor, sleeper) for sleeper in sleepers)
               if instance["worker"]["state"] == "none"]
    before = supervisor.status()["events"]["unserved"]
    forge(supervisor, *((instance["netns"]["cookie"], 0, 0, 0) for instance in waiting for _ in range(3)))
    wait_for(lambda: supervisor.status()["events"]["unserved"] == before + 6, 2, "them to be counted")
    assert supervisor.stderr().count("64 are running for namespaces of /bt-limit,") == 1      # once

    served = [s for s in sleepers if s.inode not in {instance["netns"]["inode"] for instance in waiting}]
    for sleeper in served[:2]:
        sleeper.remove()
    rest = [sleeper for sleeper in sleepers if sleeper not in served[:2]]
    wait_for(lambda: states(supervisor, rest) == ["ready"] * 64, 5, "those that waited to be served")


@pytest.mark.alone
def test_sub_cgroups_are_their_container_s(lab, supervisor, rootfs):
    """Who is in a container makes namespaces and cgroups at will: they are all the container's."""
    container = lab.keep(Container(rootfs, "bt-many"))
    supervisor.ready(container.name)
    names = [*(f"sub{i}" for i in range(40)), *(f"docker-{i:064x}.scope" for i in range(30))]
    sleepers = sleepers_in(lab, [lab.keep(Cgroup(f"/bt-many/{name}")) for name in names])
    wait_for(lambda: states(supervisor, sleepers) == ["none"] * 7 + ["ready"] * 63, 10, "63 workers and the container's")
    wait_for(lambda: "64 are running for namespaces of /bt-many," in supervisor.stderr(), 2, "it to be said")  # the last are young yet
    # Others have room.
    wait_for_instance(supervisor, lab.keep(Sleeper(lab.keep(Cgroup("/bt-other")))), is_ready, what="the worker")


@pytest.mark.alone
@pytest.mark.parametrize("path, owner", [(None, "no container"), ("/user.slice/user-0.slice/session-{}.scope", "/user.slice/user-0.slice")],
                         ids=["own", "sessions"])
def test_plain_ones_are_one_group(lab, supervisor, path, owner):
    sleepers = sleepers_in(lab, [lab.keep(Cgroup(path.format(i))) if path else None for i in range(70)])
    instances = [wait_for_instance(supervisor, sleeper) for sleeper in sleepers]
    forge(supervisor, *((instance["netns"]["cookie"], 0, 0, 0) for instance in instances))
    wait_for(lambda: states(supervisor, sleepers) == ["none"] * 6 + ["ready"] * 64, 10, "64 workers")
    assert supervisor.stderr().count(f"64 are running for namespaces of {owner},") == 1


@pytest.mark.alone
def test_named_ones_are_not_limited(lab, supervisor):
    """Only root of the host names one."""
    containers = [lab.container("netns", f"bt-named{i}") for i in range(66)]
    supervisor.ready(*(container.name for container in containers), deadline=10)


# --- odd names ------------------------------------------------------------------------------------

@pytest.mark.usefixtures("rootfs", "parents")
def test_called_deleted(lab, supervisor):
    """The kernel marks the path of a removed cgroup so; here it is a name."""
    lab.keep(Cgroup("/bt-gone"))
    cgroup = lab.keep(Cgroup("/bt-gone (deleted)"))
    instance = wait_for_instance(supervisor, lab.keep(Sleeper(cgroup)), is_ready)
    assert place(instance) == (cgroup.path, cgroup.id)
    assert instance["name"] == "bt-gone (deleted)"


LONG = "/".join(["x" * 250] * 3)


@pytest.mark.parametrize("parent", ["/bt-\x1b[31m\udcff\\x41", f"/bt-{LONG}"], ids=["bytes", "long"])
def test_path_is_recognised_again(lab, supervisor, parent):
    """The same place after each look, and one instance a container."""
    (_, own_name), (other_id, other_name) = docker(), docker()
    own, shared = (lab.keep(Cgroup(f"{parent}/{name}")) for name in (own_name, other_name))
    sleeper = lab.keep(Sleeper(own))
    instance = wait_for_instance(supervisor, sleeper, is_ready)
    assert instance["cgroup"]["id"] == own.id
    escaped = parent.replace("\x1b", "\\x1b").replace("\udcff", "\\xff")
    assert instance["cgroup"]["path"] == f"{escaped}/{own_name}"
    # Its tasks are looked at again when one comes in by a move; the sharer's are, for each that comes.
    others = [lab.keep(Sleeper(own, netns=sleeper.netns))]
    others += [lab.keep(Sleeper(shared, netns=Host.netns)) for _ in range(3)]
    supervisor.ready(other_id)
    time.sleep(0.8)     # nothing more is to happen
    assert [i["cgroup"]["id"] for i in sharers(supervisor) if i["cgroup"]["path"].startswith(escaped)] == [shared.id]
    assert "is in cgroup" not in "".join(r["text"] for r in supervisor.log(instance["name"]))
    own.add(others[0].pid)
    exec_in(own, sleeper)
    assert wait_for_instance(supervisor, sleeper)["cgroup"]["id"] == own.id


def exec_in(cgroup, sleeper):
    run("sh", "-c", 'echo $$ >"$0" && exec "$@"', cgroup.directory / "cgroup.procs", *sleeper.command("true"))


def test_paths_of_old_hierarchies(lab, supervisor):
    """Where old hierarchies have long paths, too, cgroup2's, which comes last, may be cut: that would be another one's."""
    cgroup, join = lab.keep(Cgroup(f"/bt-{'y' * 247}/{'z' * 250}")), []
    for mount in [pathlib.Path("/sys/fs/cgroup", name) for name in ("pids", "freezer", "blkio")]:
        directory = mount
        for _ in range(15 if mount.is_mount() else 0):
            directory /= "x" * 250
            directory.mkdir(exist_ok=True)
            lab.callback(remove_directory, directory)
        join += [directory] if directory != mount else []
    sleeper = lab.keep(Sleeper(cgroup))
    for directory in join:
        (directory / "cgroup.procs").write_text(str(sleeper.pid))
    assert (len(pathlib.Path(f"/proc/{sleeper.pid}/cgroup").read_bytes()) < 8191) == (not join)
    wait_for_instance(supervisor, sleeper, paired_with(cgroup))
    time.sleep(0.8)     # nothing more is to happen
    assert place(instance_in(supervisor, sleeper)) == (cgroup.path, cgroup.id)


# --- tasks in several places ----------------------------------------------------------------------

def test_pod_has_no_container_id(lab, supervisor):
    """What several containers share is none of theirs."""
    pod, first, second = (lab.keep(Cgroup(POD + below)) for below in ("", "/" + "1c" * 32, "/" + "2d" * 32))
    sleeper = lab.keep(Sleeper(first))
    alone = wait_for_instance(supervisor, sleeper, is_ready)
    assert (alone["container_id"], alone["runtime"]) == ("1c" * 32, "containerd")
    lab.keep(Sleeper(second, netns=sleeper.netns))
    together = wait_for_instance(supervisor, sleeper, paired_with(pod), what="the pod's cgroup")
    assert (together["container_id"], together["runtime"]) == (None, "kubernetes")
    assert together["name"] == together["pod_uid"] == POD[-36:]


@pytest.mark.alone
def test_container_of_many_cgroups(lab, supervisor):
    """As systemd's: one of its services that ends does not take the container's place with it."""
    name, directory = docker()
    container = lab.keep(Cgroup(f"/system.slice/{directory}"))
    cgroups = [lab.keep(Cgroup(f"{container.path}/s{i}")) for i in range(24)]
    first = lab.keep(Sleeper(cgroups[0]))
    wait_for_instance(supervisor, first, is_ready)
    others = [lab.keep(Sleeper(cgroup, netns=first.netns)) for cgroup in cgroups[1:]]
    wait_for_instance(supervisor, first, paired_with(container), what="the container's cgroup")
    for sleeper, cgroup in zip(others[-4:], cgroups[-4:]):
        sleeper.remove()
        remove_directory(cgroup.directory)
    time.sleep(0.8)     # nothing is to happen
    instance = instance_in(supervisor, first)
    assert (place(instance), instance["container_id"]) == ((container.path, container.id), name)


@pytest.mark.parametrize("other", ["/system.slice", "/bt-elsewhere"], ids=["beside", "elsewhere"])
def test_container_that_joins_another_s_namespace(lab, supervisor, other):
    """What they have in common is no container: the namespace stays the first's while it is there, then is the other's."""
    (_, first_name), (second_id, second_name) = docker(), docker()
    first, second = (lab.keep(Cgroup(path)) for path in (f"/system.slice/{first_name}", f"{other}/{second_name}"))
    sleeper = Sleeper(first)
    try:
        wait_for_instance(supervisor, sleeper, paired_with(first), what="the first")
        inside = lab.keep(Sleeper(second, netns=sleeper.netns))
        time.sleep(0.8)     # nothing is to happen
        assert place(instance_in(supervisor, sleeper)) == (first.path, first.id)
    finally:
        sleeper.remove()
        remove_directory(first.directory)
    moved = wait_for_instance(supervisor, inside, paired_with(second), what="the second")
    assert moved["container_id"] == second_id


@pytest.mark.parametrize("looker", ["/system.slice/bt-cron.service", "/bt-tools"])
def test_who_looks_into_a_container(lab, supervisor, looker):
    """A service's command in a container's namespace does not make it the service's, nor anybody else's."""
    name, directory = docker()
    cgroup = lab.keep(Cgroup(f"/system.slice/{directory}"))
    sleeper = lab.keep(Sleeper(cgroup))
    wait_for_instance(supervisor, sleeper, paired_with(cgroup), what="the container")
    lab.keep(Sleeper(lab.keep(Cgroup(looker)), netns=sleeper.netns))
    time.sleep(0.8)     # nothing is to happen
    instance = instance_in(supervisor, sleeper)
    assert place(instance) == (cgroup.path, cgroup.id)
    assert (instance["runtime"], instance["name"]) == ("docker", name)


def test_moves_inside_a_container(lab, supervisor):
    """Who is inside may move about: that changes nothing, and costs no look at all processes."""
    cgroup, below = (lab.keep(Cgroup(f"/bt-inside/{directory}{name}")) for directory in docker()[1:] for name in ("", "/below"))
    sleeper = lab.keep(Sleeper(cgroup))
    name = wait_for_instance(supervisor, sleeper, is_ready)["name"]
    below.add(sleeper.pid)
    time.sleep(0.8)     # nothing is to happen
    assert place(instance_in(supervisor, sleeper)) == (cgroup.path, cgroup.id)
    assert "is in cgroup" not in "".join(record["text"] for record in supervisor.log(name))


@pytest.mark.parametrize("path, runtime, name", [
    ("/system.slice/system-bt.slice/bt@1.service", "systemd", "bt@1.service"),
    ("/system.slice/system-bt.slice/bt@2.service/workers", "systemd", "bt@2.service"),
    ("/bt-lxc/lxc.payload/c1", "lxc", "c1"),
], ids=["template", "below", "lxc.payload"])
def test_more_runtimes(lab, supervisor, path, runtime, name):
    supervisor.let_go(name)
    instance = wait_for_instance(supervisor, lab.keep(Sleeper(lab.keep(Cgroup(path)))), is_ready)
    assert (instance["runtime"], instance["name"]) == (runtime, name)


# --- namespaces that are older than what is in them -------------------------------------------------

def old_namespace(lab, supervisor, name):
    """As a CNI plug-in makes it, before the container; it has been looked at and is paired with nothing."""
    namespace = lab.container("netns", name)
    assert supervisor.ready(name)["cgroup"]["path"] == "/"
    time.sleep(0.5)     # more than young, and nothing is to happen
    return namespace


def test_namespace_before_its_container(lab, supervisor, rootfs):
    """runc joins the cgroup while it is in the host's namespace, then enters the one that was made for it."""
    namespace = old_namespace(lab, supervisor, "bt-cni")
    container = lab.keep(Container(rootfs, "bt-old", network=namespace.netns))
    instance = wait_for_instance(supervisor, container, lambda i: place(i) == container.cgroup(), what="the cgroup")
    assert (instance["container_id"], instance["runtime"]) == (container.name, "runc")
    wait_for(lambda: not [sharer for sharer in sharers(supervisor) if sharer["cgroup"]["path"] == container.cgroup_path],
             3, "no other instance of it to be there")


def test_namespace_before_its_service(lab, supervisor):
    """It keeps the name that the administrator gave it, also when its tasks move."""
    namespace = old_namespace(lab, supervisor, "bt-vpn")
    first, second = (lab.keep(Cgroup(f"/system.slice/bt-{number}.service")) for number in ("one", "two"))
    sleeper = lab.keep(Sleeper(first, netns=namespace.netns))
    instance = wait_for_instance(supervisor, sleeper, paired_with(first), what="the service")
    assert (instance["name"], instance["runtime"]) == ("bt-vpn", "systemd")
    second.add(sleeper.pid)
    instance = wait_for_instance(supervisor, sleeper, paired_with(second), what="the other service")
    assert instance["name"] == "bt-vpn"


def test_cgroup_made_again(lab, supervisor):
    """A service that is restarted has the same path, and another cgroup."""
    namespace = old_namespace(lab, supervisor, "bt-again")
    for _ in range(2):
        cgroup = Cgroup("/system.slice/bt-again.service")
        try:
            sleeper = Sleeper(cgroup, netns=namespace.netns)
            try:
                wait_for_instance(supervisor, sleeper, paired_with(cgroup), what="the service")
            finally:
                sleeper.remove()
        finally:
            cgroup.remove()
    wait_for(lambda: place(supervisor.instance("bt-again")) == ("/", 0), 2, "the cgroup to be forgotten")


@pytest.mark.alone
def test_service_with_a_short_command_first(lab, supervisor):
    """An ExecStartPre= that has ended is told of; what lasts, executed in the same cgroup at once, maybe not."""
    namespace = old_namespace(lab, supervisor, "bt-pre")
    cgroup = lab.keep(Cgroup("/system.slice/bt-pre.service"))
    received = supervisor.status()["events"]["received"]
    os.kill(supervisor.pid, signal.SIGSTOP)
    lab.callback(os.kill, supervisor.pid, signal.SIGCONT)
    exec_in(cgroup, namespace)
    os.kill(supervisor.pid, signal.SIGCONT)
    wait_for(lambda: supervisor.status()["events"]["received"] > received, 2, "the first to be told of")
    sleeper = lab.keep(Sleeper(cgroup, netns=namespace.netns))
    wait_for_instance(supervisor, sleeper, paired_with(cgroup), what="the service")


@pytest.mark.alone
def test_cgroup_made_again_unseen(lab, supervisor):
    """The ring buffer is full when the service is restarted: the slow sweep finds its cgroup another."""
    namespace = old_namespace(lab, supervisor, "bt-unseen")
    cgroup = Cgroup("/system.slice/bt-unseen.service")
    try:
        sleeper = Sleeper(cgroup, netns=namespace.netns)
        try:
            wait_for_instance(supervisor, sleeper, paired_with(cgroup), what="the service")
            os.kill(supervisor.pid, signal.SIGSTOP)
            lab.callback(os.kill, supervisor.pid, signal.SIGCONT)
            _, lost = flood(supervisor, [(1 << 60, 0, 0, 0)] * 128, 0, 0.3)
            assert lost
        finally:
            sleeper.remove()
    finally:
        cgroup.remove()
    cgroup = lab.keep(Cgroup("/system.slice/bt-unseen.service"))
    sleeper = lab.keep(Sleeper(cgroup, netns=namespace.netns))
    os.kill(supervisor.pid, signal.SIGCONT)
    wait_for(lambda: place(supervisor.instance("bt-unseen")) == (cgroup.path, cgroup.id), 7, "the service again")
