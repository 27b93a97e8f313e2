# SPDX-License-Identifier: GPL-2.0-or-later
"""Datagrams come in bursts while the reader does something else, and its socket's receive buffer, whose size nobody has chosen, does
not hold a burst: the trouble that udp is for."""
import re
import subprocess
import sys

from lab import run

UDP_MEM = "net.ipv4.udp_mem"
PORT = 5700

# A burst comes, then it is read, then nothing happens for a while; again and again. FAMILY PORT HOW BURST READS NAP [SIZE].
# HOW: by recvfrom, or by recv, for which the kernel runs no program. READS: so many at a time at most. SIZE is asked for by
# SO_RCVBUF before bind.
PROGRAM = """
import itertools, socket, sys, time
family, port, how, burst, reads, nap, *size = sys.argv[1:]
family, address = int(family), ("::1" if int(family) == socket.AF_INET6 else "127.0.0.1", int(port))
reader, sender = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
for wanted in size:
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(wanted))
reader.bind(address)
reader.setblocking(False)
read = reader.recv if how == "recv" else reader.recvfrom
print("reads", flush=True)
while True:
    for _ in range(int(burst)):
        try:
            sender.sendto(bytes(1000), address)
        except OSError:
            pass
    try:
        for _ in range(int(reads)):
            read(2048)
    except BlockingIOError:
        pass
    time.sleep(float(nap))
"""


class Program:
    """It is there when it has said so."""

    def __init__(self, container, code, *words):
        self.process = subprocess.Popen(container.command(sys.executable, "-c", code, *map(str, words)), text=True,
                                        stdout=subprocess.PIPE)
        assert self.process.stdout.readline()

    def remove(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def size_of(container, port):
    """The receive buffer of the socket of that port, as sk_rcvbuf counts."""
    text = run(*container.command("ss", "-Huanm", f"sport = :{port}")).stdout
    return int(re.search(r"\brb(\d+)", text)[1])


class Trouble:
    """A burst is half as much again as the kernel's default holds."""
    TUNER = "udp"
    TUNABLES = [UDP_MEM]

    def __init__(self, lab, name="bt-udp", family=2, port=PORT, how="recvfrom", burst=150, reads=1000000, nap=0.1):
        self.container = lab.container("netns", name)
        self.port, self.burst, self.program = port, burst, None
        self.words = int(family), port, how, burst, reads, nap
        lab.callback(self.close)

    def start(self, *size):
        """Again, as a server that is deployed anew."""
        self.stop()
        self.program = Program(self.container, PROGRAM, *self.words, *size)

    def stop(self):
        if self.program:
            self.program.remove()
        self.program = None

    def counts(self):
        """Datagrams that were dropped, and those that were read; of IPv4 and IPv6."""
        udp = self.container.counters("Udp")
        trouble, work = udp["RcvbufErrors"], udp["InDatagrams"]
        for line in run(*self.container.command("cat", "/proc/net/snmp6")).stdout.splitlines():
            name, value = line.split()
            trouble += int(value) if name == "Udp6RcvbufErrors" else 0
            work += int(value) if name == "Udp6InDatagrams" else 0
        return trouble, work

    def values(self):
        """The size is no tunable, but what changes."""
        return {UDP_MEM: run("cat", "/proc/sys/net/ipv4/udp_mem").stdout.strip(), f"receive buffer of port {self.port}": self.size()}

    def size(self):
        return size_of(self.container, self.port)

    def close(self):
        self.stop()
