# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections that find no local port: a client makes one after another, each to the same server, and ends it first."""
import mmap
import struct
import subprocess
import sys
import tempfile

from lab import SLOWNESS, number, run

REUSE, RANGE, TIME_WAITS = "net.ipv4.tcp_tw_reuse", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_max_tw_buckets"
ADDRESSES = {4: ("10.197.0.1", "10.197.0.2"), 6: ("fd00:197::1", "fd00:197::2")}     # client, server
COUNTS, BYTES = struct.Struct("QQ"), 16 + 65536

# On port 9000 the client ends a connection, on 9001 the server does.
SERVER = """
import socket, sys, threading
def serve(port, waits):
    server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1000)
    if not waits:
        print("ready", flush=True)
    while True:
        client = server.accept()[0]
        if waits:
            client.recv(1)
        client.close()
threading.Thread(target=serve, args=(9000, True), daemon=True).start()
serve(9001, False)
"""

# So many connections a second to port 9000: "also", to 9001 for each fifth of them; "own", of 64 ports that it chooses from by itself. What
# it counts is in a file: how many found no port, how many did, and a byte for each local port that they had.
CLIENT = """
import errno, mmap, socket, struct, sys, time
address, per_s, path, words = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
with open(path, "r+b") as file:
    shared = mmap.mmap(file.fileno(), 0)
counts, began, number = [0, 0], time.monotonic(), 0
def connect(port):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
        if "own" in words and port == 9000:
            client.setsockopt(socket.IPPROTO_IP, 51, struct.pack("=I", 40063 << 16 | 40000))     # IP_LOCAL_PORT_RANGE
        try:
            client.connect((address, port))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            return False
        shared[16 + client.getsockname()[1]] = 1
        if port == 9001:
            client.recv(1)
    return True
while True:
    counts[connect(9000)] += 1
    shared[:16] = struct.pack("QQ", *counts)
    number += 1
    if "also" in words and number % 5 == 0:
        connect(9001)
    time.sleep(max(0, began + number / per_s - time.monotonic()))
"""


class Trouble:
    TUNER = "ports"
    TUNABLES = [REUSE, RANGE]

    def __init__(self, lab, sysctls=None, server_sysctls=None, per_s=500, family=4, words=()):
        """By default a hundred ports, which are used up five times a second."""
        self.sysctls = {RANGE: "40000 40099"} if sysctls is None else sysctls
        self.client = lab.container("netns", f"bt-ports{number()}", self.sysctls)
        self.server = lab.container("netns", f"bt-ports-to{number()}", server_sysctls)
        self.per_s, self.words, self.address, self.processes = per_s, words, ADDRESSES[family][1], []
        run("ip", "link", "add", "eth0", "netns", self.client.link_target, "type", "veth",
            "peer", "name", "eth0", "netns", self.server.link_target)
        for container, address in zip((self.client, self.server), ADDRESSES[family]):
            inside = "nsenter", f"--net={container.netns}", "ip"
            run(*inside, "addr", "add", f"{address}/{24 if family == 4 else 64}", "dev", "eth0",
                *(["nodad"] if family == 6 else []))
            run(*inside, "link", "set", "eth0", "up")
        self.file = tempfile.NamedTemporaryFile(prefix="bpftune-ports-")
        self.file.truncate(BYTES)
        self.shared = mmap.mmap(self.file.fileno(), BYTES)

    def start(self):
        server = subprocess.Popen(self.server.command(sys.executable, "-c", SERVER), text=True, stdout=subprocess.PIPE)
        self.processes.append(server)
        assert server.stdout.readline() == "ready\n"
        self.processes.append(subprocess.Popen(self.client.command(
            sys.executable, "-c", CLIENT, self.address, str(self.per_s), self.file.name, *self.words)))

    def stop(self):
        while self.processes:
            process = self.processes.pop()
            process.kill()
            process.communicate(timeout=5 * SLOWNESS)

    def counts(self):
        """How many connections found no port, and how many were made."""
        return COUNTS.unpack(self.shared[:16])

    def values(self):
        return {name: self.client.sysctl(name) for name in self.TUNABLES}

    def ports(self):
        """The local ports that were used."""
        return {port for port, used in enumerate(self.shared[16:]) if used}

    def close(self):
        self.stop()
        self.shared.close()
        self.file.close()

    remove = close
