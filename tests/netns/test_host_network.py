# SPDX-License-Identifier: GPL-2.0-or-later
"""Containers that share the host's namespace, and what else is in their cgroups."""
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from crowd import Cgroup, Sleeper, flood, is_ready, place, sharers, wait_for_instance
from lab import AMPLE, WMEM, Host, kept_sysctls, only, sysctl_path, wait_for

DOCKER = f"docker-{'5a' * 32}.scope"


@pytest.fixture(scope="module")
def shared_supervisor(shared):
    supervisor = shared.supervisor(tuners=only("tcp_buffer"))
    supervisor.ready("host")
    return supervisor


@pytest.fixture
def supervisor(shared_supervisor):
    """It has forgotten the containers of the test before."""
    wait_for(lambda: not sharers(shared_supervisor), 5, "the containers of the test before to go")
    return shared_supervisor


def events_received(supervisor):
    """When no more come of what was before."""
    def received():
        return supervisor.status()["events"]["received"]

    def settled():
        before = received()
        time.sleep(0.1)
        return received() == before and before
    return wait_for(settled, 10, "the events of the tests before")


def test_host_network_with_sub_cgroups(lab, supervisor):
    """One container is one instance, wherever in it a task is first seen."""
    paths = [f"/bt-host/{DOCKER}{below}" for below in ("", "/init.scope", "/system.slice/a.service")]
    cgroups = [lab.keep(Cgroup(path)) for path in paths]
    lab.keep(Sleeper(cgroups[2], netns=Host.netns))
    lab.keep(Sleeper(cgroups[1], netns=Host.netns))
    instance = supervisor.ready("5a" * 32)
    assert place(instance) == (cgroups[0].path, cgroups[0].id)
    time.sleep(0.5)     # nothing more is to happen
    assert [i["id"] for i in sharers(supervisor)] == [instance["id"]]
    assert instance["runtime"] == "docker"


def test_what_it_is_called(lab, supervisor):
    """It is there from when it is known to be a container, and by each of its processes."""
    cgroup, seen = lab.keep(Cgroup(f"/bt-called/{DOCKER}")), []
    sleeper = lab.keep(Sleeper(cgroup, netns=Host.netns))
    wait_for(lambda: seen.extend(sharers(supervisor)) or any(map(is_ready, seen)), 3, "the container's instance")
    assert {place(instance) for instance in seen} == {(cgroup.path, cgroup.id)}
    for pid, number in (sleeper.pid, seen[0]["id"]), (os.getpid(), 1):
        assert [i["id"] for i in supervisor.status(f"pid:{pid}")["instances"]] == [number]


def flow_of(lab, supervisor, cgroup, far, number):
    """A flow of the host's namespace, by a client in that cgroup; who asked for the host's limit to be raised."""
    client = Host()
    client.command = lambda *words: ("sh", "-c", 'echo $$ >"$0" && exec "$@"', str(cgroup.directory / "cgroup.procs"),
                                     *words)
    sysctl_path(WMEM).write_text(f"4096 16384 {65536 - number}")    # a new value: else it looks as if our last step was never made
    supervisor.give_back("host")
    path = lab.path(Host(), far, number)
    path.near = client
    before = len(supervisor.changes("host"))
    path.raise_limit()
    supervisor.wait_for_log("host", WMEM, client)
    changes = supervisor.changes("host")[before:]
    assert changes
    return {match and match[1] for match in (re.search("; asked for by (.*)", c["text"]) for c in changes)}


def test_host_network_in_an_occupied_cgroup(lab, supervisor):
    """The cgroup has an instance of a namespace already: flows of the host's namespace are still the container's."""
    lab.enter_context(kept_sysctls())
    far = lab.container("netns", "bt-far", AMPLE)
    cgroup = lab.keep(Cgroup(f"/bt-both/{DOCKER}"))
    nested = lab.keep(Sleeper(cgroup))
    first = wait_for_instance(supervisor, nested, is_ready)
    assert place(first) == (cgroup.path, cgroup.id)
    sharer = Sleeper(cgroup, netns=Host.netns)
    try:
        wait_for(lambda: [i for i in sharers(supervisor) if is_ready(i)], 3, "the container's instance")
        instance, = sharers(supervisor)
        assert instance["name"] == f"{'5a' * 32}@{instance['id']}"
        assert flow_of(lab, supervisor, cgroup, far, 1) == {instance["name"]}
        nested.remove()
        wait_for(lambda: not [i for i in supervisor.status()["instances"] if i["id"] == first["id"]], 3, "it to go")
        assert flow_of(lab, supervisor, cgroup, far, 2) == {instance["name"]}
    finally:
        sharer.remove()


CLONE_INTO_CGROUP = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
cgroup = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
# struct clone_args: flags (CLONE_INTO_CGROUP), ..., exit_signal, ..., cgroup
args = (ctypes.c_uint64 * 11)(0x200000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, cgroup)
pid = libc.syscall(435, args, ctypes.sizeof(args))
if pid == 0:
    os.execvp("sleep", ["sleep", "infinity"])
assert pid > 0, os.strerror(ctypes.get_errno())
print(pid, flush=True)
os.waitpid(pid, 0)
"""


class Cloned:
    """A process that begins in a cgroup, without ever having moved there."""

    def __init__(self, cgroup):
        self.process = subprocess.Popen([sys.executable, "-c", CLONE_INTO_CGROUP, cgroup.directory], text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.pid = int(self.process.stdout.readline())
        comm = pathlib.Path(f"/proc/{self.pid}/comm")
        wait_for(lambda: comm.read_text() == "sleep\n", 5, "the program to be executed")

    def remove(self):
        os.kill(self.pid, 9)
        self.process.communicate()


def test_cloned_into_its_cgroup(lab, supervisor):
    cgroup = lab.keep(Cgroup(f"/bt-clone/{DOCKER}/sub"))
    cloned = Cloned(cgroup)
    try:
        instance = supervisor.ready("5a" * 32)
        assert instance["netns"]["shared"]
        assert instance["cgroup"]["path"] == f"/bt-clone/{DOCKER}"
    finally:
        cloned.remove()


def test_ordinary_programs_are_told_of_once(lab, supervisor):
    """A cgroup that is no container's costs one event, however many programs are executed there."""
    cgroup = lab.keep(Cgroup("/bt-ordinary"))
    received = events_received(supervisor)
    Cloned(cgroup).remove()
    wait_for(lambda: supervisor.status()["events"]["received"] > received, 3, "the first")
    received = supervisor.status()["events"]["received"]
    for _ in range(20):
        Cloned(cgroup).remove()
    assert supervisor.status()["events"]["received"] <= received + 5     # others live on this machine
    assert not sharers(supervisor)


def test_its_end_is_lost(lab, supervisor):
    """The ring buffer was full when its cgroup was removed: the slow sweep finds it gone."""
    cgroup = Cgroup(f"/bt-lost/{DOCKER}")
    try:
        sleeper = Sleeper(cgroup, netns=Host.netns)
        try:
            supervisor.ready("5a" * 32)
            os.kill(supervisor.pid, signal.SIGSTOP)
            lab.callback(os.kill, supervisor.pid, signal.SIGCONT)
            _, lost = flood(supervisor, [(1 << 60, 0, 0, 0)] * 128, 0, 0.3)
            assert lost
        finally:
            sleeper.remove()
    finally:
        cgroup.remove()
    os.kill(supervisor.pid, signal.SIGCONT)
    wait_for(lambda: not supervisor.instance("5a" * 32), 7, "its instance to go")


def test_other_cgroups_ends_are_not_told(lab, supervisor):
    """Whoever may make cgroups, below one of his own, may do so without end."""
    directory = lab.keep(Cgroup("/bt-delegated")).directory / "below"
    received = events_received(supervisor)
    for _ in range(50):
        directory.mkdir()
        directory.rmdir()
    assert supervisor.status()["events"]["received"] <= received + 10     # others live on this machine
