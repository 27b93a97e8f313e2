# SPDX-License-Identifier: GPL-2.0-or-later
"""How often a supervisor's BPF programs ran, and what that took."""
import contextlib
import json

from lab import bpf_objects_of, kept_sysctls, run, sysctl_path

STATS = "kernel.bpf_stats_enabled"


@contextlib.contextmanager
def counted():
    """The kernel counts each BPF program's runs and time meanwhile, which makes each run a little dearer."""
    with kept_sysctls((STATS,)):
        sysctl_path(STATS).write_text("1")
        yield


def programs_of(supervisor):
    held = {number for kind, number in bpf_objects_of(supervisor.pid) if kind == "prog"}
    return [program for program in json.loads(run("bpftool", "-j", "prog", "show").stdout) if program["id"] in held]


def spent(supervisor):
    """By name: runs and nanoseconds while they were counted. Of programs of one name, the sum."""
    sums = {}
    for program in programs_of(supervisor):
        runs, ns = sums.get(program["name"], (0, 0))
        sums[program["name"]] = runs + program.get("run_cnt", 0), ns + program.get("run_time_ns", 0)
    return sums


def difference(before, after):
    """Of two results of spent(): what ran in between."""
    none = 0, 0
    return {name: (runs - before.get(name, none)[0], ns - before.get(name, none)[1])
            for name, (runs, ns) in after.items() if runs > before.get(name, none)[0]}
