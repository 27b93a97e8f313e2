# SPDX-License-Identifier: GPL-2.0-or-later
"""Containers as podman makes them: found, named, tuned, forgotten."""
import io
import json
import tarfile

import pytest

from lab import TTL, Flow, Host, change, netns_id, only, run, wait_for

pytestmark = pytest.mark.last
IMAGE = "skeleton"
N = 3
# What an image would bring is the machine's own.
COMMON = "--volume", "/usr:/usr:ro", "--stop-timeout", "0"


def podman(*words, check=True):
    return run("podman", *words, check=check, timeout=60).stdout.strip()


def write_image(path):
    """No registry: a root directory with links into /usr."""
    with tarfile.open(path, "w") as archive:
        for name in "bin", "sbin", "lib", "lib64":
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            archive.addfile(link)
        for name in "usr", "tmp", "etc":
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(directory, io.BytesIO())


@pytest.fixture(scope="module", autouse=True)
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "image.tar"
    write_image(path)
    podman("import", path, IMAGE)
    yield
    podman("rm", "--all", "--force", "--time", 0)
    podman("rmi", "--force", IMAGE)


@pytest.fixture
def supervisor(lab):
    return lab.supervisor(tuners=only("poke", "tcp_buffer"))


class Podman(Host):
    def __init__(self, name, *options):
        self.name = name
        self.id = podman("run", "--detach", "--name", name, *COMMON, *options, IMAGE, "sleep", "infinity")
        state = json.loads(podman("inspect", name))[0]
        self.pid, self.address = state["State"]["Pid"], state["NetworkSettings"]["IPAddress"]
        self.netns = f"/proc/{self.pid}/ns/net"

    def command(self, *words):
        return "podman", "exec", self.name, *words

    def remove(self):
        podman("rm", "--force", "--time", 0, self.name, check=False)


def instance_of(supervisor, container):
    """The instance of its namespace, once there is a worker in it."""
    def found():
        for instance in supervisor.status()["instances"]:
            if instance["netns"]["inode"] == netns_id(container.netns)[1]:
                return instance["worker"]["state"] == "ready" and instance
        return None
    return wait_for(found, 10, f"the instance of {container.name}")


def test_names_ids_load_and_end(lab, supervisor):
    containers = [lab.keep(Podman(f"pm{i}")) for i in range(N)]
    instances = [instance_of(supervisor, container) for container in containers]
    for container, instance in zip(containers, instances):
        assert instance["container_id"] == container.id
        assert instance["runtime"] == "podman"
        assert instance["name"] == container.name
        assert container.id in instance["cgroup"]["path"]
        assert instance["netns"]["cookie"] == container.cookie()
        assert supervisor.status(container.id[:8])["instances"][0]["id"] == instance["id"]
    assert len({instance["worker"]["pid"] for instance in instances}) == N

    flow = lab.keep(Flow(containers[0], containers[1], containers[1].address, 5201, 3))
    assert flow.finish() > 1
    tuned = containers[2]
    change(supervisor, tuned, "step")
    assert supervisor.tunable(tuned.name, TTL)["current"] == tuned.sysctl(TTL)
    assert len({container.sysctl(TTL) for container in containers}) == 2

    for i in range(N):
        podman("stop", "--time", 0, f"pm{i}")
    gone = {instance["id"] for instance in instances}
    wait_for(lambda: not gone & {instance["id"] for instance in supervisor.status()["instances"]}, 5, "them to go")


def test_there_before_the_supervisor(lab, supervisor):
    supervisor.stop()
    container = lab.keep(Podman("pm-before"))
    supervisor.start()
    instance = instance_of(supervisor, container)
    assert (instance["name"], instance["container_id"]) == ("pm-before", container.id)


def test_name_of_one_that_is_removed_when_it_ends(lab, supervisor):
    """Newer versions of Podman keep such in another file."""
    container = lab.keep(Podman("pm-rm", "--rm"))
    assert instance_of(supervisor, container)["name"] == "pm-rm"


def test_pod(lab, supervisor):
    """Its containers share a namespace: one instance, one worker, and the pod's cgroup."""
    pod = podman("pod", "create", "--name", "pm-pod")
    lab.callback(podman, "pod", "rm", "--force", "--time", 0, pod, check=False)
    first, second = (lab.keep(Podman(f"pm-pod{i}", "--pod", pod)) for i in range(2))
    assert netns_id(first.netns) == netns_id(second.netns)

    def paired():
        instance = instance_of(supervisor, first)
        return instance["cgroup"]["path"].endswith(f"machine-libpod_pod_{pod}.slice") and instance
    instance = wait_for(paired, 5, "the pod's cgroup")
    assert len([other for other in supervisor.status()["instances"] if other["netns"] == instance["netns"]]) == 1
    assert (instance["runtime"], instance["pod_uid"], instance["name"]) == ("podman", pod, pod)
    first.name = instance["name"]
    change(supervisor, first, "step")
    second.remove()
    assert instance_of(supervisor, first)["id"] == instance["id"]


def test_host_network_has_no_namespace_of_its_own(lab, supervisor):
    """An instance that writes nothing."""
    container = lab.keep(Podman("pm-host", "--network", "host"))
    assert netns_id(container.netns) == netns_id(Host.netns)
    instance = wait_for(lambda: supervisor.instance("pm-host"), 10, "its instance")
    assert instance["container_id"] == container.id
    assert instance["netns"]["shared"] and instance["runtime"] == "podman"
    assert not instance["tunables"]
