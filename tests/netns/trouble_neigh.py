# SPDX-License-Identifier: GPL-2.0-or-later
"""Neighbour tables that are too small: a container sends to more neighbours than the machine's table has room for."""
import contextlib
import ipaddress
import json
import pathlib
import subprocess
import sys

from lab import SLOWNESS, Supervisor, kept_sysctls, number, run, sysctl_path

TABLES = {family: [f"net.{family}.neigh.default.gc_thresh{n}" for n in (1, 2, 3)] for family in ("ipv4", "ipv6")}
SMALL = 16, 64, 128

# Sends a datagram to each of COUNT addresses from FIRST on, again and again, with a PAUSE after each round; and in each round
# to FRESH addresses that it has not sent to before. By many sockets, as what waits for a neighbour's answer fills a socket's buffer.
SEND = """
import ipaddress, itertools, socket, sys, time
first, count, pause, fresh = ipaddress.ip_address(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
senders = [socket.socket(socket.AF_INET6 if first.version == 6 else socket.AF_INET, socket.SOCK_DGRAM) for _ in range(64)]
for sender in senders:
    sender.setblocking(False)
turns = itertools.cycle(senders)
addresses, others = [str(first + i) for i in range(count)], itertools.count(count)
while True:
    for address in addresses + [str(first + next(others)) for _ in range(fresh)]:
        try:
            next(turns).sendto(b"x", (address, 9))
        except OSError:
            pass
    time.sleep(pause)
"""


def statistics(family="ipv4"):
    """What the table has counted, of all namespaces."""
    name = {"ipv4": "arp_cache", "ipv6": "ndisc_cache"}[family]
    header, *cpus = pathlib.Path("/proc/net/stat", name).read_text().splitlines()
    rows = [[int(word, 16) for word in line.split()] for line in cpus]
    return {**dict(zip(header.split(), map(sum, zip(*rows)))), "entries": rows[0][0]}


class Sender:
    def __init__(self, container, first, count, pause=0.2, fresh=0):
        self.process = subprocess.Popen(container.command(sys.executable, "-c", SEND, *map(str, (first, count, pause, fresh))))

    def remove(self):
        self.process.kill()
        self.process.wait(timeout=10 * SLOWNESS)


class Network:
    """A link from a container to another one, which answers for `first` and the addresses that follow, `n_ipv6` of them where
    they are IPv6's, but for `dead` and those that follow. As ARP goes, it has all of 100.64.0.0/10, too."""
    ALL = ipaddress.ip_address("100.64.0.0")

    def __init__(self, lab, family="ipv4", n_ipv6=0):
        self.lab, self.family, self.number = lab, family, number()
        self.near, self.far = (lab.container("netns", f"bt-{end}{self.number}") for end in ("near", "far"))
        near, far = self.near.name, self.far.name
        run("ip", "link", "add", "v0", "netns", near, "type", "veth", "peer", "name", "v0", "netns", far)
        self.first = ipaddress.ip_address(f"10.{self.number}.64.0" if family == "ipv4" else f"fd00:{self.number}::1:0")
        self.dead = ipaddress.ip_address(f"10.{self.number}.128.0" if family == "ipv4" else f"fd00:{self.number}::2:0")
        for name, last in (near, 1), (far, 2):
            if family == "ipv4":
                run("ip", "-n", name, "addr", "add", f"10.{self.number}.0.{last}/16", "dev", "v0")
            else:
                run("ip", "-n", name, "addr", "add", f"fd00:{self.number}::{last}/64", "dev", "v0", "nodad")
            run("ip", "-n", name, "link", "set", "v0", "up")
        if family == "ipv4":
            run("ip", "-n", near, "route", "add", f"{self.ALL}/10", "dev", "v0")
            for network in f"{self.first}/18", f"{self.ALL}/10":
                run("ip", "-n", far, "route", "add", "local", network, "dev", "lo")
        else:
            batch = "".join(f"addr add {self.first + i}/64 dev v0 nodad\n" for i in range(n_ipv6))
            subprocess.run(["ip", "-n", far, "-batch", "-"], input=batch, text=True, check=True, timeout=30 * SLOWNESS)

    def send(self, *options, **keywords):
        return self.lab.keep(Sender(self.near, *options, **keywords))

    def address(self):
        """The link-layer address of who answers."""
        return json.loads(run("ip", "-j", "-n", self.far.name, "link", "show", "v0").stdout)[0]["address"]

    def known(self):
        """How many neighbours the container can send to."""
        lines = run("ip", "-n", self.near.name, "neigh", "show", "dev", "v0").stdout.splitlines()
        addresses = [ipaddress.ip_address(line.split()[0]) for line in lines if "lladdr" in line]
        return sum(address.version == self.first.version and self.first <= address < self.dead for address in addresses)


def make_small(stack, values=SMALL):
    """The host's thresholds; the stack puts them back."""
    names = [name for table in TABLES.values() for name in table]
    stack.enter_context(kept_sysctls(names))
    for table in TABLES.values():
        for name, value in zip(table, values):
            sysctl_path(name).write_text(str(value))
    for supervisor in Supervisor.running:
        if names[0] in supervisor.owned():
            supervisor.give_back("host")


class Trouble:
    """600 neighbours, and room for 128."""
    TUNER = "neigh"
    TUNABLES = [name for table in TABLES.values() for name in table]
    NEIGHBOURS = 600

    def __init__(self, lab, family="ipv4"):
        self.stack = contextlib.ExitStack()
        lab.callback(self.close)
        make_small(self.stack)
        self.network = Network(lab, family, self.NEIGHBOURS)
        self.sender = None

    def start(self):
        self.sender = self.network.send(self.network.first, self.NEIGHBOURS)

    def stop(self):
        if self.sender:
            self.sender.remove()
        self.sender = None

    def counts(self):
        """Neighbours for which there was no room; datagrams that have arrived."""
        snmp = run("nsenter", f"--net={self.network.far.netns}", "cat", "/proc/net/snmp6").stdout
        arrived = int(self.network.far.counters("Udp")["NoPorts"]) if self.network.family == "ipv4" else \
            next(int(line.split()[1]) for line in snmp.splitlines() if line.startswith("Udp6NoPorts"))
        return statistics(self.network.family)["table_fulls"], arrived

    def values(self):
        return {name: sysctl_path(name).read_text().strip() for name in self.TUNABLES}

    def close(self):
        self.stop()
        self.stack.close()
