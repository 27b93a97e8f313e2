# SPDX-License-Identifier: GPL-2.0-or-later
"""What somebody in a container, or an unprivileged user, writes to reach beyond it: whose tables, and how often."""
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from bystander import delays
from lab import (FIN_TIMEOUT, SLOWNESS, TTL, WMEM, Host, bpf_objects_of, change, kept_sysctls, only, run, said,
                 sysctl_path, wait_for)

USER = 1234
CLONE_NEWUSER_NEWNET = 0x50000000
EVENTS_PER_WRITE_S = 20     # watch.bpf.c: WRITES_NS
TUNABLES = 2                # that a flood writes in turn


# --- whose table is written -------------------------------------------------------------------------

# A process in namespaces of its own opens its sysctl, and passes the descriptor to its parent in the host's, who writes.
PASS_UP = f"""if True:
    import ctypes, os, socket, sys
    path, value = sys.argv[1:]
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        assert ctypes.CDLL(None).unshare({CLONE_NEWUSER_NEWNET}) == 0
        socket.socket().close()     # the namespace is sighted
        socket.send_fds(theirs, [b"x"], [os.open(path, os.O_WRONLY)])
        theirs.recv(1)
        print(open(path).read().strip(), flush=True)
        theirs.recv(1)
        os._exit(0)
    fd = socket.recv_fds(ours, 1, 1)[1][0]
    os.write(fd, value.encode())
    print(child, flush=True)
    ours.send(b"x")
    sys.stdin.readline()
    ours.send(b"x")
    os.wait()"""


@pytest.fixture(scope="module")
def world(shared):
    first, second = shared.container("runc", "bt-attacker"), shared.container("netns", "bt-victim")
    supervisor = shared.supervisor(tuners=only("poke", "tcp_buffer"))
    supervisor.ready("host", first.name, second.name)
    return SimpleNamespace(supervisor=supervisor, attacker=first, victim=second)


def tuner_states(supervisor, name):
    return {tuner["name"]: tuner["state"] for tuner in supervisor.instance(name)["tuners"]}


def all_active(supervisor, *names):
    return all(set(tuner_states(supervisor, name).values()) == {"active"} for name in names)


def test_user_writes_his_own_table_from_the_hosts_namespace(world):
    """The host's tuner stays in service: the write is of the other namespace, where the tuner steps aside."""
    supervisor, value = world.supervisor, "4096 16384 1234567"
    words = "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", sys.executable, "-c", PASS_UP
    with kept_sysctls((WMEM,)) as changed:
        with subprocess.Popen([*words, sysctl_path(WMEM), value], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as process:
            child = int(process.stdout.readline())
            assert process.stdout.readline().split() == value.split()
            try:
                def is_manual():
                    instance = supervisor.status(f"pid:{child}")["instances"][0]
                    return next(t["why"] for t in instance["tuners"] if t["name"] == "tcp_buffer")
                why = wait_for(is_manual, 3, "the tuner to step aside where it was written")
                assert f"{WMEM} was set to {value} by " in why and f"(pid {process.pid})" in why
                assert all_active(supervisor, "host", world.attacker.name, world.victim.name)
            finally:
                process.communicate("\n")
        assert not changed()


def test_container_writes_anothers_table(world):
    """With a descriptor that it was passed: the tuner steps aside in the namespace whose value it is."""
    supervisor, attacker, victim = world.supervisor, world.attacker, world.victim
    value = str(int(victim.sysctl(TTL)) + 1)
    script = f"""if True:
        import os
        def enter(path):
            fd = os.open(path, os.O_RDONLY)
            os.setns(fd, 0) if hasattr(os, "setns") else __import__("ctypes").CDLL(None).setns(fd, 0)
            os.close(fd)
        enter("{victim.netns}")
        fd = os.open("{sysctl_path(TTL)}", os.O_WRONLY)
        enter("{attacker.netns}")
        os.write(fd, b"{value}")"""
    run(sys.executable, "-c", script)
    wait_for(lambda: supervisor.is_manual(victim.name, "poke"), 2, "the tuner to step aside where it was written")
    assert victim.sysctl(TTL) == value
    assert all_active(supervisor, "host", attacker.name)
    supervisor.resume(victim.name)


def test_write_that_never_arrives(world):
    """The kernel refuses the value: the tuner is back in service, and works."""
    supervisor, container = world.supervisor, world.attacker
    change(supervisor, container, "step")
    for _ in range(2):
        with pytest.raises(AssertionError, match="exit"):
            container.write(TTL, "999")
        wait_for(lambda: supervisor.tuner(container.name, "poke")["state"] == "active", 2, "the tuner to be back")
    said(supervisor, container.name, "tuner poke is back in service")
    change(supervisor, container, "step")
    assert container.sysctl(TTL) == supervisor.tunable(container.name, TTL)["current"]
    # and of one that does, be it right after one that does not:
    path = sysctl_path(TTL)
    run(*container.command("sh", "-c", f"echo 999 >{path}; echo 77 >{path}"))
    wait_for(lambda: supervisor.tunable(container.name, TTL)["current"] == "77", 2, "the value to be read")
    assert supervisor.is_manual(container.name, "poke")
    records = [record["text"] for record in supervisor.log(container.name) if record.get("scenario") == "manual"]
    assert records
    supervisor.resume(container.name)


# --- floods -----------------------------------------------------------------------------------------

# Writes two sysctls in turn, as fast as it can, in namespaces of its own or, as root, in those that it was started in.
FLOOD = f"""if True:
    import ctypes, os, socket, sys, time
    paths = sys.argv[1:]
    if os.getuid():
        assert ctypes.CDLL(None).unshare({CLONE_NEWUSER_NEWNET}) == 0
        socket.socket().close()
    fds = [os.open(path, os.O_WRONLY) for path in paths]
    def write(i, n):
        os.pwrite(fds[i], b"%d" % n, 0)
    print(os.getpid(), flush=True)
    os.set_blocking(0, False)
    n = 0
    while True:
        n += 1
        write(n % len(fds), 64 + n // len(fds) % 100)
        if n % 64 == 0 and sys.stdin.read(1):
            break
    write(0, 201)
    write(1, 202)
    print(n, flush=True)
    os.set_blocking(0, True)
    sys.stdin.readline()"""


@contextlib.contextmanager
def flood(*before):
    """Gives the process, and a function that ends the flood and gives the number of writes."""
    with subprocess.Popen([*before, sys.executable, "-c", FLOOD, sysctl_path(TTL), sysctl_path(FIN_TIMEOUT)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())

        def end():
            process.stdin.write("x")
            process.stdin.flush()
            return int(process.stdout.readline())
        try:
            yield pid, end
        finally:
            process.communicate("\n")


def as_user():
    return "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"


def costs(supervisor):
    """What the supervisor had to do so far: events, log lines, bytes of the ledger."""
    return SimpleNamespace(time=time.monotonic(), events=supervisor.status()["events"]["received"],
                           lines=supervisor.stderr().count("\n"),
                           ledger=os.stat(f"{supervisor.run_dir}/ledger").st_size)


def assert_bounded(supervisor, before):
    """The last values of both are known, and no more was done than the rates allow."""
    after = costs(supervisor)
    seconds = after.time - before.time
    events, lines = after.events - before.events, after.lines - before.lines
    assert events <= TUNABLES * (EVENTS_PER_WRITE_S * seconds + 2) + 100, f"{events} events in {seconds:.1f} s"
    assert lines <= 2 * seconds + 40, f"{lines} lines in {seconds:.1f} s"
    assert after.ledger - before.ledger <= 2000 * seconds + 100_000, f"{after.ledger - before.ledger} bytes in {seconds:.1f} s"


def in_namespace_of(supervisor, pid):
    return supervisor.status(f"pid:{pid}")["instances"][0]


def run_flood(supervisor, seconds, *before):
    """For so long; then what is known of its namespace is right."""
    start = costs(supervisor)
    with flood(*before) as (pid, end):
        tuner = wait_for(lambda: next(t for t in in_namespace_of(supervisor, pid)["tuners"] if t["name"] == "poke" and
                                      t["state"] == "manual"), 3, "the tuner to step aside")
        assert "was set to" in tuner["why"]
        time.sleep(seconds)
        writes = end()
        assert_bounded(supervisor, start)
        assert writes > 1000
        values = {TTL: "201", FIN_TIMEOUT: "202"}

        def known():
            instance = in_namespace_of(supervisor, pid)
            found = {t["name"]: t["current"] for t in instance["tunables"] if t["name"] in values}
            return instance["worker"]["state"] != "ready" or found == values
        wait_for(known, 3, "the last values to be known")


def map_shown(supervisor, name):
    for kind, number in bpf_objects_of(supervisor.pid):
        if kind == "map":
            shown = json.loads(run("bpftool", "-j", "map", "show", "id", number).stdout)
            if shown["name"] == name:
                return shown
    raise AssertionError(f"the supervisor has no map {name}")


def test_flood_of_writes_is_bounded(world):
    """By a user in namespaces of his own."""
    run_flood(world.supervisor, 2, *as_user())
    assert all_active(world.supervisor, "host", world.attacker.name, world.victim.name)


def test_flood_in_a_container(world):
    """Whose worker reads what is written."""
    supervisor, container = world.supervisor, world.attacker
    run_flood(supervisor, 2, "nsenter", f"--net={container.netns}")
    supervisor.resume(container.name)


@pytest.fixture
def full(world, tmp_path):
    """As many tuners stepped aside as there can be."""
    taken = map_shown(world.supervisor, "taken")
    keys = [(1 << 40) + i for i in range(taken["max_entries"])]

    def batch(words):
        path = tmp_path / "batch"
        path.write_text("".join(f"map {words(' '.join(f'0x{b:02x}' for b in key.to_bytes(8, 'little')))}\n" for key in keys))
        run("bpftool", "batch", "file", path, check=False, timeout=60)
    batch(lambda key: f"update id {taken['id']} key {key} 0 0 0 0 0 0 0 0 value 1")
    yield
    batch(lambda key: f"delete id {taken['id']} key {key} 0 0 0 0 0 0 0 0")


def test_flood_where_no_more_can_be_taken(world, full):
    """There is a limit all the same."""
    run_flood(world.supervisor, 2, *as_user())


def test_flood_delays_nobody(world, full):
    quiet = statistics.median(delays(world, 10, 2))
    with flood(*as_user()) as (_, end):
        busy = statistics.median(delays(world, 20, 2))
        end()
    assert busy - quiet < 0.05 * SLOWNESS, f"{1000 * quiet:.1f} ms without, {1000 * busy:.1f} ms with the flood"
