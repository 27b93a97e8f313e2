# SPDX-License-Identifier: GPL-2.0-or-later
"""The capabilities of bpftune.service: with them all of it works, and without any one of them something named does not."""
import os
import pathlib
import re
import signal
import subprocess

import pytest

from lab import BPFTUNE, TTL, TUNERS, alive, change, netns_id, only, run, wait_for

UNIT = pathlib.Path(__file__).parents[2] / "systemd/bpftune.service.in"
NEEDED = re.search("(?m)^CapabilityBoundingSet=(.*)$", UNIT.read_text())[1].lower().replace("cap_", "").split()
FAILED = 1


def without(*missing):
    """Runs a command with these capabilities only: those of the unit, less the ones that are missing."""
    return "setpriv", "--bounding-set=" + ",".join(["-all", *(f"+{name}" for name in NEEDED if name not in missing)])


class OtherUsers:
    """A network namespace of a user who is not root, and nothing on the host that names it."""

    def __init__(self):
        self.process = subprocess.Popen(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "--user",
                                         "--map-root-user", "--net", "sh", "-c", "echo ready; exec sleep infinity"],
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"
        self.inode = netns_id(f"/proc/{self.process.pid}/ns/net")[1]

    def is_found(self, supervisor):
        return self.inode in {instance["netns"]["inode"] for instance in supervisor.status()["instances"]}

    def remove(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def supervisor_without(lab, *missing):
    """It says at its start what is missing, and no more."""
    supervisor = lab.supervisor(wrap=without(*missing), tuners=only("poke"))
    assert re.findall(r"(CAP_\w+) is missing: ", supervisor.stderr()) == [f"CAP_{name.upper()}" for name in missing]
    return supervisor


def kill_with_a_stopped_worker(supervisor):
    """The supervisor ends without notice; its host's worker cannot notice the end. Gives the worker's process id."""
    worker = supervisor.ready("host")["worker"]["pid"]
    os.kill(worker, signal.SIGSTOP)
    wait_for(lambda: re.search(r"^State:\tT", pathlib.Path(f"/proc/{worker}/status").read_text(), re.M), 5, "the worker to stop")
    supervisor.process.kill()
    supervisor.process.wait()       # by now the kernel has sent the signals for its children
    return worker


def test_all_of_them(lab):
    others = lab.keep(OtherUsers())
    supervisor = supervisor_without(lab)
    container = lab.container("runc", "bt-cap")
    supervisor.ready(container.name)
    assert others.is_found(supervisor)
    change(supervisor, container, "step")
    worker = kill_with_a_stopped_worker(supervisor)
    wait_for(lambda: not alive(worker), 5, "the worker to end")


def test_without_sys_admin(tmp_path):
    """No BPF program can be loaded."""
    result = run(*without("sys_admin"), BPFTUNE, "run", "--stderr", "--plugin-dir", TUNERS, "--run-dir", tmp_path / "run", check=False)
    assert result.returncode == FAILED and "needs CAP_SYS_ADMIN" in result.stderr


def test_without_net_admin(lab):
    """A worker cannot write."""
    supervisor = supervisor_without(lab, "net_admin")
    container = lab.container("netns", "bt-cap-net")
    supervisor.ready(container.name)
    before = container.sysctl(TTL)
    container.poke("step")
    wait_for(lambda: [record for record in supervisor.log(container.name) if f"cannot write {TTL}" in record["text"]], 5, "a refusal")
    assert container.sysctl(TTL) == before


def test_without_sys_ptrace(lab):
    """Processes of other users than root cannot be asked for their namespace."""
    others = lab.keep(OtherUsers())
    supervisor = supervisor_without(lab, "sys_ptrace")
    supervisor.ready("host")
    assert not others.is_found(supervisor)


def test_without_dac_read_search(lab):
    """A container that starts now is not known by its cgroup."""
    supervisor = supervisor_without(lab, "dac_read_search")
    supervisor.ready("host")
    container = lab.container("runc", "bt-cap-dac")
    inode = netns_id(container.netns)[1]

    def instance():
        return next((each for each in supervisor.status()["instances"] if each["netns"]["inode"] == inode), None)
    wait_for(lambda: "cannot look up cgroups by their ids" in supervisor.stderr(), 5, "the failure")
    assert not instance() or instance()["name"] != container.name


@pytest.mark.parametrize("missing", ["setuid", "setgid"])
def test_without_another_user(lab, missing):
    """No worker starts: it would stay root."""
    supervisor = supervisor_without(lab, missing)
    wait_for(lambda: supervisor.instance("host")["worker"]["restarts"], 5, "a worker to end")
    assert "is ready" not in supervisor.stderr()


def test_without_kill(lab):
    """A worker that hangs outlives the supervisor."""
    supervisor = supervisor_without(lab, "kill")
    worker = kill_with_a_stopped_worker(supervisor)
    try:
        status = pathlib.Path(f"/proc/{worker}/status").read_text()
        assert re.search(r"^State:\tT", status, re.M) and not int(re.search(r"^ShdPnd:\t(\w+)", status, re.M)[1], 16)
    finally:
        os.kill(worker, signal.SIGKILL)
    wait_for(lambda: not supervisor.traces(), 5, "its BPF objects to go")


@pytest.mark.parametrize("missing", NEEDED)
def test_probe_says_what_is_missing(missing):
    result = run(*without(missing), BPFTUNE, "probe", "--plugin-dir", TUNERS, check=False)
    assert result.returncode == FAILED
    assert re.findall(r"(CAP_\w+) is missing: ", result.stderr) == [f"CAP_{missing.upper()}"]
