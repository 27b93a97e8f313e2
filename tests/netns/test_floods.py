# SPDX-License-Identifier: GPL-2.0-or-later
"""Whoever makes namespaces, moves tasks or has tuners notice something without end: the cost is bounded, for all others, too."""
import json
import pathlib
import struct
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from bystander import delays
from crowd import Cgroup, Sleeper, is_ready, remove_directory, wait_for_instance
from lab import only, run, wait_for

pytestmark = pytest.mark.alone
FORKS_BURST, FORKS_A_SECOND = 128, 10   # supervisor/workers/capacity.h
NET_ADMIN = 1 << 12                       # include/uapi/linux/capability.h


@pytest.fixture(scope="module")
def world(shared):
    victim = shared.container("netns", "bt-bystander")
    supervisor = shared.supervisor(tuners=only("poke", "listen"))
    supervisor.ready("host", victim.name)
    return SimpleNamespace(supervisor=supervisor, victim=victim)


# --- namespaces that come and go ------------------------------------------------------------------------

# So many processes, of which some run at once, make a namespace each, keep it for a moment, and end.
CHURN = """if True:
    import ctypes, os, sys, time
    to_make, at_once, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    libc, running = ctypes.CDLL(None), set()
    while to_make or running:
        if to_make and len(running) < at_once:
            to_make -= 1
            child = os.fork()
            if not child:
                libc.unshare(0x40000000)
                if not os.fork():
                    time.sleep(seconds)
                    os._exit(0)
                os.wait()
                os._exit(0)
            running.add(child)
        else:
            running.discard(os.wait()[0])"""


class Churn:
    """By a container, as its runtime's cgroup says that it is one."""

    def __init__(self, cgroup, number, at_once, seconds):
        self.process = subprocess.Popen(["sh", "-c", 'echo $$ >"$0" && exec "$@"', cgroup.directory / "cgroup.procs",
                                         sys.executable, "-c", CHURN, str(number), str(at_once), str(seconds)])

    def remove(self):
        self.process.kill()
        self.process.wait()


class Forks:
    """The workers that the supervisor has forked since then, but for those that live for less than 10 ms. A child that reads
    runtimes' records or looks into namespaces does not have a worker's capabilities."""

    def __init__(self, supervisor):
        self.children = pathlib.Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children")
        self.workers = set()
        self.before = self.look()
        self.is_over, self.thread = threading.Event(), threading.Thread(target=self.look_on)
        self.thread.start()

    def look(self):
        pids = set(self.children.read_text().split())
        for pid in pids - self.workers:
            try:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if f"CapEff:\t{NET_ADMIN:016x}\n" in status:
                self.workers.add(pid)
        return pids

    def look_on(self):
        while not self.is_over.wait(0.01):
            self.look()

    def end(self):
        self.is_over.set()
        self.thread.join()
        return len(self.workers - self.before)


def test_churn_is_bounded(lab, world):
    """Each namespace is old enough for a worker, but so many are not forked; another's events are handled meanwhile."""
    forks, began, number = Forks(world.supervisor), time.monotonic(), 400
    lab.callback(forks.end)
    flood = lab.keep(Churn(lab.keep(Cgroup(f"/docker/{'bf' * 32}")), number, 48, 0.6))
    assert len(delays(world, 20, 5)) == 20
    assert flood.process.wait() == 0
    n, seconds = forks.end(), time.monotonic() - began
    assert FORKS_BURST / 2 < n <= FORKS_BURST + FORKS_A_SECOND * seconds + 20, f"{n} forks in {seconds:.1f} s"
    wait_for(lambda: len(world.supervisor.status()["instances"]) < 50, 10, "the namespaces to be forgotten")


# --- tasks that move --------------------------------------------------------------------------------------

# Moves itself from cgroup to cgroup for so long, in turn in each of some namespaces of its own (0: in the host's). Tells how
# often.
MOVES = """if True:
    import ctypes, os, sys, time
    base, namespaces, cgroups, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    libc, netns, procs, moved = ctypes.CDLL(None), [], [], 0
    for number in range(cgroups):
        os.mkdir(f"{base}/{number}")
        procs.append(os.open(f"{base}/{number}/cgroup.procs", os.O_WRONLY))
    for number in range(namespaces):
        assert libc.unshare(0x40000000) == 0
        netns.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for fd in netns or [None]:
            assert fd is None or libc.setns(fd, 0) == 0
            for cgroup in procs[:50] if len(netns) > 1 else procs:
                os.write(cgroup, b"0")
                moved += 1
    print(moved)"""


def placed(lab, world, namespaces, cgroups, seconds):
    """The moves, the events that came of them, and the time that it took."""
    cgroup = Cgroup("/bt-moves")
    lab.callback(lambda: [remove_directory(directory) for directory in [*cgroup.directory.glob("*/"), cgroup.directory]])
    began, before = time.monotonic(), world.supervisor.status()["events"]["received"]
    moves = int(run(sys.executable, "-c", MOVES, cgroup.directory, str(namespaces), str(cgroups), str(seconds)).stdout)
    assert len(delays(world, 3, 5)) == 3       # what was put into the ring before is counted by now
    return moves, world.supervisor.status()["events"]["received"] - before, time.monotonic() - began


@pytest.mark.parametrize("namespaces, cgroups, burst, a_second", [
    (1, 200, 64, 50), (40, 50, 512, 500), (0, 1000, 4096, 5000),
], ids=["of a namespace", "of many", "of the host"])
def test_moves_are_bounded(lab, world, namespaces, cgroups, burst, a_second):
    """Each cgroup is told of ten times a second, and there are many: bpf/watch.bpf.c: BUDGET_PLACES, BUDGET_HOST_PLACES."""
    moves, events, seconds = placed(lab, world, namespaces, cgroups, 2)
    assert events <= burst + a_second * seconds + 200, f"{events} events of {moves} moves in {seconds:.1f} s"


# --- what tuners notice -----------------------------------------------------------------------------------

# Begins to listen on many ports, each with the shortest queue, and fills each. Tells how many connections there were.
PORTS = """if True:
    import resource, socket, sys
    resource.setrlimit(resource.RLIMIT_NOFILE, 2 * resource.getrlimit(resource.RLIMIT_NOFILE)[1:])
    n, listeners = int(sys.argv[1]), []
    for port in range(2000, 2000 + n):
        listeners.append(socket.socket())
        listeners[-1].bind(("127.0.0.1", port))
        listeners[-1].listen(0)
    for port in range(2000, 2000 + n):
        with socket.socket() as client:
            client.connect(("127.0.0.1", port))
    print(n)"""


def test_tuners_events_are_bounded(lab, world):
    """Each port has a rate of its own, and there are many ports: bpf/tuner.bpf.h: TUNER_EVENTS_BURST."""
    attacker, n = lab.container("netns", "bt-ports"), 1500
    supervisor = world.supervisor
    supervisor.ready(attacker.name)
    began, before = time.monotonic(), supervisor.status()["events"]["received"]
    assert int(run(*attacker.command(sys.executable, "-c", PORTS, str(n))).stdout) == n
    events = wait_for(lambda: (n := supervisor.status()["events"]["received"] - before) >= 256 and n, 5, "the first events")
    seconds = time.monotonic() - began
    assert events <= 256 + 500 * seconds + 50, f"{events} events in {seconds:.1f} s"


# --- what workers have kept -------------------------------------------------------------------------------

OWNERS_MEMORIES, MEMORY = 2 << 20, 1 << 16      # supervisor/changes/account.h, ipc/report.h


def remember(worker, tuner, kind):
    """As a worker that somebody has taken over would have it kept: the largest there may be; ipc/report.h."""
    with open(f"/proc/{worker}/fd/4", "wb", buffering=0) as reports:
        for offset in range(0, MEMORY, 320):
            part = struct.pack("IIII", kind, 7, MEMORY, offset)
            reports.write(struct.pack("HHHHiiQQ", 10, tuner, 0, 0, 0, 0, 0, 0).ljust(160, b"\0") + part.ljust(352, b"\1"))


def remembered(supervisor):
    """The bytes of each memory in the ledger's file."""
    latest = {}
    for line in pathlib.Path(supervisor.run_dir, "ledger").read_text(encoding="ascii").splitlines():
        row = json.loads(line.partition(" ")[2])
        if row.get("kind") == "memory":
            latest[row["netns"], row["name"]] = len(row["data"]) // 2
    return latest


def test_memories_of_one_owner(lab, world):
    """A container with many namespaces: the ledger keeps its share for it, and others' all the same."""
    cgroup, supervisor = lab.keep(Cgroup(f"/docker/{'be' * 32}")), world.supervisor
    sleepers = [lab.keep(Sleeper(cgroup)) for _ in range(OWNERS_MEMORIES // MEMORY // 4 + 1)]
    kinds = [(tuner, kind) for tuner in range(2) for kind in range(2)]
    for sleeper in sleepers:
        worker = wait_for_instance(supervisor, sleeper, is_ready)["worker"]["pid"]
        for tuner, kind in kinds:
            remember(worker, tuner, kind)
    said = "what tuners know is not kept any more for the next workers"
    wait_for(lambda: said in supervisor.stderr(), 5, "it to be said")
    victim = world.victim.cookie()
    remember(supervisor.instance(world.victim.name)["worker"]["pid"], 0, 0)
    kept = wait_for(lambda: (now := remembered(supervisor)) and any(netns == victim for netns, _ in now) and now, 5,
                    "another's memory to be kept")
    assert sum(size for (netns, _), size in kept.items() if netns != victim) == OWNERS_MEMORIES
    assert sum(size for (netns, _), size in kept.items() if netns == victim) == MEMORY
    assert supervisor.stderr().count(said) == 1
