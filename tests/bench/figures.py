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

from lab import Lab, alone, run  # noqa: E402


class Report:
    """Figures with their units and targets: printed as a table in Markdown, kept as JSON."""

    def __init__(self, title, columns=("what", "figure", "target")):
        self.title, self.columns, self.figures = title, columns, {}

    def add(self, name, value, unit="", digits=1, at_most=None, at_least=None, spread=None):
        """spread: the lowest and the highest of what the value is the median of."""
        targets = {key: target for key, target in (("at_most", at_most), ("at_least", at_least)) if target is not None}
        self.figures[name] = {"value": value, "unit": unit, **targets, **({"spread": spread} if spread else {})}
        shown = f"{value:,.{digits}f}" if isinstance(value, float) else value if isinstance(value, str) else f"{value:,}"
        if spread:
            shown += f" ({spread[0]:,.{digits}f} to {spread[1]:,.{digits}f})"
        self.row(name, f"{shown} {unit}", self.target(value, **targets))

    @staticmethod
    def row(*cells):
        print(f"| {' | '.join(cells)} |", flush=True)

    @staticmethod
    def target(value, at_most=None, at_least=None):
        if at_most is not None:
            return f"<= {at_most:,.15g}{'' if value <= at_most else ': missed'}"
        return "" if at_least is None else f">= {at_least:,.15g}{'' if value >= at_least else ': missed'}"

    @contextlib.contextmanager
    def part(self, name):
        """A part of the bench: when it fails, the table says so, and the next part follows."""
        try:
            yield
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
            self.add(f"{name}: failed", " ".join(str(error).replace("|", "/").split())[:200])

    def begin(self):
        print(f"\n## {self.title}: Linux {platform.release()}, {platform.machine()}, {os.cpu_count()} CPUs\n")
        self.row(*self.columns)
        print(f"|:--|{'--:|' * (len(self.columns) - 2)}:--|", flush=True)

    def write(self, path):
        head = {"bench": self.title, "kernel": platform.release(), "machine": platform.machine(), "cpus": os.cpu_count()}
        pathlib.Path(path).write_text(json.dumps({**head, "figures": self.figures}, indent=2) + "\n")


def main(title, bench, path=sys.argv[1] if len(sys.argv) > 1 else None, *columns):
    """bench(report, lab), as root, alone, and with everything taken away again whatever happens. path: of the JSON."""
    if os.geteuid():
        sys.exit(f"{title}: needs root: it makes network namespaces")
    alone()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    report = Report(title, *columns)
    report.begin()
    with Lab() as lab:
        bench(report, lab)
    if path:
        report.write(path)


def median(values):
    return float(statistics.median(values))


# --- processes ------------------------------------------------------------------------------------

def private_dirty_kib(pid):
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Private_Dirty:\s+(\d+) kB", rollup, re.M)[1])


def rss_kib(pid, field="VmRSS"):
    """Now; "VmHWM": at most, since forget_peak_rss()."""
    return int(re.search(rf"^{field}:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def forget_peak_rss(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")     # proc(5)


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


class EventTrace(Trace):
    """When each of these workers had read one event, and when it had written a few bytes: a sysctl, as what goes through a
    pipe is larger."""
    EVENTS = {"syscalls/sys_exit_read": "ret == 128", "syscalls/sys_exit_write": "ret > 0 && ret < 64"}

    def __init__(self, workers):
        super().__init__()
        self.seen = {event: {pid: [] for pid in workers} for event in ("sys_read", "sys_write")}

    def stop(self):
        """By worker, in nanoseconds of CLOCK_MONOTONIC: read, and written."""
        for pid, time_ns, event, _ in self.lines():
            if pid in self.seen[event]:
                self.seen[event][pid].append(time_ns)
        return self.seen["sys_read"], self.seen["sys_write"]


def add_forks(report, what, seen):
    add_times(report, f"the fork alone, {what}", [forked - asked for asked, forked, _ in seen.values()])
    add_times(report, f"fork to READY, {what}", [ready - asked for asked, _, ready in seen.values()])


def percentile_99(times):
    return sorted(times)[len(times) * 99 // 100]


def add_times(report, what, times_ns):
    report.add(f"{what}, median", median(times_ns) / 1e6, "ms", 2)
    report.add(f"{what}, 99th percentile", percentile_99(times_ns) / 1e6, "ms", 2)
    report.add(f"{what}, worst", max(times_ns) / 1e6, "ms", 2)
