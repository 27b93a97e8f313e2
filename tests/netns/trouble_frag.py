# SPDX-License-Identifier: GPL-2.0-or-later
"""More fragments at a time than the namespace has memory for: the trouble that frag is for."""
import subprocess
import sys

from lab import run, wait_for

HIGH = {4: "net.ipv4.ipfrag_high_thresh", 6: "net.ipv6.ip6frag_high_thresh"}
LOW = {4: "net.ipv4.ipfrag_low_thresh", 6: "net.ipv6.ip6frag_low_thresh"}
SMALL = 256 << 10

# Datagrams of two fragments each: all first fragments, then all others, if they come; again and again, until standard input
# ends. It says how many datagrams have arrived of each batch. FAMILY WAITING KIND
SENDER = """
import os, select, socket, struct, sys, time
is_ipv6, waiting, whole = sys.argv[1] == "6", int(sys.argv[2]), sys.argv[3] == "whole"
family, host = (socket.AF_INET6, "::1") if is_ipv6 else (socket.AF_INET, "127.0.0.1")
server = socket.socket(family, socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, 33, 1 << 28)       # SO_RCVBUFFORCE
if is_ipv6:
    server.setsockopt(socket.IPPROTO_UDP, 102, 1)       # UDP_NO_CHECK6_RX
server.bind((host, 5400))
server.setblocking(False)
raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
if is_ipv6:
    raw.setsockopt(socket.IPPROTO_IPV6, 36, 1)          # IPV6_HDRINCL
HEAD, TAIL = 1400, 96
udp = struct.pack("!HHHH", 5401, 5400, HEAD + TAIL, 0) + bytes(HEAD - 8)
number = 0

def header(i, offset, more, length):
    if is_ipv6:
        part = struct.pack("!BBHI", 17, 0, offset | more, number * waiting + i & 0xffffffff)
        return struct.pack("!IHBB", 6 << 28, len(part) + length, 44, 64) + 2 * socket.inet_pton(family, host) + part
    source = bytes((127, 1 + (i >> 16), i >> 8 & 255, i & 255))     # each from another address, which is one's own queue
    part = struct.pack("!BBHHHBBH", 0x45, 0, 0, number & 65535, more << 13 | offset >> 3, 64, 17, 0)
    return part + source + socket.inet_pton(family, host)

def send(i, offset, more, data):
    raw.sendto(header(i, offset, more, len(data)) + data, (host, 0))

def arrived():
    count = 0
    try:
        while server.recv(2048):
            count += 1
    except BlockingIOError:
        return count

print("begins", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    began = time.monotonic()
    number += 1
    for i in range(waiting):
        send(i, 0, 1, udp)
    for i in range(waiting) if whole else ():
        send(i, HEAD, 0, bytes(TAIL))
    print(arrived(), flush=True)
    time.sleep(max(0.05, time.monotonic() - began))
"""


class Clients:
    """Of one family: so many of their datagrams wait at a time for their second fragments, which come or do not."""

    def __init__(self, container, family, waiting, kind):
        self.process = subprocess.Popen(container.command(sys.executable, "-c", SENDER, str(family), str(waiting), kind), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.waiting = waiting
        assert self.process.stdout.readline() == "begins\n"

    def arrive(self, batches):
        """Waits until all of so many batches in a row arrive."""
        row = 0
        def enough():
            nonlocal row
            row = row + 1 if int(self.process.stdout.readline()) == self.waiting else 0
            return row >= batches
        wait_for(enough, 60, "all datagrams to arrive")

    def remove(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.kill()
        self.process.wait()


class Trouble:
    """In a container whose fragments may take little memory. With other sysctls it has the kernel's own limits."""
    TUNER = "frag"
    TUNABLES = list(HIGH.values())

    def __init__(self, lab, name="bt-frag", waiting=200, kind="whole", families=(4, 6), sysctls=None):
        few = {name: str(SMALL) for family in families for name in (LOW[family], HIGH[family])}    # the low one first
        self.container = lab.container("netns", name, few if sysctls is None else sysctls)
        self.waiting, self.kind, self.families, self.clients = waiting, kind, families, []
        lab.callback(self.close)

    def start(self):
        for family in self.families:
            self.clients.append(Clients(self.container, family, self.waiting, self.kind))

    def stop(self):
        while self.clients:
            self.clients.pop().remove()

    def counters(self):
        """ReasmReqds and others, of IPv4 and IPv6 together."""
        sums = self.container.counters("Ip")
        for line in run(*self.container.command("cat", "/proc/net/snmp6")).stdout.splitlines():
            name, value = line.split()
            if name.startswith("Ip6Reasm"):
                sums[name.removeprefix("Ip6")] += int(value)
        return sums

    def counts(self):
        """Fragments that were dropped for want of memory, and all."""
        counters = self.counters()
        return counters["ReasmFails"] - counters["ReasmTimeout"], counters["ReasmReqds"]

    def values(self):
        return {name: self.container.sysctl(name) for name in self.TUNABLES}

    def close(self):
        self.stop()
