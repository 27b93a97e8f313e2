# SPDX-License-Identifier: GPL-2.0-or-later
"""What others do wrong costs the supervisor neither its time nor its memory."""
import ctypes
import json
import os
import pathlib
import shutil
import signal
import struct
import tempfile
import time

from crowd import Cgroup, Sleeper, forge, wait_for_instance
from lab import SLOWNESS, TUNERS, bpf_objects_of, only, run, wait_for

MNT_DETACH = 2


def test_worker_that_reads_nothing(lab):
    """It reports without end: the answers that wait for it are bounded, and it is replaced."""
    container = lab.container("netns", "bt-mad")
    supervisor = lab.supervisor(tuners=only("tcp_buffer"))
    worker = supervisor.ready(container.name)["worker"]["pid"]
    os.kill(worker, signal.SIGSTOP)
    # An intent about no tunable, which is refused each time: ipc/report.h.
    intent = struct.pack("HHHHiiQQ", 3, 0, 0x7fff, 0, 0, 0, 0, 0).ljust(512, b"\0")
    with open(f"/proc/{worker}/fd/4", "wb", buffering=0) as reports:
        try:
            for _ in range(4000):
                reports.write(intent)
        except BrokenPipeError:
            pass
    instance = wait_for(lambda: (i := supervisor.instance(container.name))["worker"]["restarts"] == 1 and
                        i["worker"]["state"] == "ready" and i, 5, "another worker")
    assert instance["worker"]["pid"] != worker
    assert supervisor.stderr().count(f"worker {worker} does not read its orders: killed") == 1


class HangingMount:
    """A namespace's mount that nobody can get at: what is on top of its directory never answers."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="bpftune-hang-")) / "mount"
        self.directory.mkdir()
        self.fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        run("mount", "--bind", self.directory, self.directory)
        run("mount", "--make-private", self.directory)
        (self.directory / "ns").touch()
        run("unshare", f"--net={self.directory / 'ns'}", "true")
        options = f"fd={self.fuse},rootmode=40000,user_id=0,group_id=0"
        if ctypes.CDLL(None).mount(b"bt-hang", os.fsencode(self.directory), b"fuse", 0, options.encode()):
            raise OSError("cannot mount")

    def remove(self):
        os.close(self.fuse)     # whoever waits for an answer gets an error
        for _ in range(2):
            ctypes.CDLL(None).umount2(os.fsencode(self.directory), MNT_DETACH)
        shutil.rmtree(self.directory.parent)


def test_mount_that_hangs(lab):
    """The control socket opens, and what is there besides is found."""
    container = lab.container("netns", "bt-beside")
    lab.keep(HangingMount())
    start = time.monotonic()
    supervisor = lab.supervisor(tuners=only("tcp_buffer"))
    assert 4 < time.monotonic() - start < 5 + 4 * SLOWNESS
    assert "the path of a mount hangs" in supervisor.stderr()
    supervisor.ready(container.name)
    later = lab.container("runc", "bt-later")
    supervisor.ready(later.name)


def test_two_owners_of_one_sysctl(lab, tmp_path):
    """The second is refused, and both are named."""
    original = pathlib.Path(TUNERS, "tcp_buffer.so")
    shutil.copy(original, tmp_path / "a.so")
    (tmp_path / "b.so").write_bytes(original.read_bytes().replace(b"tcp_buffer\0", b"tcp_bufhog\0"))
    shutil.copy(original, tmp_path / "c.so")
    supervisor = lab.supervisor(tuners=tmp_path)
    supervisor.ready("host")
    tuners = {tuner["path"]: tuner["state"] for tuner in supervisor.status()["tuners"]}
    assert tuners == {str(tmp_path / "a.so"): "active", str(tmp_path / "b.so"): "refused", str(tmp_path / "c.so"): "refused"}
    assert "tuner tcp_bufhog would own net.ipv4.tcp_wmem, which tuner tcp_buffer owns" in supervisor.stderr()
    assert "there is a tuner tcp_buffer already" in supervisor.stderr()


def test_too_few_descriptors(lab):
    """Who has no worker for want of them is counted and said once, and served when others leave, or there are more."""
    supervisor = lab.supervisor(tuners=only("tcp_buffer"))
    supervisor.ready("host")

    def allow(more):
        number = len(os.listdir(f"/proc/{supervisor.pid}/fd")) + more
        run("prlimit", "--pid", supervisor.pid, f"--nofile={number}:")

    def without():
        return [i for name, i in supervisor.instances().items() if name in names and i["worker"]["state"] != "ready"]

    allow(16)       # two a worker, and some for a moment
    containers = {f"bt-few{i}": lab.container("netns", f"bt-few{i}") for i in range(12)}
    names = set(containers)
    wait_for(lambda: "no worker: Too many open files" in supervisor.stderr(), 3, "it to be said")
    wait_for(lambda: names <= supervisor.instances().keys(), 3, "all to be named")
    waiting = wait_for(lambda: (found := without()) and all(i["worker"]["state"] == "none" for i in found) and found, 3,
                       "some without a worker, the others with one")
    before = supervisor.status()["events"]["unserved"]
    forge(supervisor, *((instance["netns"]["cookie"], 0, 0, 0) for instance in waiting))
    wait_for(lambda: supervisor.status()["events"]["unserved"] == before + len(waiting), 2, "them to be counted")

    for name in list(names - {instance["name"] for instance in waiting})[:3]:
        containers[name].remove()
        names.remove(name)
    wait_for(lambda: len(without()) < len(waiting), 8, "others to be served")
    assert supervisor.stderr().count("no worker: ") == 1
    allow(100)
    wait_for(lambda: not without(), 8, "all to be served")
    assert not [i for i in supervisor.status()["instances"] if i["worker"]["restarts"]]


def test_too_few_descriptors_for_the_host(lab):
    """It is served when there are more, also if there is no container whose end could make room."""
    supervisor = lab.supervisor(tuners=only("tcp_buffer"))
    worker = supervisor.ready("host")["worker"]
    soft = run("prlimit", "--pid", supervisor.pid, "--nofile", "--noheadings", "--raw", "--output", "SOFT").stdout.strip()
    run("prlimit", "--pid", supervisor.pid, "--nofile=3:")
    os.kill(worker["pid"], signal.SIGKILL)
    wait_for(lambda: "no worker: Too many open files" in supervisor.stderr(), 5, "it to be said")
    run("prlimit", "--pid", supervisor.pid, f"--nofile={soft}:")
    wait_for(lambda: supervisor.instance("host")["worker"]["state"] == "ready", 8, "it to be served")


def map_id(supervisor, name):
    held = {number for kind, number in bpf_objects_of(supervisor.pid) if kind == "map"}
    return next(m["id"] for m in json.loads(run("bpftool", "-j", "map", "show").stdout)
                if m["id"] in held and m.get("name") == name)


def test_more_namespaces_than_can_be_known(lab, tmp_path):
    """Those for which there is no room are counted and said once, and found when there is some."""
    supervisor = lab.supervisor(tuners=only("tcp_buffer"))
    supervisor.ready("host", lab.container("netns", "bt-known").name)   # the slow sweep runs
    number, batch = map_id(supervisor, "netns"), tmp_path / "batch"
    value = "00 " * json.loads(run("bpftool", "-j", "map", "show", "id", number).stdout)["bytes_value"]
    os.kill(supervisor.pid, signal.SIGSTOP)     # it would find that these are unused
    try:
        batch.write_text("".join(f"map update id {number} key hex {(1 << 62 | i).to_bytes(8, 'little').hex(' ')} value hex {value}\n"
                                 for i in range(10240)))
        filled = run("bpftool", "batch", "file", batch, check=False)    # namespaces that are known take some of the room
        assert "Argument list too long" in filled.stdout + filled.stderr
        container = lab.keep(Sleeper(lab.keep(Cgroup("/bt-unknown"))))
        # The sleeper has its name some milliseconds before the exec's tracepoint; a program that has ended was seen.
        run(*container.command("true"))
    finally:
        os.kill(supervisor.pid, signal.SIGCONT)
    wait_for(lambda: "cannot tune some namespaces" in supervisor.stderr(), 7, "it to be said")
    assert supervisor.status()["events"]["unsighted"]
    run(*container.command("true"))
    wait_for_instance(supervisor, container)
