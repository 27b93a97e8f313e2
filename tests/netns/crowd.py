# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests of many instances are made of: cgroups, processes and containers in them, and forged events."""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from lab import Host, bpf_objects_of, cgroup2_mounts, netns_id, run, wait_for

FORGE = os.environ.get("FORGE", "forge")
FROM_WATCH, FROM_SUPERVISOR = 0xfffe, 0xffff


def remove_directory(path):
    """A cgroup is busy until the last task in it has gone."""
    def removed():
        try:
            path.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return True
    wait_for(removed, 5, f"{path} to be empty")


class Cgroup:
    """A cgroup of cgroup2; it goes with those of its parents that it was made with."""

    def __init__(self, path):
        self.path, self.made = path, []
        self.directory = pathlib.Path(cgroup2_mounts()[-1])
        for name in path.strip("/").split("/"):
            self.directory /= name
            if not self.directory.exists():
                self.directory.mkdir()
                self.made.append(self.directory)
        self.id = self.directory.stat().st_ino

    def add(self, pid):
        (self.directory / "cgroup.procs").write_text(str(pid))

    def remove(self):
        for directory in reversed(self.made):
            remove_directory(directory)


class Inside(Host):
    """In a namespace of its own."""

    def command(self, *words):
        return "nsenter", f"--net={self.netns}", *words

    @property
    def inode(self):
        return netns_id(self.netns)[1]


class Sleeper(Inside):
    """A process that sleeps in a namespace of its own or in another's, in a cgroup or in ours."""

    def __init__(self, cgroup=None, netns=None, wait=True):
        enter = ("nsenter", f"--net={netns}") if netns else ("unshare", "--net")
        join = ("sh", "-c", 'echo $$ >"$0" && exec "$@"', cgroup.directory / "cgroup.procs") if cgroup else ()
        self.process = subprocess.Popen([*join, *enter, "sleep", "infinity"], stdin=subprocess.DEVNULL)
        self.pid = self.link_target = self.process.pid
        self.name = f"s{self.pid}"
        self.netns = f"/proc/{self.pid}/ns/net"
        if wait:
            self.wait()

    def wait(self):
        comm = pathlib.Path(f"/proc/{self.pid}/comm")
        wait_for(lambda: comm.read_text() == "sleep\n", 5, "a process to sleep")

    def remove(self):
        self.process.kill()
        self.process.wait()


def sleepers_in(lab, cgroups):
    """One in each, all of which are started before the first is waited for."""
    sleepers = [lab.keep(Sleeper(cgroup, wait=False)) for cgroup in cgroups]
    for sleeper in sleepers:
        sleeper.wait()
    return sleepers


class Rootfs:
    """The host's /usr as the root of many containers."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="bpftune-rootfs-"))
        for directory in "usr", "proc", "dev", "sys", "tmp":
            (self.path / directory).mkdir()
        for directory in "bin", "sbin", "lib", "lib64":
            (self.path / directory).symlink_to(f"usr/{directory}")
        run("runc", "spec", "--bundle", self.path)
        self.spec = json.loads((self.path / "config.json").read_text())

    def remove(self):
        shutil.rmtree(self.path)


class Container(Inside):
    """A runc container: its network namespace is its own, the host's ("host"), or one that a path names."""

    def __init__(self, rootfs, name, network=None, cgroup=None, args=("sleep", "infinity")):
        self.name, self.cgroup_path = name, cgroup or f"/{name}"
        self.bundle = pathlib.Path(tempfile.mkdtemp(prefix="bpftune-bundle-"))
        try:
            self.start(rootfs, network, args)
        except BaseException:
            self.remove()
            raise

    def start(self, rootfs, network, args):
        self.delete()       # a run that was killed may have left it
        spec = json.loads(json.dumps(rootfs.spec))
        spec["root"]["path"] = str(rootfs.path)
        spec["process"].update(terminal=False, args=args)
        spec["process"].pop("rlimits", None)    # raising one needs CAP_SYS_RESOURCE
        namespaces = [item for item in spec["linux"]["namespaces"] if item["type"] != "network"]
        if network != "host":
            namespaces.append({"type": "network", **({"path": network} if network else {})})
        spec["linux"].update(cgroupsPath=self.cgroup_path, namespaces=namespaces)
        spec["mounts"] += [{"destination": "/usr", "source": "/usr", "type": "bind", "options": ["bind", "ro"]},
                           {"destination": "/tmp", "source": "tmpfs", "type": "tmpfs"}]
        (self.bundle / "config.json").write_text(json.dumps(spec))
        subprocess.run(["runc", "run", "-d", "--bundle", self.bundle, self.name], check=True, timeout=60,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self.link_target = json.loads(run("runc", "state", self.name).stdout)["pid"]
        self.netns = f"/proc/{self.pid}/ns/net"

    def command(self, *words):
        return "runc", "exec", self.name, *words

    def cgroup(self):
        """Path in cgroup2, and id."""
        return self.cgroup_path, os.stat(cgroup2_mounts()[-1] + self.cgroup_path).st_ino

    def delete(self):
        run("runc", "delete", "--force", self.name, check=False)

    def remove(self):
        self.delete()
        for parent in list(pathlib.Path(self.cgroup_path).parents)[:-1]:
            for directory in pathlib.Path("/sys/fs/cgroup").glob(f"*{parent}"):
                with contextlib.suppress(OSError):      # others are in it, and remove it
                    directory.rmdir()
        shutil.rmtree(self.bundle, ignore_errors=True)


def instance_in(supervisor, container):
    """The instance of a container's namespace, by inode; None: no such."""
    return next((instance for instance in supervisor.status()["instances"]
                 if instance["netns"]["inode"] == container.inode and not instance["netns"]["shared"]), None)


def sharers(supervisor):
    """The containers that share the host's namespace."""
    return [instance for instance in supervisor.status()["instances"] if instance["netns"]["shared"]]


def wait_for_instance(supervisor, container, true=lambda instance: True, deadline=3.0, what="the instance"):
    def found():
        instance = instance_in(supervisor, container)
        return instance and true(instance) and instance
    return wait_for(found, deadline, f"{what} of {container.name}")


def place(instance):
    return instance["cgroup"]["path"], instance["cgroup"]["id"]


def paired_with(cgroup):
    return lambda instance: place(instance) == (cgroup.path, cgroup.id)


def is_ready(instance):
    return instance["worker"]["state"] == "ready"


def verdicts(supervisor):
    """The bytes of all keys in the supervisor's maps of verdicts."""
    maps = (number for kind, number in bpf_objects_of(supervisor.pid) if kind == "map"
            and json.loads(run("bpftool", "-j", "map", "show", "id", number).stdout).get("name") == "verdicts")
    return [bytes(int(byte, 16) for byte in entry["key"]) for number in maps
            for entry in json.loads(run("bpftool", "-j", "map", "dump", "id", number, timeout=60).stdout)]


def ring_buffer_id(supervisor):
    for kind, number in bpf_objects_of(supervisor.pid):
        if kind == "map" and json.loads(run("bpftool", "-j", "map", "show", "id", number).stdout)["type"] == "ringbuf":
            return number
    raise AssertionError("the supervisor has no ring buffer")


def put_in(supervisor, events, *options, timeout=60):
    lines = "".join(f"{' '.join(map(str, event))}\n" for event in events)
    output = subprocess.run([FORGE, str(ring_buffer_id(supervisor)), *map(str, options)], input=lines, text=True,
                            check=True, timeout=timeout, stdout=subprocess.PIPE).stdout
    return [int(number) for number in output.split()]


def forge(supervisor, *events, interval_us=0):
    """Events (cookie, instance, tuner, scenario) that nobody noticed; those of tuner 0 change nothing. Their times."""
    return put_in(supervisor, events, interval_us)


def flood(supervisor, events, interval_us, seconds):
    """All of the events, at most 128, again and again: how many went in, and how many found the ring full."""
    return put_in(supervisor, events, interval_us, seconds, timeout=seconds + 60)


def tuner_number(supervisor, name):
    return [tuner["name"] for tuner in supervisor.status()["tuners"]].index(name)
