# SPDX-License-Identifier: GPL-2.0-or-later
"""A server of a container that shares the host's namespace, which listened before bpftune started."""
import subprocess

import pytest

from crowd import Cgroup
from lab import AMPLE, RMEM, WMEM, Host, kept_sysctls, only, run, sysctl_path, wait_for

CONTAINER, PORT = "5a" * 32, 6100
LIMITS = {"send": (WMEM, "4096 16384 65536", ("-R",)), "receive": (RMEM, "4096 65536 131072", ())}


class Running:
    def __init__(self, container, *words):
        self.process = subprocess.Popen(container.command(*map(str, words)), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL)

    def remove(self):
        self.process.kill()
        self.process.wait()


class Inside(Host):
    """What runs in the host's namespace, and in a cgroup."""

    def __init__(self, cgroup):
        self.procs = str(cgroup.directory / "cgroup.procs")

    def command(self, *words):
        return "sh", "-c", 'echo $$ >"$0" && exec "$@"', self.procs, *words


@pytest.mark.parametrize("direction", LIMITS)
def test_its_connections_are_its_containers(lab, direction):
    """An accepted connection has its listener's cgroup, which says whose it is, on either side."""
    name, limit, options = LIMITS[direction]
    lab.enter_context(kept_sysctls())
    sysctl_path(name).write_text(limit)
    client = lab.container("netns", "bt-client", AMPLE)
    lab.path(Host(), client, 1)
    lab.keep(Running(Inside(lab.keep(Cgroup(f"/bt-older/docker-{CONTAINER}.scope"))), "iperf3", "-s", "-p", PORT))
    wait_for(lambda: run("ss", "-Htln", f"sport = :{PORT}").stdout, 5, "the server to listen")
    supervisor = lab.supervisor(tuners=only("tcp_buffer"))
    supervisor.ready("host", CONTAINER)
    lab.keep(Running(client, "iperf3", "-c", "10.199.1.1", "-p", PORT, "-t", 120, *options))
    changes = wait_for(lambda: supervisor.changes("host", name), 20, "the host's limit to rise")
    assert f"; asked for by {CONTAINER}" in changes[0]["text"]
