# SPDX-License-Identifier: GPL-2.0-or-later
"""The trouble that the tuner idle is for: the kernel makes the window of a connection small between two requests."""
import subprocess
import sys
import threading

from lab import AMPLE, CONGESTION, number, run

AFTER_IDLE = "net.ipv4.tcp_slow_start_after_idle"
PORT = 5300
SIZE = 200 << 10
PAUSE_S = 0.8       # longer than the retransmission timeout of a path of 40 ms: each such time halves a window
SLOW_MS = 100       # two round trips and a half: a window that is large enough takes one

SERVER = """
import socket, sys
port, size = map(int, sys.argv[1:])
server = socket.create_server(("0.0.0.0", port))
print("listening", flush=True)
connection, left = server.accept()[0], size
while data := connection.recv(left):
    left -= len(data)
    if not left:
        connection.send(b"k")
        left = size
"""

# Says of each request how many milliseconds it took.
CLIENT = """
import socket, struct, sys, time
address, port, size, pause = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
connection = socket.create_connection((address, port))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))     # ends with us, and so the namespace
while True:
    began = time.monotonic()
    connection.sendall(bytes(size))
    if not connection.recv(1):
        sys.exit("the server has gone")
    print(round(1000 * (time.monotonic() - began)), flush=True)
    time.sleep(pause)
"""


class Trouble:
    """Requests of 200 KiB on one connection over a path of 40 ms. Trouble: a request that takes 100 ms or more."""
    TUNER = "idle"
    TUNABLES = [AFTER_IDLE]

    def __init__(self, lab, algorithm="reno"):
        net = number()
        self.near = lab.container("netns", f"bt-idle{net}", {CONGESTION: algorithm, **AMPLE})
        self.far = lab.container("netns", f"bt-idle{net}-far", AMPLE)
        path = lab.path(self.near, self.far, net)
        for end in self.near, self.far:
            run("nsenter", f"--net={end.netns}", "ip", "link", "set", f"path{path.number}", "mtu", "1500")
        self.address, self.ms, self.processes = f"10.199.{path.number}.2", [], []
        lab.callback(self.close)

    def spawn(self, container, code, *words):
        process = subprocess.Popen(container.command(sys.executable, "-c", code, *map(str, words)), text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.processes.append(process)
        return process

    def start(self):
        server = self.spawn(self.far, SERVER, PORT, SIZE)
        assert server.stdout.readline() == "listening\n"
        client = self.spawn(self.near, CLIENT, self.address, PORT, SIZE, PAUSE_S)
        self.reader = threading.Thread(target=self.read, args=(client,))
        self.reader.start()

    def read(self, client):
        for line in client.stdout:
            self.ms.append(int(line))

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
        """Of the requests that came after an idle time."""
        after = self.ms[1:]
        return sum(ms >= SLOW_MS for ms in after), len(after)

    def values(self):
        return {AFTER_IDLE: self.near.sysctl(AFTER_IDLE)}

    def close(self):
        self.stop()
