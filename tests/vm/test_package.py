# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's package and its unit, in the order of their life: from dpkg -i to dpkg --purge."""
import contextlib
import grp
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import urllib.request

import pytest

from lab import POKE, TTL, Supervisor, alive, bpf_objects, bpf_objects_of, poke_numbers, pokes, run, sysctl_path, wait_for

DEBS = pathlib.Path(os.environ.get("BPFTUNE_DEB", "/nonexistent"))
PROGRAM = "/usr/sbin/bpftune"
TUNERS = pathlib.Path("/usr/lib/x86_64-linux-gnu/bpftune/tuners")
RUN_DIR = pathlib.Path("/run/bpftune")
DROP_IN = pathlib.Path("/run/systemd/system/bpftune.service.d/test.conf")
# The unit says 30 s, and no more than five starts a minute.
FASTER = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nWatchdogSec=10\n"
START_S = 60        # emulated, and beside others
CROWD = 50


def systemctl(*words, check=True):
    return run("systemctl", "--no-pager", *words, check=check, timeout=90).stdout.strip()


def show(name):
    return systemctl("show", "-p", name, "--value", "bpftune")


def journal(*matches):
    """The records of the journal that match, as objects, oldest first."""
    run("journalctl", "--sync")
    return [json.loads(line) for line in run("journalctl", "-o", "json", *matches).stdout.splitlines()]


def dpkg(*words):
    return run("dpkg", *words, timeout=180).stdout


class Service(Supervisor):
    """What the unit runs; tests/netns asks it like any other."""

    def __init__(self):
        self.run_dir = RUN_DIR
        self.running.append(self)

    @property
    def pid(self):
        return int(show("MainPID"))

    def command(self, command, *words):
        return [PROGRAM, command, *map(str, words)]

    def stderr(self):
        return run("journalctl", "-u", "bpftune", "--no-pager", check=False).stdout

    def answers(self):
        return self.cli("status", "--json", check=False).returncode == 0

    def another(self, pid):
        """Waits for another supervisor than that, by systemd."""
        wait_for(lambda: self.pid not in (0, pid) and show("ActiveState") == "active", START_S, "the next supervisor")
        assert self.answers()       # Type=notify: who is active answers
        return self.ready("host", deadline=START_S)

    def remove(self):
        self.running.remove(self)


class Crowd:
    """Namespaces with a process each. One shell does the same in many of them."""

    def __init__(self, size):
        self.names, self.background = [f"bt-crowd{i}" for i in range(size)], []
        self.each("ip netns add $name")
        self.begin("for name; do " + self.inside("sleep infinity") + " & done; wait", self.names)

    @staticmethod
    def inside(command):
        return f"nsenter --net=/run/netns/$name {command}"

    def step(self):
        """The command that has the test tuner raise a value."""
        return self.inside(pokes() / f"poke-{poke_numbers()['step']}")

    def each(self, command, names=None):
        return run("sh", "-ec", f"for name; do {command}; done", "sh", *(names or self.names), timeout=60).stdout.split()

    def begin(self, script, names):
        """Until end()."""
        self.background.append(subprocess.Popen(["sh", "-c", script, "sh", *names], stdin=subprocess.DEVNULL,
                                                start_new_session=True))

    def end(self):
        process = self.background.pop()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def values(self):
        return dict(zip(self.names, self.each(self.inside(f"cat {sysctl_path(TTL)}"))))

    def remove(self):
        while self.background:
            self.end()
        self.each("ip netns del $name")


def package():
    """What was built."""
    built, = DEBS.glob("bpftune_*.deb")
    return built


def newer(directory):
    """The same with a higher version."""
    run("dpkg-deb", "-R", package(), directory / "tree")
    control = directory / "tree/DEBIAN/control"
    control.write_text(re.sub("(?m)^Version: .*", "Version: 99", control.read_text()))
    run("dpkg-deb", "-Znone", "-b", directory / "tree", directory / "new.deb", timeout=120)
    return directory / "new.deb"


@pytest.fixture(scope="module")
def service(shared):
    if not DEBS.is_dir():
        pytest.skip("no package was built: make deb")
    TUNERS.mkdir(parents=True, exist_ok=True)
    shutil.copy(pathlib.Path(POKE, "poke.so"), TUNERS)      # a tuner of somebody else's, beside the package's
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text(FASTER)
    try:
        dpkg("-i", package())
        yield shared.keep(Service())
    finally:
        # test_remove_and_purge may not have run; later tests have supervisors of their own.
        shutil.rmtree(DROP_IN.parent, ignore_errors=True)
        (TUNERS / "poke.so").unlink(missing_ok=True)
        dpkg("-P", "bpftune")


@pytest.fixture(scope="module")
def container(shared, service):
    """One in which something was changed."""
    container = shared.container("runc", "bt-near", {TTL: "64"})
    service.ready("bt-near", deadline=START_S)
    container.poke("step")
    wait_for(lambda: service.changes("bt-near"), 20, "a change")
    return container


def assert_remembers(service, container):
    """Values from before, with where they come from."""
    service.ready(container.name, deadline=START_S)
    tunable = service.tunable(container.name, TTL)
    assert (tunable["initial"], tunable["current"], tunable["changes"]) == ("64", "65", 1)
    assert container.sysctl(TTL) == "65"


def test_installing_starts_it(service):
    assert show("ActiveState") == "active" and systemctl("is-enabled", "bpftune") == "enabled"
    service.ready("host", deadline=START_S)
    status = service.status()
    assert status["pid"] == service.pid
    hooks = status["watch"]["hooks"] + [hook for tuner in status["tuners"] for hook in tuner["hooks"]]
    assert hooks and all(hook["attached"] for hook in hooks), hooks
    wait_for(lambda: show("StatusText") == "instances: 1, workers: 1", 40, "the status with the next life sign")
    assert "WatchdogSec=30\n" in systemctl("cat", "bpftune")


@pytest.mark.first
def test_restart(service):
    pid = service.pid
    systemctl("restart", "bpftune")
    assert service.answers() and service.pid != pid and not alive(pid)


def test_journal_fields(service, container):
    records = [record for record in journal("BPFTUNE_CONTAINER=bt-near") if "BPFTUNE_TUNABLE" in record]
    said = service.changes("bt-near")
    assert said and len(records) == len(said)
    for record, change in zip(records, said):
        assert record["_SYSTEMD_UNIT"] == "bpftune.service" and record["SYSLOG_IDENTIFIER"] == "bpftune"
        assert (record["BPFTUNE_TUNABLE"], record["BPFTUNE_FROM"], record["BPFTUNE_TO"], record["BPFTUNE_TUNER"],
                record["BPFTUNE_SCENARIO"]) == tuple(change[key] for key in ("tunable", "from", "to", "tuner", "scenario"))
        assert int(record["BPFTUNE_INSTANCE"]) == change["instance"]
    assert {record["BPFTUNE_CONTAINER"] for record in journal("_SYSTEMD_UNIT=bpftune.service", "BPFTUNE_TUNABLE=" + TTL)} \
        == {"bt-near"}


def test_names_that_come_and_go(lab, service):
    """What is mounted after the start is seen within the unit's own mounts, and not held by them."""
    lab.container("netns", "bt-late")
    assert service.ready("bt-late", deadline=20)
    run("ip", "netns", "del", "bt-late")
    wait_for(lambda: not service.instance("bt-late"), 10, "the instance to go")
    assert "bt-late" not in pathlib.Path(f"/proc/{service.pid}/mountinfo").read_text()


def test_somebody_elses_namespace(service):
    """Of another user, in a user namespace: its tunables are read without any right to files."""
    command = "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "--user", "--net", "--map-root-user", \
        "sh", "-c", "echo ready; exec sleep infinity"
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"

        def read():
            instance, = service.status(f"pid:{process.pid}")["instances"]
            return instance["worker"]["state"] == "ready" and instance["tunables"]
        assert {row["name"] for row in wait_for(read, 20, "its tunables")} >= {TTL}
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_only_the_network_can_be_tuned(service):
    inside = "nsenter", f"--mount=/proc/{service.pid}/ns/mnt", "sh", "-c"
    run(*inside, "cat /proc/sys/net/ipv4/tcp_fin_timeout >/proc/sys/net/ipv4/tcp_fin_timeout")
    for path in "/proc/sys/kernel/panic", "/sys/kernel/profiling", "/proc/sysrq-trigger", "/etc/hostname", "/sys/fs/cgroup/x":
        assert "Read-only" in run(*inside, f"echo 0 >{path}", check=False).stderr, path


@pytest.mark.first
def test_exposure(service):
    said = run("systemd-analyze", "security", "--no-pager", "bpftune.service", timeout=60).stdout
    assert float(re.search(r"Overall exposure level for bpftune.service: ([0-9.]+)", said)[1]) <= 3.3     # bpftune(8) explains each


def test_workers_are_ordinary_users(service, container):
    """The package has made the user; the unit lets them be that, and lets the supervisor kill one that hangs."""
    user = pwd.getpwnam("bpftune-worker")
    workers = service.workers()
    for pid in workers.values():
        status = dict(re.findall(r"^(\w+):[\t ]*(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M))
        assert status["Uid"].split() == [str(user.pw_uid)] * 4 and status["Gid"].split() == [str(user.pw_gid)] * 4
        assert (int(status["CapEff"], 16), status["Seccomp"]) == (1 << 12, "2")


def test_hung_worker_is_killed(lab, service):
    hung = lab.container("netns", "bt-hung")
    worker = service.ready("bt-hung", deadline=START_S)["worker"]["pid"]
    os.kill(worker, signal.SIGSTOP)
    hung.remove()
    wait_for(lambda: not alive(worker), 20, "the worker to be killed")


@pytest.mark.first
def test_metrics(service, container):
    """Off by default; then an ordinary user, who can only read."""
    assert systemctl("is-enabled", "bpftune-metrics", check=False) == "disabled"
    assert systemctl("is-active", "bpftune-metrics", check=False) == "inactive"
    socket = RUN_DIR / "observe.sock"
    assert (socket.stat().st_mode & 0o777, socket.stat().st_gid) == (0o660, grp.getgrnam("bpftune").gr_gid)
    assert RUN_DIR.stat().st_mode & 0o777 == 0o711
    systemctl("start", "bpftune-metrics")

    def answer():
        with contextlib.suppress(OSError):      # it has just started
            return urllib.request.urlopen("http://127.0.0.1:9815/metrics", timeout=30).read().decode()
    value = f'bpftune_tunable_value{{container="bt-near",tunable="{TTL}",index="0"}} 65\n'
    wait_for(lambda: value in (answer() or ""), START_S, "the metrics")
    pid = metrics_pid()
    status = dict(re.findall(r"^(\w+):[\t ]*(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M))
    assert "0" not in status["Uid"].split() and (int(status["CapEff"], 16), status["Seccomp"]) == (0, "2")
    said = run("systemd-analyze", "security", "--no-pager", "bpftune-metrics.service", timeout=60).stdout
    assert float(re.search(r"Overall exposure level for bpftune-metrics.service: ([0-9.]+)", said)[1]) <= 1.5
    systemctl("stop", "bpftune-metrics")


@pytest.mark.first
def test_stop_and_start(service, container):
    """Nothing of it runs then; what it knows is kept."""
    pid, workers, objects = service.pid, service.workers().values(), bpf_objects_of(service.pid)
    systemctl("stop", "bpftune")
    assert show("Result") == "success"
    assert not [pid for pid in (pid, *workers) if alive(pid)]
    wait_for(lambda: not objects & bpf_objects(), 5, "its BPF objects to go")
    assert (RUN_DIR / "ledger").exists() and not (RUN_DIR / "control.sock").exists()
    systemctl("start", "bpftune")
    assert service.answers()
    assert_remembers(service, container)


@pytest.mark.first
def test_off_outlasts_a_start(service, container):
    """In the unit's state directory, where a reboot does not reach it; nobody but root reads it."""
    kept = pathlib.Path("/var/lib/bpftune/off-always")
    service.cli("off", "host", "poke")
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    systemctl("restart", "bpftune")
    assert service.answers()
    assert {tuner["state"] for tuner in service.instance("host")["tuners"] if tuner["name"] == "poke"} == {"off"}
    service.cli("on", "host", "poke")
    assert not kept.exists()
    service.ready("host", deadline=START_S)
    assert_remembers(service, container)


@pytest.mark.first
def test_kill(service, container):
    pid, workers, restarts = service.pid, service.workers().values(), int(show("NRestarts"))
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)     # one that hangs does not hold on to its namespace either
    os.kill(pid, signal.SIGKILL)
    service.another(pid)
    assert int(show("NRestarts")) == restarts + 1
    assert not [pid for pid in workers if alive(pid)]
    assert_remembers(service, container)


@pytest.mark.first
def test_watchdog(service, container):
    """One that stands still is replaced."""
    pid, restarts = service.pid, int(show("NRestarts"))
    first = int(show("WatchdogTimestampMonotonic"))
    wait_for(lambda: int(show("WatchdogTimestampMonotonic")) > first + 11e6, 40, "life signs for longer than the interval")
    assert service.pid == pid
    os.kill(pid, signal.SIGSTOP)
    service.another(pid)
    assert int(show("NRestarts")) == restarts + 1
    assert [record for record in journal("UNIT=bpftune.service") if "Watchdog timeout" in record["MESSAGE"]]
    assert_remembers(service, container)


@pytest.fixture
def crowd(lab, service):
    """Every second one has a changed value."""
    crowd = lab.keep(Crowd(CROWD))
    service.ready(*crowd.names, deadline=2 * START_S)
    changed = crowd.names[::2]
    crowd.each(crowd.step(), changed)
    wait_for(lambda: all(of_crowd(service, crowd)[name][2] for name in changed), START_S, "changes in every second container")
    return crowd


def of_crowd(service, crowd):
    """By container: a value's first, its latest, and how often it was changed."""
    ledger = {}
    for name, instance in service.instances().items():
        ledger.update((name, (row["initial"], row["current"], row["changes"])) for row in instance["tunables"] if row["name"] == TTL)
    return {name: ledger[name] for name in crowd.names}


def pause_between_changes(container):
    """The longest, in seconds, by the times in the journal."""
    times = [int(record["__REALTIME_TIMESTAMP"]) for record in journal(f"BPFTUNE_CONTAINER={container}", f"BPFTUNE_TUNABLE={TTL}")]
    return max(later - earlier for earlier, later in zip(times, times[1:])) / 1e6


def metrics_pid():
    systemctl("start", "bpftune-metrics")
    return int(systemctl("show", "-p", "MainPID", "--value", "bpftune-metrics"))


@pytest.mark.first
def test_upgrade(service, container, crowd, tmp_path):
    """No worker outlives it, each value and what is known of it is kept, and a container is being tuned before it and after it."""
    new, pid, workers = newer(tmp_path), service.pid, service.workers()
    busy, *others = crowd.names
    ledger, values = of_crowd(service, crowd), crowd.values()
    assert {ledger[name][2] for name in others} == {0, 1} and values == {name: row[1] for name, row in ledger.items()}
    crowd.begin(f"while sleep 0.2; do for name; do {crowd.step()}; done; done", [busy])
    wait_for(lambda: of_crowd(service, crowd)[busy][2] > 3, 20, "the busy container to be tuned")
    server = metrics_pid()

    dpkg("-i", new)
    assert run("dpkg-query", "-W", "-f", "${Version}", "bpftune").stdout == "99"
    service.another(pid)
    assert not [process for process in (pid, *workers.values(), server) if alive(process)]
    assert systemctl("is-active", "bpftune-metrics") == "active"
    wait_for(lambda: service.changes(busy), START_S, "the busy container to be tuned again")
    crowd.end()
    service.ready(*crowd.names, deadline=START_S)
    print(f"{CROWD} containers; the busy one was tuned again {pause_between_changes(busy):.1f} s after the last change before")
    now, now_values = of_crowd(service, crowd), crowd.values()
    assert {name: now[name] for name in others} == {name: ledger[name] for name in others}
    assert {name: now_values[name] for name in others} == {name: values[name] for name in others}
    assert now[busy][0] == ledger[busy][0] and now[busy][2] > ledger[busy][2] + 3
    assert_remembers(service, container)
    done = service.rollback()
    assert {row["container"] for row in done["restored"]} >= {busy, *others[1::2]} and not done["left"]
    assert set(crowd.values().values()) == {"64"} and container.sysctl(TTL) == "64"


@pytest.mark.first
def test_remove_and_purge(service):
    pid, workers, objects = service.pid, service.workers().values(), bpf_objects_of(service.pid)
    (TUNERS / "poke.so").unlink(missing_ok=True)
    shutil.rmtree(DROP_IN.parent)
    server = metrics_pid()
    dpkg("-r", "bpftune")
    assert not [pid for pid in (pid, *workers, server) if alive(pid)]
    wait_for(lambda: not objects & bpf_objects(), 5, "its BPF objects to go")
    assert (RUN_DIR / "ledger").exists()        # it may come back
    dpkg("-P", "bpftune")
    assert not RUN_DIR.exists()
    assert not run("find", "/etc", "/usr", "/var", "/run", "-name", "*bpftune*", "!", "-name", "bpftune-tests.lock").stdout
    assert "bpftune" not in systemctl("list-unit-files", "--all")
    assert run("dpkg-query", "-W", "bpftune", check=False).returncode
