# SPDX-License-Identifier: GPL-2.0-or-later
"""deploy/: the image, and the DaemonSet's pod as a node would run it, beside containers that it did not make."""
import os
import pathlib
import re
import shutil
import urllib.error
import urllib.request

import pytest
import yaml

from lab import BPFTUNE, POKE, TTL, Host, Supervisor, alive, change, netns_id, run, wait_for
from pod import podman_options
from test_podman import Podman, podman
from test_podman import image as skeleton   # noqa: F401 (a fixture: what the other containers are made of)

pytestmark = pytest.mark.last
TOP = pathlib.Path(__file__).parents[2]
MANIFEST, METRICS = TOP / "deploy/kubernetes/bpftune.yaml", TOP / "deploy/kubernetes/metrics.yaml"
TUNERS = "/usr/lib/x86_64-linux-gnu/bpftune/tuners"
POD_UID, OTHER_UID = "0f6ad8ee-8f0b-4bd2-bbd6-5ad1f3b1a7c1", "7c1e7f5e-3b33-4dd1-9d6c-51f5a6a4c0de"
START_S = 60        # emulated, and beside others


def manifest(kind):
    part, = (part for part in yaml.safe_load_all(MANIFEST.read_text()) if part["kind"] == kind)
    return part


def metrics_container():
    """Of which a node would make this one."""
    container, = yaml.safe_load(METRICS.read_text())["spec"]["template"]["spec"]["containers"]
    assert [(each["name"], each["valueFrom"]) for each in container["env"]] == [("HOST_IP", {"fieldRef": {"fieldPath": "status.hostIP"}})]
    container["command"] = [word.replace("$(HOST_IP)", "127.0.0.1") for word in container["command"]]
    return container


def pod_slice(uid, qos):
    """The cgroup of a pod, where systemd makes cgroups; it has its own use for a minus."""
    return f"--cgroup-parent=kubepods-{qos}-pod{uid.replace('-', '_')}.slice"


class Pod(Supervisor):
    """The pod on this machine as its node."""
    run_dir = pathlib.Path("/run/bpftune")

    def __init__(self):
        self.spec = manifest("DaemonSet")["spec"]["template"]["spec"]
        self.container, = self.spec["containers"]
        self.running.append(self)
        self.start()

    def start(self):
        # A tuner more, by which a test says what is to happen.
        self.id = podman("run", "--detach", "--name=bpftune", pod_slice(POD_UID, "besteffort"), *podman_options(self.spec),
                         f"--volume={POKE}/poke.so:{TUNERS}/poke.so:ro", self.container["image"])
        self.process_id = int(podman("inspect", "--format={{.State.Pid}}", "bpftune"))
        wait_for(lambda: self.probe("startupProbe"), START_S, "the startup probe")

    def probe(self, name):
        """A kubelet's: the exit status of a command in the container."""
        assert podman("inspect", "--format={{.State.Running}}", "bpftune") == "true", self.stderr()
        return run("podman", "exec", "bpftune", *self.container[name]["exec"]["command"], check=False).returncode == 0

    @property
    def pid(self):
        return self.process_id

    def stderr(self):
        return run("podman", "logs", "bpftune", check=False).stderr

    def command(self, command, *words):
        """From the node: its run directory is the pod's."""
        return [BPFTUNE, command, *map(str, words)]

    def end(self):
        podman("rm", "--force", f"--time={self.spec['terminationGracePeriodSeconds']}", "bpftune", check=False)

    def remove(self):
        self.end()
        self.running.remove(self)
        for volume in self.spec["volumes"]:
            if "bpftune" in volume["hostPath"]["path"]:
                shutil.rmtree(volume["hostPath"]["path"])


@pytest.fixture(scope="module")
def image(shared, tmp_path_factory):
    """By the Containerfile. There is no network here: its first stage is the package that was made outside, and what the
    package needs is in the base already."""
    if "BPFTUNE_DEB" not in os.environ:
        pytest.skip("no package was built: make deb")
    stages = re.split("(?m)^(?=FROM )", (TOP / "deploy/Containerfile").read_text())
    containerfile = tmp_path_factory.mktemp("image") / "Containerfile"
    containerfile.write_text(stages[0] + stages[-1])
    name, = (part["image"] for part in manifest("DaemonSet")["spec"]["template"]["spec"]["containers"])
    shared.callback(podman, "rmi", "--force", name, "base", check=False)
    podman("import", os.environ["BPFTUNE_BASE"], "base")
    package = pathlib.Path(os.environ["BPFTUNE_DEB"])
    run("podman", "build", "--network=none", "--layers=false", "--build-arg=BASE=localhost/base",
        f"--build-context=build={package.parent}", f"--tag={name}", f"--file={containerfile}", TOP, timeout=120)


@pytest.fixture(scope="module")
def early(shared, skeleton):    # noqa: F811
    """A pod's container, there before bpftune is."""
    return shared.keep(Podman("kube-early", pod_slice(OTHER_UID, "burstable")))


@pytest.fixture(scope="module")
def pod(shared, image, early):
    return shared.keep(Pod())


def instance_of(pod, container):
    """The instance of its namespace, once there is a worker in it."""
    def found():
        return next((instance for instance in pod.status()["instances"] if instance["worker"]["state"] == "ready"
                     and instance["netns"]["inode"] == netns_id(container.netns)[1]), None)
    return wait_for(found, 20, f"the instance of {container.name}")


def status_of(pid):
    return dict(re.findall(r"^(\w+):[\t ]*(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M))


def assert_its_own(container, instance):
    """The worker is in this namespace, and what it may do is what a worker may."""
    worker = instance["worker"]["pid"]
    assert netns_id(f"/proc/{worker}/ns/net") == netns_id(container.netns)
    assert instance["netns"]["cookie"] == container.cookie()
    status = status_of(worker)
    assert (int(status["CapEff"], 16), status["NoNewPrivs"], status["Seccomp"]) == (1 << 12, "1", "2")
    assert "0" not in status["Uid"].split() + status["Gid"].split()


def test_manifest():
    """What no pod shows: that the parts are of each other, and that nobody is asked for more than the unit has."""
    daemons = manifest("DaemonSet")
    template = daemons["spec"]["template"]
    container, = template["spec"]["containers"]
    assert {part["kind"] for part in yaml.safe_load_all(MANIFEST.read_text())} == {"Namespace", "DaemonSet"}
    assert daemons["metadata"]["namespace"] == manifest("Namespace")["metadata"]["name"]
    assert daemons["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in template["spec"]["volumes"]}
    metrics = metrics_container()
    assert metrics["image"] == container["image"] and metrics["name"] != container["name"]
    assert {mount["name"] for mount in metrics["volumeMounts"]} <= {mount["name"] for mount in container["volumeMounts"]}
    unit = (TOP / "systemd/bpftune.service.in").read_text()
    capabilities = container["securityContext"]["capabilities"]["add"]
    assert {f"CAP_{name}" for name in capabilities} == set(re.search("(?m)^CapabilityBoundingSet=(.*)$", unit)[1].split())
    assert f"--cap-add={','.join(capabilities)}" in (TOP / "doc/bpftune.8.rst").read_text()


def test_pod_has_no_more_than_it_says(pod):
    status = status_of(pod.pid)
    assert pathlib.Path(f"/proc/{pod.pid}/comm").read_text() == "bpftune\n"
    assert status["Seccomp"] == "2"
    added = pod.container["securityContext"]["capabilities"]["add"]
    for name in "CapPrm", "CapEff":
        assert bin(int(status[name], 16)).count("1") == len(added)
    paths = "/proc/sys/kernel/panic", "/sys/fs/cgroup/x", "/etc/x", "/run/netns/x"
    script = "".join(f"(echo 0 >{path})\n" for path in paths)
    said = run("podman", "exec", "bpftune", "sh", "-c", script, check=False).stderr
    assert said.count("Read-only") == len(paths), said


def test_all_of_it_works(pod):
    assert pod.probe("livenessProbe")
    status = pod.status()
    hooks = [hook for part in (status["watch"], *status["tuners"]) for hook in part["hooks"]]
    assert hooks and all(hook["attached"] for hook in hooks), hooks
    # The test's own tuner comes before those that own the same.
    assert not [tuner for tuner in status["tuners"] if tuner["state"] != "active" and "poke" not in tuner["why"]]
    assert status["watch"]["cgroup2"] == "/sys/fs/cgroup"
    host = pod.ready("host", deadline=START_S)
    assert_its_own(Host(), host)


def test_containers_beside_it(lab, pod, early):
    """One that was there before, one that comes, and one with a name only; bpftune's own container is the host's."""
    late, named = lab.keep(Podman("kube-late")), lab.container("netns", "kube-named")
    for container in early, late, named:
        assert_its_own(container, instance_of(pod, container))
    for container in early, late:
        instance = instance_of(pod, container)
        assert (instance["name"], instance["container_id"], instance["runtime"]) == (container.name, container.id, "podman")
    assert (instance_of(pod, early)["pod_uid"], instance_of(pod, early)["pod_qos"]) == (OTHER_UID, "burstable")
    assert instance_of(pod, named)["name"] == "kube-named"
    assert pod.id not in {instance["container_id"] for instance in pod.status()["instances"]}
    named.remove()
    wait_for(lambda: not pod.instance("kube-named"), 10, "the instance to go")


def test_owner_opts_out(lab, pod):
    """What the runtime has on record is seen."""
    container = lab.keep(Podman("kube-off", "--annotation=io.bpftune=off"))

    def is_off():
        return [instance for instance in pod.status()["instances"] if instance["container_id"] == container.id
                and {tuner["state"] for tuner in instance["tuners"]} == {"off"}]
    wait_for(is_off, 20, "its tuners to be off")


def test_metrics(lab, pod):
    """Served by a container more, which can do nothing but read."""
    pod.ready("host", deadline=START_S)
    container = metrics_container()
    podman("run", "--detach", "--name=bpftune-metrics", *podman_options({**pod.spec, "containers": [container]}), container["image"])
    lab.callback(podman, "rm", "--force", "--time=1", "bpftune-metrics", check=False)

    def answer():
        try:
            with urllib.request.urlopen("http://127.0.0.1:9815/metrics", timeout=60) as response:
                text = response.read().decode()
        except (urllib.error.URLError, ConnectionError):
            return None     # it has just started
        return text if "\nbpftune_up 1\n" in text else None
    assert '\nbpftune_worker_ready{container="host"} 1\n' in wait_for(answer, START_S, "the metrics")
    status = status_of(int(podman("inspect", "--format={{.State.Pid}}", "bpftune-metrics")))
    assert (status["Name"], status["NoNewPrivs"], int(status["CapEff"], 16)) == ("bpftune-metrics", "1", 0)
    assert status["Uid"].split() == ["65534"] * 4


def test_one_is_tuned_and_the_next_pod_remembers(lab, pod, early):
    other = lab.keep(Podman("kube-other"))
    before = Host().sysctl(TTL), other.sysctl(TTL)
    first = early.sysctl(TTL)
    for container in early, other:
        instance_of(pod, container)
    change(pod, early, "step")
    assert early.sysctl(TTL) == str(int(first) + 1)
    assert (Host().sysctl(TTL), other.sysctl(TTL)) == before

    workers = pod.workers()
    pod.end()
    wait_for(lambda: not any(map(alive, (pod.pid, *workers.values()))), 5, "its processes to end")
    pod.start()
    pod.ready(early.name, deadline=START_S)
    tunable = pod.tunable(early.name, TTL)
    assert (tunable["initial"], tunable["current"], tunable["changes"]) == (first, early.sysctl(TTL), 1)
    assert run("podman", "exec", "bpftune", "bpftune", "rollback", early.name).returncode == 0
    assert early.sysctl(TTL) == first
