# SPDX-License-Identifier: GPL-2.0-or-later
"""Containers as Docker, containerd, systemd-nspawn and LXC make them: named, with one worker each, forgotten."""
import json
import pathlib
import tarfile

import pytest

from lab import TTL, Host, change, netns_id, only, run, wait_for
from test_podman import IMAGE, write_image

pytestmark = pytest.mark.last
START_S = 300       # a daemon or a command of a runtime, emulated
USR = "type=bind,src=/usr,dst=/usr,options=rbind:ro"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "image.tar"
    write_image(path)
    return path


@pytest.fixture
def rootfs(archive, tmp_path):
    directory = tmp_path / "rootfs"
    with tarfile.open(archive) as tar:
        tar.extractall(directory)
    return directory


@pytest.fixture(scope="module")
def containerd(shared):
    run("systemctl", "start", "containerd", timeout=START_S)
    shared.callback(run, "systemctl", "stop", "containerd", timeout=START_S)


@pytest.fixture(scope="module")
def daemon(shared, containerd, archive):
    """Docker's; bpftune's own package never starts it."""
    run("systemctl", "start", "docker", timeout=START_S)
    shared.callback(run, "systemctl", "stop", "docker.socket", "docker", timeout=START_S)
    docker("import", archive, IMAGE)


@pytest.fixture
def supervisor(lab):
    return lab.supervisor(tuners=only("poke"))


def docker(*words, check=True):
    return run("docker", *words, check=check, timeout=START_S).stdout.strip()


class Container(Host):
    """Somebody else's container, by one of its processes."""

    def __init__(self, name, pid):
        self.name, self.netns = name, f"/proc/{pid}/ns/net"

    def remove(self):
        """Its test removes it."""

    def command(self, *words):
        return "nsenter", f"--net={self.netns}", *words


class Docker(Container):
    def __init__(self, name, *options):
        self.id = docker("run", "--detach", "--name", name, "--volume=/usr:/usr:ro", "--stop-timeout=0",
                         "--security-opt=apparmor=unconfined", *options, IMAGE, "sleep", "infinity")
        super().__init__(name, self.inspect()["State"]["Pid"])

    def inspect(self):
        return json.loads(docker("inspect", self.id))[0]

    def remove(self):
        docker("rm", "--force", self.id, check=False)


def ready(supervisor, container):
    """The instance of its namespace, by its name, once there is a worker in it; there is no other of that namespace."""
    instance = supervisor.ready(container.name, deadline=20)
    inode = netns_id(container.netns)[1]
    assert [each["name"] for each in supervisor.status()["instances"] if each["netns"]["inode"] == inode] == [container.name]
    return instance


def wait_until_gone(supervisor, instance):
    wait_for(lambda: instance["id"] not in {each["id"] for each in supervisor.status()["instances"]}, 20, "the instance to end")


def test_ctr(lab, containerd, supervisor, rootfs):
    """Its containers have no name but the id that they were made with."""
    run("ctr", "run", "--detach", "--rootfs", f"--mount={USR}", rootfs, "ctr-web", "/usr/bin/sleep", "infinity", timeout=START_S)
    lab.callback(run, "ctr", "container", "rm", "ctr-web", check=False)
    lab.callback(run, "ctr", "task", "rm", "--force", "ctr-web", check=False)
    pid = [line.split()[1] for line in run("ctr", "task", "ls").stdout.splitlines() if line.startswith("ctr-web ")][0]
    instance = ready(supervisor, lab.keep(Container("ctr-web", pid)))
    assert (instance["container_id"], instance["runtime"]) == ("ctr-web", "containerd")
    run("ctr", "task", "rm", "--force", "ctr-web")
    wait_until_gone(supervisor, instance)


NSPAWN = """[Exec]
Boot=no
Parameters=/usr/bin/sleep infinity
PrivateUsers=no
[Files]
BindReadOnly=/usr
[Network]
Private=yes
VirtualEthernet=yes
"""


def test_nspawn(lab, supervisor, rootfs):
    """As machinectl(1) starts a machine."""
    pathlib.Path("/etc/systemd/nspawn").mkdir(exist_ok=True)
    pathlib.Path("/etc/systemd/nspawn/nsp-web.nspawn").write_text(NSPAWN)
    run("cp", "-a", rootfs, "/var/lib/machines/nsp-web")
    lab.callback(run, "machinectl", "terminate", "nsp-web", check=False)
    run("machinectl", "start", "nsp-web", timeout=START_S)
    pid = run("machinectl", "show", "--property=Leader", "--value", "nsp-web").stdout.strip()
    instance = ready(supervisor, lab.keep(Container("nsp-web", pid)))
    assert (instance["container_id"], instance["runtime"]) == ("nsp-web", "systemd-nspawn")
    run("machinectl", "terminate", "nsp-web")
    wait_until_gone(supervisor, instance)


LXC = """lxc.uts.name = lxc-web
lxc.rootfs.path = dir:{rootfs}
lxc.net.0.type = empty
lxc.mount.auto = proc sys
lxc.mount.entry = /usr usr none rbind,ro 0 0
lxc.apparmor.profile = unconfined
"""


def test_lxc(lab, supervisor, rootfs):
    config = rootfs.parent / "config"
    for name in "proc", "sys", "dev":
        (rootfs / name).mkdir()
    config.write_text(LXC.format(rootfs=rootfs))
    lab.callback(run, "lxc-stop", "--kill", "--name=lxc-web", check=False)
    run("lxc-start", "--daemon", "--name=lxc-web", f"--rcfile={config}", f"--logfile={config}.log", "--", "/usr/bin/sleep",
        "infinity", timeout=START_S)
    pid = run("lxc-info", "--no-humanize", "--pid", "--name=lxc-web").stdout.strip()
    instance = ready(supervisor, lab.keep(Container("lxc-web", pid)))
    assert (instance["container_id"], instance["runtime"]) == ("lxc-web", "lxc")
    run("lxc-stop", "--kill", "--name=lxc-web")
    wait_until_gone(supervisor, instance)


def test_docker(lab, daemon, supervisor):
    """On Docker's bridge. A new name is seen when the record is read again: by the instance of a new start."""
    container = lab.keep(Docker("web"))
    first = ready(supervisor, container)
    assert (first["container_id"], first["runtime"]) == (container.id, "docker")
    change(supervisor, container, "step")
    assert supervisor.tunable("web", TTL)["current"] == container.sysctl(TTL)
    docker("rename", "web", "shop")
    assert supervisor.instance("web")["id"] == first["id"]
    docker("restart", "--time=0", container.id)
    wait_until_gone(supervisor, first)
    container = lab.keep(Container("shop", container.inspect()["State"]["Pid"]))
    assert ready(supervisor, container)["container_id"] == first["container_id"]


def test_docker_run_rm_and_label(lab, daemon, supervisor):
    container = lab.keep(Docker("brief", "--rm", "--label=io.bpftune=off"))
    instance = wait_for(lambda: supervisor.instance("brief"), 20, "its name")
    wait_for(lambda: {tuner["state"] for tuner in supervisor.instance("brief")["tuners"]} == {"off"}, 20, "its tuners to be off")
    docker("stop", "--time=0", container.id)
    wait_until_gone(supervisor, instance)
