# SPDX-License-Identifier: GPL-2.0-or-later
"""What people call containers, as runtimes have it on record: read by a supervisor whose records are a test's."""
import json
import os
import pathlib
import pwd
import sys

import pytest

from crowd import Cgroup, Sleeper, paired_with, wait_for_instance
from lab import Host, change, only, wait_for

DOCKER = "/var/lib/docker/containers/{}/config.v2.json"
STORAGE = "/var/lib/containers/storage/overlay-containers/"
TASKS = "/run/containerd/io.containerd.runtime.v2.task/"
USER = pwd.getpwnam("backup")

# Makes the files in a mount namespace of its own, in which nothing else is in /run, /var/lib and the user's home.
RECORDS = f"""
import ctypes, json, os, pathlib, subprocess, sys
files = json.loads(pathlib.Path(sys.argv[1]).read_text())
for top in "/run", "/var/lib", {USER.pw_dir!r}:
    subprocess.run(["mount", "-t", "tmpfs", "none", top], check=True)
for path, (text, uid, mode) in files.items():
    path = pathlib.Path(path)
    for directory in reversed(path.parents):
        if not directory.exists():
            directory.mkdir(mode=0o711)
            os.chown(directory, uid, uid)
    if mode is None:
        path.symlink_to(text)
    else:
        path.write_text(text)
        path.chmod(mode)
    os.chown(path, uid, uid, follow_symlinks=False)
if len(sys.argv[2]):
    fd = os.open("/dev/fuse", os.O_RDWR)        # nobody will ever answer
    os.set_inheritable(fd, True)
    assert not ctypes.CDLL(None).mount(b"none", sys.argv[2].encode(), b"fuse", 0,
                                       b"fd=%d,rootmode=40000,user_id=%d,group_id=%d" % (fd, *map(int, sys.argv[3:5])))
os.execvp(sys.argv[5], sys.argv[5:])
"""


def record(text, uid=0, mode=0o600):
    return text if isinstance(text, str) else json.dumps(text), uid, mode


def new_id(counted=[0]):
    """An id as runtimes make them."""
    counted[0] += 1
    return f"{counted[0]:04x}{'feed' * 15}"


def docker(name, labels=None):
    """ID, file and its text."""
    container = new_id()
    return container, {DOCKER.format(container): record({"ID": container, "Name": name, "Config": {"Labels": labels}})}


@pytest.fixture
def start(lab, tmp_path):
    def start(files, hang="", hangs_of=(0, 0)):
        (tmp_path / "files").write_text(json.dumps(files))
        (tmp_path / "records.py").write_text(RECORDS)
        wrap = ("unshare", "-m", sys.executable, tmp_path / "records.py", tmp_path / "files", hang, *map(str, hangs_of))
        supervisor = lab.supervisor(wrap=wrap, tuners=only("poke"))
        supervisor.ready("host")
        return supervisor
    return start


@pytest.fixture
def container(lab):
    """A process in a namespace and a cgroup of its own, as a runtime makes them."""
    def container(path):
        cgroup = lab.keep(Cgroup(path))
        sleeper = lab.keep(Sleeper(cgroup))
        sleeper.cgroup = cgroup
        return sleeper
    return container


def name_of(supervisor, container, deadline=10.0):
    """Once it has a worker, which is when its record has been read."""
    def ready(instance):
        return paired_with(container.cgroup)(instance) and instance["worker"]["state"] == "ready"
    return wait_for_instance(supervisor, container, ready, deadline, "the worker")["name"]


def test_name_and_id(start, container):
    """One container by its name, its id, and what its id begins with: in status, logs and changes; the name is what is shown."""
    ident, files = docker("/web")
    supervisor = start(files)
    web = container(f"/docker-{ident}.scope")
    web.name = name_of(supervisor, web)
    assert web.name == "web"
    for name in "web", ident, ident[:60]:
        instance, = supervisor.status(name)["instances"]
        assert (instance["name"], instance["container_id"], instance["runtime"]) == ("web", ident, "docker")
    change(supervisor, web, "step")
    made = supervisor.changes("web")[-1]
    assert made["container"] == "web" and made["container_id"] == ident
    assert supervisor.log("web") == supervisor.log(ident)
    assert f"container {ident}" in supervisor.cli("status", "web").stdout
    assert ident not in supervisor.cli("status", "--all").stdout
    supervisor.cli("off", ident)
    assert [each["state"] for each in supervisor.instance("web")["tuners"]] == ["off"]
    supervisor.cli("on", "web")
    ended = supervisor.instance("web")["id"]
    web.remove()
    wait_for(lambda: not supervisor.instance("web"), 10, "it to end")
    assert {each["instance"] for each in supervisor.log("web")} == {each["instance"] for each in supervisor.log(ident)} == {ended}


def test_each_runtime(start, container):
    """The records as Docker, Podman, CRI-O, containerd's CRI plugin and nerdctl write them; and a container without any."""
    ids = [new_id() for _ in range(9)]
    pod = "11111111-2222-3333-4444-555555555555"
    kubepods = f"/kubepods.slice/kubepods-pod{pod.replace('-', '_')}.slice"
    files = {
        DOCKER.format(ids[0]): record({"Name": "/k8s_app_web-0_shop_uid_0", "Config": {"Labels": {}}}),
        STORAGE + "containers.json": record([
            {"id": ids[1], "names": ["db"], "layer": "l"}, {"id": ids[2], "names": ["k8s_app_web-1_shop_uid_0"]}]),
        STORAGE + "volatile-containers.json": record([{"id": ids[3], "names": ["batch"]}]),
        f"{TASKS}k8s.io/{ids[4]}/config.json": record({"annotations": {
            "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": "app",
            "io.kubernetes.cri.sandbox-name": "web-2", "io.kubernetes.cri.sandbox-namespace": "shop"}}, mode=0o644),
        f"{TASKS}k8s.io/{ids[5]}/config.json": record({"annotations": {
            "io.kubernetes.cri.container-type": "sandbox",
            "io.kubernetes.cri.sandbox-name": "web-3", "io.kubernetes.cri.sandbox-namespace": "shop"}}, mode=0o644),
        f"{TASKS}default/{ids[6]}/config.json": record({"annotations": {"nerdctl/name": "nerd"}}, mode=0o644),
        f"{TASKS}k8s.io/{ids[7]}/config.json": record({"annotations": {
            "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": "app",
            "io.kubernetes.cri.sandbox-name": "web-4", "io.kubernetes.cri.sandbox-namespace": "shop"}}, mode=0o644),
    }
    supervisor = start(files)
    paths = {f"/docker-{ids[0]}.scope": "shop/web-0/app", f"/libpod-{ids[1]}.scope": "db", f"/crio-{ids[2]}.scope": "shop/web-1/app",
             f"/libpod-{ids[3]}.scope": "batch", f"/cri-containerd-{ids[4]}.scope": "shop/web-2/app",
             f"/cri-containerd-{ids[5]}.scope": "shop/web-3", f"/nerdctl-{ids[6]}.scope": "nerd", f"/docker-{ids[8]}.scope": ids[8]}
    containers = {container(path): name for path, name in paths.items()}
    for each, name in containers.items():
        assert name_of(supervisor, each) == name
    # A pod's containers share its namespace, and its cgroup is the pod's: its name is the pod's, too.
    first, second = (container(f"{kubepods}/cri-containerd-{ident}.scope") for ident in (ids[7], new_id()))
    second.remove()
    second = Sleeper(second.cgroup, netns=first.netns)
    try:
        instance = wait_for_instance(supervisor, first, lambda each: each["cgroup"]["path"] == kubepods and each["name"] == "shop/web-4", 10)
        assert instance["pod_uid"] == pod and instance["container_id"] is None
    finally:
        second.remove()


def test_ctr(start, container):
    """Of containerd's own command: the id is what people chose, and no letter of the path says whose it is."""
    supervisor = start({f"{TASKS}default/bt-ctr/config.json": record({"annotations": {"io.bpftune": "off"}}, mode=0o644)})
    each = container("/default/bt-ctr")
    instance = wait_for_instance(supervisor, each, lambda found: {tuner["state"] for tuner in found["tuners"]} == {"off"}, 10, "its owner's word")
    assert (instance["name"], instance["container_id"], instance["runtime"]) == ("bt-ctr", "bt-ctr", "containerd")


HOSTILE = "\x1b[2J\x1b]0;pwned\x07", "we\nb", "web\u202e", "we b", "../web", "uid 0/web", "pid:1", "web@1", "a/b/c/d", "", "1", "f" * 64, \
    "w" * 65536, {"a": "b"}


def test_names_that_are_none(start, container):
    """Their containers go by their ids, with whatever stands in the file; and those of files that are not as they should be."""
    files, ids = {}, []
    for name in HOSTILE:
        ident, made = docker(name)
        ids.append(ident)
        files |= made
    link, large, writable, anothers = (new_id() for _ in range(4))
    ids += link, large, writable, anothers
    whole = {"Name": "/web"}
    files[DOCKER.format(link)] = ("/var/lib/elsewhere", 0, None)
    files["/var/lib/elsewhere"] = record(whole)
    files[DOCKER.format(large)] = record(json.dumps(whole) + " " * (1 << 20))
    files[DOCKER.format(writable)] = record(whole, mode=0o622)
    files[DOCKER.format(anothers)] = record(whole, uid=USER.pw_uid)
    supervisor = start(files)
    containers = [container(f"/docker-{ident}.scope") for ident in ids]
    assert [name_of(supervisor, each) for each in containers] == ids
    shown = supervisor.cli("status", "--all").stdout + supervisor.cli("log").stdout + supervisor.stderr()
    assert "\x1b" not in shown and "pwned" not in shown


def test_one_name_of_two(start, container):
    """The later one has its instance's number behind it; and none is taken for the host."""
    (first, files), (second, more), (host, most) = docker("/web"), docker("/web"), docker("/host")
    supervisor = start(files | more | most)
    one = container(f"/docker-{first}.scope")
    assert name_of(supervisor, one) == "web"
    other, third = container(f"/docker-{second}.scope"), container(f"/docker-{host}.scope")
    number_of = {ident: supervisor.status(ident)["instances"][0]["id"] for ident in (first, second, host)
                 if name_of(supervisor, {first: one, second: other, host: third}[ident])}
    assert name_of(supervisor, other) == f"web@{number_of[second]}"
    assert name_of(supervisor, third) == f"host@{number_of[host]}"
    assert supervisor.status("web")["instances"][0]["id"] == number_of[first]
    assert supervisor.status("host")["instances"][0]["id"] == 1


def test_user(start, container):
    """A user's records are read as that user: what only root can read, wherever he links to, names nobody."""
    storage = f"{USER.pw_dir}/.local/share/containers/storage/overlay-containers/"
    mine, anothers, linked, roots = (new_id() for _ in range(4))
    docker, secret = f"{USER.pw_dir}/.local/share/docker/containers", f"{USER.pw_dir}/secret"
    files = {
        storage + "containers.json": record([{"id": mine, "names": ["web"]}], uid=USER.pw_uid),
        f"{secret}/{linked}/config.v2.json": record({"Name": "/secret"}),
        DOCKER.format(roots): record({"Name": "/roots"}),
        docker: (secret, USER.pw_uid, None),
        f"/run/user/{USER.pw_uid}/crun/{anothers}/config.json": record({"annotations": {"io.bpftune": "off"}}, uid=USER.pw_uid),
    }
    supervisor = start(files)
    session = f"/user.slice/user-{USER.pw_uid}.slice/user@{USER.pw_uid}.service/user.slice"
    web, other = container(f"{session}/libpod-{mine}.scope"), container(f"{session}/docker-{linked}.scope")
    marked, taken = container(f"{session}/libpod-{anothers}.scope"), container(f"{session}/docker-{roots}.scope")
    user = f"uid {USER.pw_uid}/"
    assert name_of(supervisor, web) == f"{user}web"
    for name in f"{user}web", user + mine, user + mine[:60]:
        assert supervisor.status(name)["instances"][0]["container_id"] == mine
    assert supervisor.cli("status", "web", check=False).returncode == 1
    assert name_of(supervisor, other) == user + linked and name_of(supervisor, taken) == user + roots
    wait_for(lambda: supervisor.instance(user + anothers)["tuners"][0]["why"] == "turned off by its owner: label or annotation io.bpftune",
             10, "its owner's word")
    assert supervisor.instance(user + anothers)["worker"]["pid"] is None and marked.process.poll() is None


def test_shares_the_hosts_namespace(lab, start):
    ident, files = docker("/web")
    supervisor = start(files)
    cgroup = lab.keep(Cgroup(f"/docker-{ident}.scope"))
    lab.keep(Sleeper(cgroup, netns=Host.netns))
    assert supervisor.ready("web", deadline=10)["netns"]["shared"]


def test_there_before_the_supervisor(start, container):
    ids, files = [], {}
    for i in range(5):
        ident, made = docker(f"/web{i}")
        ids.append(ident)
        files |= made
    containers = [container(f"/docker-{ident}.scope") for ident in ids]
    supervisor = start(files)
    assert [name_of(supervisor, each) for each in containers] == [f"web{i}" for i in range(5)]


has_fuse = pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="no /dev/fuse")


@has_fuse
@pytest.mark.parametrize("hang", [f"{USER.pw_dir}/.local/share/docker", f"/run/user/{USER.pw_uid}", USER.pw_dir])
def test_users_file_system(start, container, hang):
    """Where records would be, a user mounts what never answers: nobody looks there, and what is elsewhere is found."""
    ident = new_id()
    files = {
        f"{USER.pw_dir}/.local/share/docker/engine-id": record("", uid=USER.pw_uid),
        f"{USER.pw_dir}/.local/share/containers/storage/overlay-containers/containers.json":
            record([{"id": ident, "names": ["web"]}], uid=USER.pw_uid),
        f"/run/user/{USER.pw_uid}/crun/{ident}/config.json": record({"annotations": {"io.bpftune": "off"}}, uid=USER.pw_uid),
    }
    supervisor = start(files, hang, (USER.pw_uid, USER.pw_gid))
    container(f"/user.slice/user-{USER.pw_uid}.slice/user@{USER.pw_uid}.service/user.slice/libpod-{ident}.scope")
    name, is_marked = ident if hang == USER.pw_dir else "web", not hang.startswith("/run")

    def found():
        instance = supervisor.instance(f"uid {USER.pw_uid}/{name}")
        return instance and ("io.bpftune" in (instance["tuners"][0]["why"] or "") if is_marked else instance["worker"]["state"] == "ready")
    wait_for(found, 20, "what is on record")


@has_fuse
def test_records_that_hang(start, container):
    """Docker's directory is on a file system that does not answer: its container gets its worker late, by its id. Nothing else waits."""
    ident, files = docker("/web")
    supervisor = start(files, hang="/var/lib/docker")
    children = pathlib.Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children")

    def reads():
        return set(map(int, children.read_text().split())) - set(supervisor.workers().values())
    wait_for(lambda: not reads(), 10, "no child but workers")
    slow, other = container(f"/docker-{ident}.scope"), container("/bt-other")
    wait_for(reads, 10, "the child that reads")
    assert name_of(supervisor, other) == "bt-other"
    assert name_of(supervisor, slow, deadline=30) == ident
    wait_for(lambda: not reads(), 10, "the child to be gone")
