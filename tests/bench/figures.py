# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benches have in common: a table, what a process costs, and when workers were forked and ready."""
import contextlib
import json
import os
import pathlib
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "netns"))

from lab import Lab, alone, run, wait_for  # noqa: E402


class Report:
    """Figures with their units: printed as a table in Markdown, kept as JSON."""

    def __init__(self, title):
        self.title, self.figures, self.notes = title, {}, {}

    def add(self, name, value, unit="", digits=1):
        self.figures[name] = {"value": value, "unit": unit}
        shown = f"{value:,.{digits}f}" if isinstance(value, float) else value if isinstance(value, str) else f"{value:,}"
        print(f"| {name} | {shown} {unit} |", flush=True)

    def begin(self):
        print(f"\n## {self.title}: Linux {platform.release()}, {platform.machine()}, {os.cpu_count()} CPUs\n")
        print("| what | figure |\n|:--|--:|", flush=True)

    def write(self, path):
        head = {"bench": self.title, "kernel": platform.release(), "machine": platform.machine(), "cpus": os.cpu_count()}
        pathlib.Path(path).write_text(json.dumps({**head, "figures": self.figures}, indent=2) + "\n")


def main(title, bench):
    """bench(report, lab), as root, alone, and with everything taken away again whatever happens."""
    if os.geteuid():
        sys.exit(f"{title}: needs root: it makes network namespaces")
    alone()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    report = Report(title)
    report.begin()
    with Lab() as lab:
        bench(report, lab)
    if len(sys.argv) > 1:
        report.write(sys.argv[1])


def median(values):
    return float(statistics.median(values))


# --- processes ------------------------------------------------------------------------------------

def private_dirty_kib(pid):
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Private_Dirty:\s+(\d+) kB", rollup, re.M)[1])


def rss_kib(pid):
    return int(re.search(r"^VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def switches(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return sum(int(number) for number in re.findall(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)$", status, re.M))


def cpu_ms(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def available_kib():
    """After what the kernel frees late has been freed."""
    run("sync")
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
    time.sleep(0.5)
    return int(re.search(r"^MemAvailable:\s+(\d+) kB", pathlib.Path("/proc/meminfo").read_text(), re.M)[1])


# --- many namespaces ------------------------------------------------------------------------------

@contextlib.contextmanager
def named_namespaces(number):
    """Namespaces of `ip netns add`, in one go."""
    names = [f"bt-many{i}" for i in range(number)]
    batch = "".join(f"netns add {name}\n" for name in names)
    try:
        subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)
        yield names
    finally:
        for name in names:
            run("ip", "netns", "del", name, check=False)


def wait_for_named(supervisor, names):
    """Their instances."""
    def found():
        instances = supervisor.instances()
        return all(name in instances for name in names) and [instances[name] for name in names]
    return wait_for(found, 60, f"{len(names)} instances")


def wait_for_workers(supervisor, number, deadline=120):
    """Asks nothing meanwhile: what the supervisor writes to between two forks, each worker keeps a copy of."""
    wait_for(lambda: supervisor.stderr().count(" is ready") >= number, deadline, f"{number} workers")
    return [instance["worker"]["pid"] for instance in supervisor.status()["instances"] if instance["worker"]["pid"]]


# --- what the kernel's trace tells ----------------------------------------------------------------

class Trace:
    """A tracefs instance of our own, with a filter (or none) for each event, on CLOCK_MONOTONIC."""
    EVENTS = {}
    LINE = re.compile(r"-(\d+)\s+\[\d+\]\s+\S+\s+(\d+\.\d+): (\w+)(.*)")

    def __init__(self):
        self.mount = pathlib.Path(tempfile.mkdtemp(prefix="bpftune-trace-"))
        run("mount", "-t", "tracefs", "tracefs", self.mount)
        self.directory = self.mount / "instances" / self.mount.name
        try:
            self.directory.mkdir()
        except BaseException:
            self.remove()
            raise

    def set(self, name, value):
        (self.directory / name).write_text(value)

    def start(self):
        self.set("trace_clock", "mono")
        self.set("buffer_size_kb", "4096")
        for event, condition in self.EVENTS.items():
            if condition:
                self.set(f"events/{event}/filter", condition)
            self.set(f"events/{event}/enable", "1")

    def lines(self):
        """Ends the trace: (task, nanoseconds, event, the rest) of each line."""
        self.set("tracing_on", "0")
        for line in (self.directory / "trace").read_text().splitlines():
            match = self.LINE.search(line)
            if match:
                yield int(match[1]), round(float(match[2]) * 1e9), match[3], match[4]

    def remove(self):
        with contextlib.suppress(FileNotFoundError):
            self.directory.rmdir()
        run("umount", self.mount)
        self.mount.rmdir()


class ForkTrace(Trace):
    """When the supervisor asked for each fork and had it, and when each worker last reported.

    A worker's last report at its start is READY, and at rest it has nothing to say.
    """
    EVENTS = {"syscalls/sys_enter_clone": None, "sched/sched_process_fork": None,
              "syscalls/sys_enter_write": "count == 512"}

    def stop(self, supervisor_pid):
        """By worker: when its fork began and ended and when it was READY, in nanoseconds of CLOCK_MONOTONIC."""
        forked, ready, asked = {}, {}, None
        for pid, time_ns, event, rest in self.lines():
            if event == "sys_clone" and pid == supervisor_pid:
                asked = time_ns
            elif event == "sched_process_fork" and pid == supervisor_pid:
                forked[int(re.search(r"child_pid=(\d+)", rest)[1])] = asked, time_ns
            elif event == "sys_write":
                ready[pid] = time_ns
        return {pid: (*forked[pid], ready[pid]) for pid in forked if pid in ready}


class WrittenTrace(Trace):
    """When each of these workers had written a few bytes: a sysctl, as what goes through a pipe is larger."""
    EVENTS = {"syscalls/sys_exit_write": "ret > 0 && ret < 64"}

    def __init__(self, workers):
        super().__init__()
        self.workers = set(workers)

    def stop(self):
        written = {}
        for pid, time_ns, _, _ in self.lines():
            if pid in self.workers:
                written.setdefault(pid, []).append(time_ns)
        return written


def add_forks(report, what, seen):
    add_times(report, f"the fork alone, {what}", [forked - asked for asked, forked, _ in seen.values()])
    add_times(report, f"fork to READY, {what}", [ready - asked for asked, _, ready in seen.values()])


def add_times(report, what, times_ns):
    times = sorted(times_ns)
    report.add(f"{what}, median", median(times) / 1e6, "ms", 2)
    report.add(f"{what}, 99th percentile", times[len(times) * 99 // 100] / 1e6, "ms", 2)
    report.add(f"{what}, worst", times[-1] / 1e6, "ms", 2)
