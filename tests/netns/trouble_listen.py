# SPDX-License-Identifier: GPL-2.0-or-later
"""A server whose clients come in bursts, and whose queue somaxconn cuts: it calls listen(2) again now and then, as many do at a reload."""
from sharer import Program

SOMAXCONN, SYN_BACKLOG = "net.core.somaxconn", "net.ipv4.tcp_max_syn_backlog"

# Accepts what has come, twenty times a second.
SERVER = """
import socket, sys, threading, time
server = socket.socket()
server.bind(("127.0.0.1", 5600))
server.setblocking(False)
def serve():
    for turn in range(10**9):
        if turn % 10 == 0:
            server.listen(1000)
        try:
            while True:
                server.accept()[0].close()
        except BlockingIOError:
            time.sleep(0.05)
threading.Thread(target=serve, daemon=True).start()
sys.stdin.read()
"""

# A hundred at once, ten times a second; who is not let in gives up.
CLIENTS = """
import socket, sys, threading, time
def come():
    bursts = []
    while True:
        bursts.append([socket.socket() for _ in range(100)])
        for client in bursts[-1]:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", 5600))
        time.sleep(0.1)
        for client in bursts.pop(0) if len(bursts) > 3 else ():
            client.close()
threading.Thread(target=come, daemon=True).start()
sys.stdin.read()
"""


class Trouble:
    """Connections that a full accept queue cuts off, by those that are completed."""
    TUNER = "listen"
    TUNABLES = [SOMAXCONN, SYN_BACKLOG]

    def __init__(self, lab):
        self.container = lab.container("netns", "bt-bursts", {SOMAXCONN: "16", SYN_BACKLOG: "256"})
        self.programs = []

    def start(self):
        self.programs = [Program(self.container, code) for code in (SERVER, CLIENTS)]

    def stop(self):
        while self.programs:
            self.programs.pop().remove()

    def counts(self):
        return self.container.counters("TcpExt")["ListenOverflows"], self.container.counters("Tcp")["PassiveOpens"]

    def values(self):
        return {name: self.container.sysctl(name) for name in self.TUNABLES}

    def close(self):
        self.stop()
