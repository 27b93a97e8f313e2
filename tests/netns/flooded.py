# SPDX-License-Identifier: GPL-2.0-or-later
"""A UDP socket that asks for a receive buffer, reads nothing, and is sent more than fits."""
import subprocess
import sys

from lab import SLOWNESS

# For each line another socket, which asks for BYTES and says what it got; the kernel gives twice what it grants. Datagrams
# come all the time.
FLOODED = """
import socket, sys, threading, time
flooded, sender = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
def flood():
    while True:
        for _ in range(100):
            try:
                sender.sendto(bytes(1400), flooded.getsockname())
            except OSError:
                pass
        time.sleep(0.002)
for line in sys.stdin:
    last, flooded = flooded, socket.socket(type=socket.SOCK_DGRAM)
    flooded.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(sys.argv[1]))
    flooded.bind(("127.0.0.1", 0))
    last.close()
    print(flooded.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2, flush=True)
    if threading.active_count() == 1:
        threading.Thread(target=flood, daemon=True).start()
"""


class Flooded:
    def __init__(self, container, size):
        self.process = subprocess.Popen(container.command(sys.executable, "-c", FLOODED, str(size)), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def open(self):
        """What it is granted."""
        print(file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def remove(self):
        self.process.communicate(timeout=10 * SLOWNESS)
