# SPDX-License-Identifier: GPL-2.0-or-later
"""Administrator first: whoever else writes a tunable has it, in that namespace, at once, until `resume`."""
import os
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from lab import (AMPLE, BUDGET, BPFTUNE, CONGESTION, KINDS, QUEUE, SLOWNESS, SMALL_WMEM, TTL, WMEM, Host, change,
                 kept_sysctls, names, only, run, said, sysctl_path, wait_for)

FAILED, USAGE = 1, 2


@pytest.fixture(scope="module")
def world(shared):
    containers = {kind: shared.container(kind, f"bt-manual-{kind}") for kind in KINDS}
    bystander = shared.container("netns", "bt-bystander")
    supervisor = shared.supervisor(tuners=only("poke", "tcp_buffer"))
    supervisor.ready("host", bystander.name, *(container.name for container in containers.values()))
    return SimpleNamespace(supervisor=supervisor, containers=containers, bystander=bystander)


def settle(world):
    """Whatever was raised before has been handled when this has been."""
    changes = world.supervisor.tunable("bt-bystander", TTL)["changes"]
    world.bystander.poke("step")
    wait_for(lambda: world.supervisor.tunable("bt-bystander", TTL)["changes"] > changes, 2, "the bystander's change")


def states(world):
    """Of every tuner in every instance, but those that are active."""
    return {(name, tuner["name"]): tuner["state"] for name, instance in world.supervisor.instances().items()
            for tuner in instance["tuners"] if tuner["state"] != "active"}


def by_exec(container, name, value):
    """A shell inside the container writes; its process id there is not ours."""
    run(*container.command("sh", "-c", f"echo {value} >{sysctl_path(name)}"))
    return r"\d+"


def by_nsenter(container, name, value):
    return container.write(name, value)


@pytest.mark.parametrize("way", [by_exec, by_nsenter])
@pytest.mark.parametrize("kind", KINDS)
def test_write(world, kind, way):
    supervisor, container = world.supervisor, world.containers[kind]
    change(supervisor, container, "step")
    value = str(int(container.sysctl(TTL)) + 30)
    pid = way(container, TTL, value)

    why = wait_for(lambda: supervisor.is_manual(container.name, "poke"), 2, "the tuner to step aside")
    assert re.fullmatch(rf"{TTL} was set to {value} by sh \(pid {pid}\)", why)
    assert states(world) == {(container.name, "poke"): "manual"}
    record = next(r for r in reversed(supervisor.log(container.name)) if r.get("scenario") == "manual")
    assert (record["container"], record["tuner"], record["text"]) == (container.name, "poke", why)
    assert why not in {r["text"] for r in supervisor.log("bt-bystander") + supervisor.log("host")}

    container.poke("step", "second", "text")
    settle(world)
    assert container.sysctl(TTL) == value == supervisor.tunable(container.name, TTL)["current"]

    changes = supervisor.tunable(container.name, TTL)["changes"]
    supervisor.resume(container.name, "poke")
    wait_for(lambda: supervisor.tunable(container.name, TTL)["initial"] == value, 2, "the new initial value")
    assert not states(world)
    container.poke("step")
    wait_for(lambda: supervisor.tunable(container.name, TTL)["changes"] > changes, 2, "a change after resume")
    assert container.sysctl(TTL) == str(int(value) + 1)
    assert supervisor.tunable(container.name, TTL)["initial"] == value


@pytest.fixture
def busy_ring(world):
    """The supervisor looks at what the kernel tells it every few milliseconds where there is always something."""
    noise = f"while read -t 0.003 end || [ $? -gt 128 ]; do echo $((64 + (n = !n))) >{sysctl_path(TTL)}; done"
    with subprocess.Popen(world.bystander.command("bash", "-c", noise), stdin=subprocess.PIPE, text=True) as writer:
        try:
            wait_for(lambda: world.supervisor.is_manual("bt-bystander", "poke"), 2, "the bystander's tuner to step aside")
            yield
        finally:
            writer.communicate()
    for name in {name for name, _ in states(world)}:
        world.supervisor.resume(name)
    assert not states(world)


def other_value(container):
    return str(255 - int(container.sysctl(TTL)))


def test_writer_is_named_when_the_worker_is_first(world, busy_ring):
    """A worker that reads again just then may tell of the value first."""
    supervisor, container = world.supervisor, world.containers["netns"]
    container.write(TTL, other_value(container))
    for i in range(20):
        supervisor.resume(container.name)
        time.sleep(0.085 + 0.001 * i)       # it reads again 0.1 s after it was told to
        value = other_value(container)
        why = f"{TTL} was set to {value} by sh (pid {container.write(TTL, value)})"
        wait_for(lambda: supervisor.is_manual(container.name, "poke") == why, 2, "the writer's name")


def test_who_asks_next_is_told(world, busy_ring):
    container = world.containers["netns"]
    for _ in range(20):
        container.write(TTL, other_value(container))
        assert "no tuner" not in world.supervisor.resume(container.name)


def test_write_on_the_host(world):
    with kept_sysctls((TTL, BUDGET)):
        pid = Host().write(TTL, "77")
        why = wait_for(lambda: world.supervisor.is_manual("host", "poke"), 2, "the tuner to step aside")
        assert why == f"{TTL} was set to 77 by sh (pid {pid})"
        assert states(world) == {("host", "poke"): "manual"}
    wait_for(lambda: world.supervisor.tunable("host", TTL)["current"] == Host().sysctl(TTL), 2, "the value put back")
    world.supervisor.resume("host")
    assert not states(world)


def test_host_scoped_write_stops_requests(world):
    container = world.containers["netns"]
    with kept_sysctls((BUDGET,)):
        Host().write(BUDGET, "1234")
        wait_for(lambda: world.supervisor.is_manual("host", "poke"), 2, "the tuner to step aside")
        assert states(world) == {("host", "poke"): "manual"}
        container.poke("host")
        settle(world)
        settle(world)   # the request goes by way of the container's worker
        assert Host().sysctl(BUDGET) == "1234"
    world.supervisor.resume("host")
    assert not states(world)


def test_reading_and_the_same_value_change_nothing(world):
    container = world.containers["runc"]
    container.poke("text")
    wait_for(lambda: world.supervisor.tunable(container.name, CONGESTION)["changes"], 2, "a change")
    ttl, limits, word = container.sysctl(TTL), container.sysctl(WMEM), container.sysctl(CONGESTION)
    for value in ttl, f"  {ttl} ", f"\t{ttl}":
        container.write(TTL, value)
    for value in limits, limits.replace(" ", "   "), limits.replace(" ", "\t"), f" {limits} ":
        container.write(WMEM, value)
    container.write(CONGESTION, word)
    run(*container.command("sh", "-c", f"echo {ttl} >{sysctl_path(TTL)}; cat {sysctl_path(WMEM)}"))
    settle(world)
    assert not states(world)
    changes = world.supervisor.tunable(container.name, TTL)["changes"]
    container.poke("step")      # and our own writes still pass
    wait_for(lambda: world.supervisor.tunable(container.name, TTL)["changes"] > changes, 2, "a change")


def test_write_that_fails(world):
    """Whatever it makes of the tuner, the ledger stays true, and what was ours stays ours to undo."""
    container = world.containers["netns"]
    change(world.supervisor, container, "step")
    for name, value in (TTL, "999"), (CONGESTION, "no-such-word"):
        with pytest.raises(AssertionError, match="exit"):
            container.write(name, value)
    settle(world)
    for name in TTL, CONGESTION:
        wait_for(lambda: world.supervisor.tunable(container.name, name)["current"] == container.sysctl(name), 2,
                 f"the true value of {name}")
    initial = world.supervisor.tunable(container.name, TTL)["initial"]
    assert container.sysctl(TTL) != initial
    assert TTL in names(world.supervisor.rollback(container.name)["restored"])
    assert container.sysctl(TTL) == initial
    world.supervisor.resume(container.name)


def test_what_was_ours_is_theirs(world):
    """Who writes it, too, right after another value, has it: a rollback leaves it."""
    supervisor, container = world.supervisor, world.containers["netns"]
    change(supervisor, container, "step")
    ours, path = container.sysctl(TTL), sysctl_path(TTL)
    run("nsenter", f"--net={container.netns}", "sh", "-c", f"echo 5 >{path}; echo {ours} >{path}")
    wait_for(lambda: supervisor.is_manual(container.name, "poke"), 2, "the tuner to step aside")
    wait_for(lambda: supervisor.tunable(container.name, TTL)["current"] == ours, 2, "the value to be read")
    assert TTL in names(supervisor.rollback(container.name)["left"])
    assert container.sysctl(TTL) == ours
    supervisor.resume(container.name)


def test_netlink_counts_the_same(world):
    supervisor, container = world.supervisor, world.containers["netns"]
    changes = supervisor.tunable(container.name, QUEUE)["changes"]
    container.poke("queue")
    wait_for(lambda: supervisor.tunable(container.name, QUEUE)["changes"] > changes, 2, "a change by netlink")
    run("ip", "-n", container.name, "ntable", "change", "name", "arp_cache", "dev", "lo", "queue", 33)
    before = run("ip", "-n", container.name, "ntable", "show", "dev", "lo", "name", "arp_cache").stdout
    container.poke("queue")
    assert QUEUE in wait_for(lambda: supervisor.is_manual(container.name, "poke"), 2, "the tuner to step aside")
    assert "queue 33 " in before
    assert "queue 33 " in run("ip", "-n", container.name, "ntable", "show", "dev", "lo", "name", "arp_cache").stdout
    assert states(world) == {(container.name, "poke"): "manual"}
    supervisor.resume(container.name)


def test_flow_goes_on(lab, world):
    """The limit stays to the byte what the administrator made it, though the flow wants more."""
    supervisor = world.supervisor
    far, near = lab.container("netns", "bt-far", AMPLE), lab.container("netns", "bt-near", SMALL_WMEM)
    path = lab.path(near, far, 1)
    flow = path.start(60, "-b", "400M")
    wait_for(lambda: near.sysctl(WMEM) != SMALL_WMEM[WMEM], 3, "the limit to rise")
    near.write(WMEM, "4096 16384 98304")
    time.sleep(1.5 * SLOWNESS)     # nothing more is to happen
    flow.remove()
    assert near.sysctl(WMEM) == "4096 16384 98304" == supervisor.tunable(near.name, WMEM)["current"]
    assert supervisor.is_manual(near.name, "tcp_buffer")

    supervisor.resume(near.name, "tcp_buffer")
    path.raise_limit()
    assert supervisor.tunable(near.name, WMEM)["initial"] == "4096 16384 98304"


def test_written_before_anything_was_sighted(world):
    """A namespace that neither forked, executed nor opened a socket yet: then it is manual, or ours, but not stuck."""
    script = f"""if True:
        import ctypes
        assert ctypes.CDLL(None).unshare(0x40000000) == 0       # CLONE_NEWNET
        open("{sysctl_path(TTL)}", "w").write("77")
        print(flush=True)
        input()"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        poke, supervisor = Host(), world.supervisor
        poke.netns = f"/proc/{process.pid}/ns/net"
        poke.poke("step")

        def decided():
            found = supervisor.cli("status", "--json", f"pid:{process.pid}", check=False)
            if found.returncode:
                return False
            instance = supervisor.status(f"pid:{process.pid}")["instances"][0]
            return supervisor.is_manual(instance["name"], "poke") or poke.sysctl(TTL) == "78"
        try:
            wait_for(decided, 3, "the tuner to step aside or to work")
        finally:
            process.stdin.close()


def test_writer_with_an_odd_name(world, tmp_path):
    """Bytes that no text holds, in the writer's name and in what it writes, harm neither status nor ledger."""
    container = world.containers["netns"]
    odd = os.fsencode(tmp_path) + b"/\xff\x1b[31m"
    os.symlink(run("sh", "-c", "command -v dd").stdout.strip(), odd)
    for name, value, shown in (CONGESTION, b"\xfe\xff", r"\xfe\xff"), (TTL, b"88", "88"):
        subprocess.run([b"nsenter", f"--net={container.netns}".encode(), odd, f"of={sysctl_path(name)}".encode()],
                       input=value, stderr=subprocess.DEVNULL, timeout=5 * SLOWNESS)
        why = said(world.supervisor, container.name, f"{name} was set to {shown} by \\xff\\x1b")["text"]
        wait_for(lambda: world.supervisor.tunable(container.name, name)["current"] == container.sysctl(name), 2,
                 "the true value")
        assert value == b"88" or wait_for(lambda: not world.supervisor.is_manual(container.name, "poke"), 2,
                                          "the tuner to be back: the kernel has no such algorithm")
    assert world.supervisor.is_manual(container.name, "poke") == why
    world.supervisor.resume(container.name)
    assert "cannot write the ledger" not in world.supervisor.stderr()


def test_resume_of_what_is_not_there(world):
    def fails(code, *words):
        result = run(BPFTUNE, "resume", "--run-dir", world.supervisor.run_dir, *words, check=False)
        assert result.returncode == code and not result.stdout
        return result.stderr
    assert "no such tuner: dance" in fails(FAILED, "bt-bystander", "dance")
    assert "no such container: bt-nobody" in fails(FAILED, "bt-nobody")
    assert "CONTAINER" in fails(USAGE)
    assert "no tuner had stepped aside" in world.supervisor.resume("bt-bystander")
