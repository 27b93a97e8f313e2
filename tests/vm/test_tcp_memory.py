# SPDX-License-Identifier: GPL-2.0-or-later
"""What it costs to know who holds TCP's memory, where there are many sockets."""
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from lab import RMEM, SLOWNESS, WMEM, kept_sysctls, only, sysctl_path
from test_tcp_mem import TCP_MEM, Load, allocated, available_pages

SOCKETS, SECONDS = 100000, 20
PRESSURE = 32768            # pages
LARGE = {WMEM: "4096 16384 16777216", RMEM: "4096 131072 16777216"}

# Connections that nobody accepts. No process may have as many descriptors as they need.
MANY = """
import os, resource, signal, socket, sys, time
number, processes = int(sys.argv[1]), 10
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
server = socket.create_server(("0.0.0.0", 5500), backlog=number)
connected, told = os.pipe()
for i in range(processes):
    if os.fork() == 0:
        clients = [socket.create_connection((f"127.0.0.{1 + i}", 5500)) for _ in range(number // processes)]
        os.write(told, b"x")
        signal.pause()
for _ in range(processes):
    os.read(connected, 1)
print("connected", flush=True)
signal.pause()
"""


class Many:
    def __init__(self, container, number):
        self.process = subprocess.Popen(container.command(sys.executable, "-c", MANY, str(number)), text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
        assert self.process.stdout.readline() == "connected\n"

    def remove(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.figures
def test_many_sockets(lab):
    """While memory is short the worker takes at most two hundredths of a CPU; of an emulated one, more."""
    with kept_sysctls((TCP_MEM,)):
        container = lab.container("netns", "bt-many", {**LARGE, "net.core.somaxconn": "65535"})
        lab.keep(Many(container, SOCKETS // 2))
        sysctl_path(TCP_MEM).write_text(f"6144 {PRESSURE} {available_pages() // 2}")
        supervisor = lab.supervisor(tuners=only("tcp_mem", "tcp_buffer"))
        supervisor.ready("host", container.name)
        load, pid = lab.keep(Load(container)), supervisor.workers()[container.name]
        while allocated() < PRESSURE * 9 // 10:
            load.fill()
        before, began = cpu_s(pid), time.monotonic()
        while time.monotonic() < began + SECONDS:
            load.tell("trips")
        took, seconds = cpu_s(pid) - before, time.monotonic() - began
        print(f"{SOCKETS} sockets, {allocated()} of {PRESSURE} pages: {took:.2f} s of CPU in {seconds:.0f} s, {100 * took / seconds:.1f} %",
              *(record["text"] for record in supervisor.log(container.name)), sep="\n")
        assert supervisor.workers()[container.name] == pid
        assert took / seconds <= 0.02 * SLOWNESS
