# SPDX-License-Identifier: GPL-2.0-or-later
"""The trouble that the tuner pmtu is for: a path loses segments of full size, and nobody says so."""
import subprocess
import sys
import threading

from lab import CONGESTION, number, run

PROBING = "net.ipv4.tcp_mtu_probing"
PORT = 5301
FLOWS = 3
NARROW_MTU = 1400
SIZE = 100 << 10
TICK_S, STUCK_S = 0.1, 0.5

# Reads a line with a size, and so many bytes; answers with a byte; again and again.
SERVER = """
import socket, sys, threading
server = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=64)
print("listening", flush=True)
def serve(connection):
    with connection, connection.makefile("rb") as file:
        while line := file.readline():
            left = int(line)
            while left and (data := file.read1(left)):
                left -= len(data)
            connection.send(b"k")
while True:
    threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()
"""

# Some connections that send much at a time, and one that sends little. Says every TICK seconds how many of those that send
# much have not got through for STUCK seconds, and how many there are.
CLIENT = """
import socket, struct, sys, threading, time
address, port, flows, size = sys.argv[1], *map(int, sys.argv[2:5])
tick, stuck = map(float, sys.argv[5:7])
little = sys.argv[7] == "little"
last = [time.monotonic()] * flows
def talk(number, size):
    try:
        connection = socket.create_connection((address, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # what is stuck ends with us
        while True:
            connection.sendall(b"%d\\n" % size + bytes(size))
            if not connection.recv(1):
                break
            if number < flows:
                last[number] = time.monotonic()
            time.sleep(0.05)
    except OSError:
        pass
for number in range(flows):
    threading.Thread(target=talk, args=(number, size), daemon=True).start()
if little:
    threading.Thread(target=talk, args=(flows, 10), daemon=True).start()
while True:
    time.sleep(tick)
    now = time.monotonic()
    print(sum(now - then > stuck for then in last), flows, flush=True)
"""


class Trouble:
    """Connections that are stuck: for each of them and each tenth of a second, one trouble, and one work where it moves."""
    TUNER = "pmtu"
    TUNABLES = [PROBING]

    def __init__(self, lab, little=True):
        net = number()
        self.near = lab.container("netns", f"bt-pmtu{net}", {CONGESTION: "reno"})
        self.far = lab.container("netns", f"bt-pmtu{net}-far")
        self.little, self.processes, self.trouble, self.work = little, [], 0, 0
        self.network = f"10.197.{net}"
        self.address = f"{self.network}.2"
        run("ip", "link", "add", "narrow", "netns", self.near.name, "type", "veth", "peer", "narrow", "netns", self.far.name)
        for end, address in (self.near, f"{self.network}.1"), (self.far, self.address):
            run(*end.command("ip", "addr", "add", f"{address}/24", "dev", "narrow"))
            run(*end.command("ip", "link", "set", "narrow", "gso_max_segs", "1", "up"))
        self.drop(f"meta length > {NARROW_MTU}")
        lab.callback(self.close)

    def drop(self, what):
        """Of what comes in at the far end."""
        run(*self.far.command("nft", "add table ip narrow"))
        run(*self.far.command("nft", "add chain ip narrow input { type filter hook input priority 0; }"))
        run(*self.far.command("nft", f"add rule ip narrow input {what} drop"))

    def spawn(self, container, code, *words):
        process = subprocess.Popen(container.command(sys.executable, "-c", code, *map(str, words)), text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.processes.append(process)
        return process

    def start(self):
        server = self.spawn(self.far, SERVER, PORT)
        assert server.stdout.readline() == "listening\n"
        client = self.spawn(self.near, CLIENT, self.address, PORT, FLOWS, SIZE, TICK_S, STUCK_S,
                            "little" if self.little else "nothing")
        self.reader = threading.Thread(target=self.read, args=(client,))
        self.reader.start()

    def read(self, client):
        for line in client.stdout:
            stuck, flows = map(int, line.split())
            self.trouble += stuck
            self.work += flows - stuck

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
        if self.processes:
            self.reader.join()
        for process in self.processes:
            process.stdout.close()
        self.processes = []

    def counts(self):
        return self.trouble, self.work

    def values(self):
        return {PROBING: self.near.sysctl(PROBING)}

    def close(self):
        self.stop()
