# SPDX-License-Identifier: GPL-2.0-or-later
"""What is turned off, by an administrator or a container's owner: no event, no verdict, no worker, no change."""
import json
import os
import pathlib
import re
import sys
from types import SimpleNamespace

import pytest

from crowd import Cgroup, Sleeper, paired_with, wait_for_instance
from lab import FIN_TIMEOUT, TTL, change, only, run, said, values, wait_for

BY_ADMINISTRATOR = "turned off by the administrator: bpftune off"
BY_OWNER = "turned off by its owner: "


def states(supervisor, name):
    return {tuner["name"]: (tuner["state"], tuner["why"]) for tuner in supervisor.instance(name)["tuners"]}


def is_resting(supervisor, name):
    """It has no worker, and none is to come."""
    worker = supervisor.instance(name)["worker"]
    return worker["state"] == "none" and worker["pid"] is None


def rests(supervisor, *names):
    for name in names:
        wait_for(lambda: is_resting(supervisor, name), 3, f"the worker of {name} to end")


def assert_off(supervisor, container, other):
    """What happens in it comes to nothing: what happens later in another one does."""
    before = values(container)
    container.poke("step", "second")
    change(supervisor, other, "step")
    assert values(container) == before


def maps(supervisor, name):
    """What is in the supervisor's BPF maps of that name."""
    numbers = [number for kind, number in supervisor.bpf if kind == "map"]
    shown = [json.loads(run("bpftool", "-j", "map", "show", "id", number).stdout) for number in numbers]
    return [element for each in shown if each.get("name") == name
            for element in json.loads(run("bpftool", "-j", "map", "dump", "id", each["id"]).stdout)]


def number_of(digits):
    return int.from_bytes(bytes(int(digit, 16) for digit in digits[:8]), sys.byteorder)


def tuners_off(supervisor, container):
    """Of struct bpftune_gate, by the namespace's cookie."""
    gates = {number_of(each["key"]): number_of(each["value"]) for each in maps(supervisor, "gates")}
    return gates[container.cookie()]


def test_one_worker_for_what_is_on(lab):
    """Of two tuners one is turned off: the worker stays; the other, too: it goes; one is on again: another comes."""
    container = lab.container("netns", "bt-some")
    other = lab.container("netns", "bt-other")
    supervisor = lab.supervisor(tuners=only("poke", "tcp_buffer"))
    worker = supervisor.ready("host", other.name, container.name)["worker"]["pid"]
    supervisor.cli("off", container.name, "poke")
    assert states(supervisor, container.name) == {"poke": ("off", BY_ADMINISTRATOR), "tcp_buffer": ("active", None)}
    assert_off(supervisor, container, other)
    assert supervisor.instance(container.name)["worker"]["pid"] == worker
    assert "tuner poke: off:" in supervisor.cli("status").stdout and "      off: " not in supervisor.cli("status").stdout
    supervisor.cli("off", container.name)
    rests(supervisor, container.name)
    supervisor.cli("on", container.name, "tcp_buffer")
    supervisor.ready(container.name)
    assert states(supervisor, container.name) == {"poke": ("off", BY_ADMINISTRATOR), "tcp_buffer": ("active", None)}
    assert_off(supervisor, container, other)
    supervisor.cli("on", container.name, "poke")
    change(supervisor, container, "step")
    wrong = supervisor.cli("off", container.name, "dance", check=False)
    assert wrong.returncode == 1 and "dance" in wrong.stderr


@pytest.mark.parametrize("crash", [False, True])
def test_survives(lab, crash):
    """A supervisor that ends in order or not is followed by one that knows what is off: there is no worker for a moment."""
    one, two = lab.container("netns", "bt-kept"), lab.container("runc", "bt-tuned")
    supervisor = lab.supervisor(tuners=only("poke"))
    supervisor.ready("host", one.name, two.name)
    supervisor.cli("off", one.name)
    supervisor.cli("off", "host", "poke")
    rests(supervisor, one.name, "host")
    before = values(one)
    supervisor.kill() if crash else supervisor.stop()
    one.poke("step")
    supervisor.start()
    supervisor.ready(two.name)
    assert states(supervisor, one.name) == states(supervisor, "host") == {"poke": ("off", BY_ADMINISTRATOR)}
    assert_off(supervisor, one, two)
    for name in one.name, "host":
        assert is_resting(supervisor, name) and not [record for record in supervisor.log(name) if "is ready" in record["text"]]
    supervisor.cli("on", one.name)
    supervisor.cli("on", "host")
    supervisor.ready(one.name, "host")
    assert values(one) == before
    assert not [path.name for path in supervisor.run_dir.iterdir() if path.name.startswith("off")]


def test_goes_with_its_namespace(lab):
    """What was turned off in one that has ended is not kept, and not in another of its name."""
    lab.container("netns", "bt-again")
    supervisor = lab.supervisor(tuners=only("poke"))
    supervisor.ready("host", "bt-again")
    supervisor.cli("off", "bt-again")
    kept = supervisor.run_dir / "off"
    assert "netns" in kept.read_text() and kept.stat().st_mode & 0o777 == 0o600
    lab.container("netns", "bt-again")
    wait_for(lambda: supervisor.instance("bt-again") and states(supervisor, "bt-again")["poke"][0] == "active", 5,
             "another one of that name")
    wait_for(lambda: not kept.exists(), 10, "the file to go")


def test_a_file_of_no_use(lab):
    """The supervisor does not guess what an administrator has turned off: it does not start, and says why."""
    supervisor = lab.supervisor(tuners=only("poke"))
    supervisor.ready("host")
    supervisor.stop()
    kept = supervisor.run_dir / "off-always"
    kept.write_text('{"off": ')
    refused = run(*supervisor.command("run", "--stderr", "--plugin-dir", supervisor.tuners), check=False)
    assert refused.returncode == 1 and str(kept) in refused.stderr
    assert kept.read_text() == '{"off": '
    kept.unlink()
    supervisor.start()


def test_cannot_be_kept(lab):
    """It is off all the same, and the command says that this will not last."""
    supervisor = lab.supervisor(tuners=only("poke"))
    supervisor.ready("host")
    (supervisor.run_dir / "off-always.new").mkdir()
    off = supervisor.cli("off", "host", check=False)
    assert off.returncode == 1 and str(supervisor.run_dir / "off-always") in off.stderr
    rests(supervisor, "host")
    (supervisor.run_dir / "off-always.new").rmdir()


# A container's owner

@pytest.mark.parametrize("attribute", ["user.bpftune", "trusted.bpftune"])
def test_attribute(lab, attribute):
    """Of its cgroup, read when the cgroup is found to be the container's: of that container alone."""
    theirs, others = (lab.keep(Cgroup(f"/docker-{digit * 32}.scope")) for digit in ("3c", "4d"))
    os.setxattr(theirs.directory, attribute, b"off")
    os.setxattr(others.directory, attribute, b"no")
    supervisor = lab.supervisor(tuners=only("poke"))
    supervisor.ready("host")
    mine, other = lab.keep(Sleeper(theirs)), lab.keep(Sleeper(others))
    for each, cgroup in (mine, theirs), (other, others):
        each.name = wait_for_instance(supervisor, each, paired_with(cgroup))["name"]
    assert states(supervisor, mine.name)["poke"][1] == f"{BY_OWNER}extended attribute {attribute} of its cgroup"
    supervisor.ready(other.name)
    assert_off(supervisor, mine, other)
    assert is_resting(supervisor, mine.name)
    on = supervisor.cli("on", mine.name, check=False)       # the owner's word holds
    assert on.returncode == 1 and attribute in on.stderr
    os.removexattr(theirs.directory, attribute)
    supervisor.cli("on", mine.name)                         # it is read anew
    supervisor.ready(mine.name)
    change(supervisor, mine, "step")


def test_annotation(lab):
    """As runc has it on record."""
    theirs = lab.container("runc", "bt-annotated", annotations={"io.bpftune": "off"})
    other = lab.container("runc", "bt-annotated-on", annotations={"io.bpftune": "on"})
    supervisor = lab.supervisor(tuners=only("poke"))
    supervisor.ready("host", other.name)
    assert states(supervisor, theirs.name) == {"poke": ("off", f"{BY_OWNER}label or annotation io.bpftune")}
    assert states(supervisor, other.name) == {"poke": ("active", None)}
    assert_off(supervisor, theirs, other)
    assert is_resting(supervisor, theirs.name)
    assert not [record for record in supervisor.log(theirs.name) if "is ready" in record["text"]]


DOCKER_ID = "5e" * 32


@pytest.mark.parametrize("record, text", [
    ("/run/crun/{}/config.json", {"annotations": {"io.bpftune": "off"}}),
    ("/run/containerd/io.containerd.runtime.v2.task/moby/{}/config.json", {"annotations": {"io.bpftune": "off"}}),
    ("/var/lib/docker/containers/{}/config.v2.json", {"Config": {"Labels": {"io.bpftune": "off"}}}),
], ids=["crun", "containerd", "docker"])
def test_other_records(lab, tmp_path, record, text):
    """Those of runtimes that are not here, seen by a supervisor in a mount namespace of its own."""
    path = pathlib.Path(record.format(DOCKER_ID))
    directory = path.parents[1]
    script = (f"mkdir -p {directory} && mount -t tmpfs none {directory} && mkdir {path.parent} && "
              f"cp {tmp_path}/record {path} && exec \"$0\" \"$@\"")
    (tmp_path / "record").write_text(json.dumps(text))
    made = [each for each in (directory, *directory.parents) if not each.exists()]
    supervisor = lab.supervisor(wrap=("unshare", "-m", "sh", "-c", script), tuners=only("poke"))
    for each in reversed(made):
        lab.callback(each.rmdir)
    supervisor.ready("host")
    cgroup = lab.keep(Cgroup(f"/docker-{DOCKER_ID}.scope"))
    name = wait_for_instance(supervisor, lab.keep(Sleeper(cgroup)), paired_with(cgroup))["name"]
    assert states(supervisor, name) == {"poke": ("off", f"{BY_OWNER}label or annotation io.bpftune")}
    assert is_resting(supervisor, name)


def test_sharer(lab):
    """A container in the host's namespace: what it learns and asks for is its own; the host's tuners stay on."""
    cgroup = lab.keep(Cgroup(f"/docker-{'6f' * 32}.scope"))
    os.setxattr(cgroup.directory, "user.bpftune", b"off")
    supervisor = lab.supervisor(tuners=only("poke"))
    supervisor.ready("host")
    sleeper = lab.keep(Sleeper(cgroup, netns="/proc/self/ns/net"))
    name = wait_for(lambda: next((name for name, each in supervisor.instances().items()
                                  if each["netns"]["shared"] and each["cgroup"]["id"] == cgroup.id), None), 3, "a sharer")
    assert states(supervisor, name)["poke"][0] == "off" and is_resting(supervisor, name)
    assert states(supervisor, "host") == {"poke": ("active", None)}
    cgroup_of_it = supervisor.instance(name)["cgroup"]["id"]
    supervisor.cli("off", name)
    supervisor.kill()
    os.removexattr(cgroup.directory, "user.bpftune")
    supervisor.start()
    wait_for(lambda: any(each["cgroup"]["id"] == cgroup_of_it and each["tuners"][0]["why"] == BY_ADMINISTRATOR
                         for each in supervisor.instances().values()), 3, "it to be off still")
    assert sleeper.process.poll() is None
    supervisor.cli("on", name)
    supervisor.ready(name)


# The others share a supervisor

@pytest.fixture(scope="module")
def world(shared):
    one, two = shared.container("netns", "bt-off"), shared.container("runc", "bt-on")
    supervisor = shared.supervisor(tuners=only("poke"))
    supervisor.ready("host", one.name, two.name)
    return SimpleNamespace(supervisor=supervisor, one=one, two=two)


@pytest.fixture(autouse=True)
def afresh(request):
    """Each test of those that share a supervisor begins with all tuners on."""
    yield
    if "world" in request.fixturenames:
        supervisor = request.getfixturevalue("world").supervisor
        supervisor.cli("on", "--all")
        supervisor.ready("host", "bt-off", "bt-on")


def test_off_and_on(world):
    supervisor, one, two = world.supervisor, world.one, world.two
    change(supervisor, one, "step")
    changed = values(one)
    assert not supervisor.cli("off", one.name).stdout
    assert states(supervisor, one.name) == {"poke": ("off", BY_ADMINISTRATOR)}
    rests(supervisor, one.name)
    assert values(one) == changed       # they stay
    assert_off(supervisor, one, two)
    assert is_resting(supervisor, one.name)
    assert f"      off: {BY_ADMINISTRATOR}\n" in supervisor.cli("status").stdout
    assert states(supervisor, two.name) == {"poke": ("active", None)}
    said(supervisor, one.name, "the administrator turned every tuner off here")
    assert "nothing was on" in supervisor.cli("off", one.name).stdout

    assert not supervisor.cli("on", one.name).stdout
    assert states(supervisor, one.name) == {"poke": ("active", None)}
    assert supervisor.ready(one.name)["worker"]["restarts"] == 0
    change(supervisor, one, "step")
    assert "nothing was off" in supervisor.cli("on", one.name).stdout


def test_gate(world):
    """Events end in the BPF programs, which ask the gate: bit 0 is of the only tuner."""
    supervisor, one, two = world.supervisor, world.one, world.two
    for words, bits in (("off", one.name, "poke"), 1), (("on", one.name), 0), (("off", one.name), 1), (("on", "--all"), 0):
        supervisor.cli(*words)
        assert tuners_off(supervisor, one) == bits and tuners_off(supervisor, two) == 0, words


def test_verdicts_go_and_come_back(world):
    supervisor, one = world.supervisor, world.one
    before = len(maps(supervisor, "verdicts"))
    one.poke("learn")
    said(supervisor, one.name, "poke 0: is ")
    number = int(re.search(r"poke 0: is (\d+)", said(supervisor, one.name, "poke 0: is ")["text"])[1])
    assert len(maps(supervisor, "verdicts")) == before + 1
    supervisor.cli("off", one.name)
    assert len(maps(supervisor, "verdicts")) == before
    supervisor.cli("on", one.name)
    assert len(maps(supervisor, "verdicts")) == before + 1
    supervisor.ready(one.name)
    one.poke("tell")
    said(supervisor, one.name, f"the program finds {number}")


def test_all(world):
    supervisor, one = world.supervisor, world.one
    supervisor.cli("off", "--all")
    rests(supervisor, "host", one.name, world.two.name)
    assert {state for name in ("host", one.name) for state in states(supervisor, name).values()} == \
        {("off", "turned off by the administrator: bpftune off --all")}
    on = supervisor.cli("on", one.name, check=False)    # says why not
    assert on.returncode == 1 and "poke stays off in bt-off: " in on.stderr and "--all" in on.stderr
    assert is_resting(supervisor, one.name)
    before = values(one)
    one.poke("step")
    supervisor.cli("off", one.name)
    supervisor.cli("on", "--all")                       # and with it what was said of one
    supervisor.ready("host", world.two.name)
    change(supervisor, world.two, "step")
    assert values(one) == before


def test_rollback_without_a_worker(world):
    """One is forked for it, and goes again."""
    supervisor, one = world.supervisor, world.one
    supervisor.rollback(one.name)
    supervisor.resume(one.name)
    initial = values(one)
    change(supervisor, one, "step", "second")
    supervisor.cli("off", one.name)
    rests(supervisor, one.name)
    assert values(one) != initial
    result = supervisor.rollback(one.name)
    assert {row["tunable"] for row in result["restored"]} == {TTL, FIN_TIMEOUT} and values(one) == initial
    rests(supervisor, one.name)
    supervisor.cli("on", one.name)
    change(supervisor, one, "step")     # it was not paused


def test_stepped_aside_stays_so(world):
    """An administrator's write, before or while all is off, holds when it is on again."""
    supervisor, one = world.supervisor, world.one
    supervisor.cli("off", one.name)
    rests(supervisor, one.name)
    one.write(TTL, 77)
    wait_for(lambda: any("steps aside" in record["text"] for record in supervisor.log(one.name)), 2, "the write to be told")
    assert states(supervisor, one.name)["poke"][0] == "off"
    supervisor.cli("on", one.name)
    supervisor.ready(one.name)
    assert "77" in supervisor.is_manual(one.name, "poke")
    assert_off(supervisor, one, world.two)
    assert one.sysctl(TTL) == "77"
    supervisor.resume(one.name)


def test_nobody_else(world):
    """A plain user reaches none of it."""
    nobody = "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"
    supervisor = world.supervisor
    supervisor.directory.chmod(0o755)
    try:
        for words in ("off", "--all"), ("on", "--all"), ("off", "host", "poke"):
            refused = run(*nobody, *supervisor.command(*words), check=False)
            assert refused.returncode == 1 and "sudo" in refused.stderr
    finally:
        supervisor.directory.chmod(0o700)
    assert states(supervisor, "host") == {"poke": ("active", None)}
