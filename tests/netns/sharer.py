# SPDX-License-Identifier: GPL-2.0-or-later
"""A container that shares the host's namespace, and programs that make trouble in a place."""
import subprocess
import sys

from crowd import Cgroup, Sleeper
from lab import SLOWNESS, Host

# Listens, and accepts nothing; then clients connect: BACKLOG NUMBER.
FULL_QUEUE = """
import socket, sys
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(int(sys.argv[1]))
clients = []
for _ in range(int(sys.argv[2])):
    clients.append(socket.socket())
    clients[-1].setblocking(False)
    clients[-1].connect_ex(server.getsockname())
sys.stdin.read()
"""


class Program:
    """Python code that runs in a place until it is removed, which ends its standard input."""

    def __init__(self, place, code, *words):
        self.process = subprocess.Popen(place.command(sys.executable, "-c", code, *map(str, words)), stdin=subprocess.PIPE)

    def remove(self):
        self.process.communicate(timeout=10 * SLOWNESS)


class Sharer(Host):
    """Its programs run in its cgroup, and in the host's namespace."""

    def __init__(self, lab, number):
        self.name = f"{number:x}" * 32
        cgroup = lab.keep(Cgroup(f"/bt-sharers/docker-{self.name}.scope"))
        lab.keep(Sleeper(cgroup, netns=Host.netns))
        self.join = "sh", "-c", 'echo $$ >"$0" && exec "$@"', str(cgroup.directory / "cgroup.procs")

    def command(self, *words):
        return *self.join, *words
