# SPDX-License-Identifier: GPL-2.0-or-later
"""A UDP server that asks for a receive buffer which the host's limit cuts, and gets bursts. It asks again twice a second."""
import contextlib

from lab import Host, kept_sysctls, sysctl_path
from sharer import Program

RMEM_MAX = "net.core.rmem_max"
SMALL = "65536"

SERVER = """
import socket, sys, threading, time
server = socket.socket(type=socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 5601))
server.setblocking(False)
def serve():
    for turn in range(10**9):
        if turn % 10 == 0:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        try:
            while True:
                server.recv(2048)
        except BlockingIOError:
            time.sleep(0.05)
threading.Thread(target=serve, daemon=True).start()
sys.stdin.read()
"""

BURSTS = """
import socket, sys, threading, time
client = socket.socket(type=socket.SOCK_DGRAM)
client.connect(("127.0.0.1", 5601))
def send():
    while True:
        for _ in range(300):
            try:
                client.send(bytes(1400))
            except OSError:
                pass
        time.sleep(0.1)
threading.Thread(target=send, daemon=True).start()
sys.stdin.read()
"""


class Trouble:
    """Datagrams that the buffer has no room for, by those that arrive."""
    TUNER = "sock_buf"
    TUNABLES = [RMEM_MAX]

    def __init__(self, lab):
        self.kept = contextlib.ExitStack()
        self.kept.enter_context(kept_sysctls((RMEM_MAX,)))
        sysctl_path(RMEM_MAX).write_text(SMALL)
        self.container = lab.container("netns", "bt-datagrams")
        self.programs = []

    def start(self):
        self.programs = [Program(self.container, code) for code in (SERVER, BURSTS)]

    def stop(self):
        while self.programs:
            self.programs.pop().remove()

    def counts(self):
        udp = self.container.counters("Udp")
        return udp["RcvbufErrors"], udp["InDatagrams"]

    def values(self):
        return {RMEM_MAX: Host().sysctl(RMEM_MAX)}

    def close(self):
        self.stop()
        self.kept.close()
