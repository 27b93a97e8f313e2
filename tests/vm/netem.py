# SPDX-License-Identifier: GPL-2.0-or-later
"""Long paths by netem, between any two of tests/netns/lab.py's containers and the host."""
import os

import lab
from lab import run


class NetemPath(lab.LongPath):
    """A veth pair with netem at both ends: 10.199.NUMBER.1 (near) and .2 (far). Options are netem's.

    The reference path is 20 ms each way; netem's queue is long, so that the delay alone limits.
    """

    def __init__(self, test_lab, near, far, number, netem=("delay", "20ms", "limit", "10000"), back=None, mtu=1500):
        self.lab, self.near, self.far, self.number = test_lab, near, far, number
        self.device = f"path{number}"
        self.remove()
        # Both are made in a third namespace and moved: the host's own name may be taken while it moves.
        run("ip", "link", "add", self.device, "type", "veth", "peer", "name", f"{self.device}b")
        for end, device, options, last in (near, self.device, netem, 1), (far, f"{self.device}b", back or netem, 2):
            if end.netns != lab.Host.netns:
                run("ip", "link", "set", device, "netns", end.link_target)
            inside = "nsenter", f"--net={end.netns}"
            run(*inside, "ip", "addr", "add", f"10.199.{number}.{last}/24", "dev", device)
            run(*inside, "ip", "link", "set", device, "mtu", mtu, "up")
            run(*inside, "tc", "qdisc", "replace", "dev", device, "root", "netem", *options)

    def change(self, end, *netem):
        """Other options for what leaves this end."""
        device = self.device if end is self.near else f"{self.device}b"
        run("nsenter", f"--net={end.netns}", "tc", "qdisc", "change", "dev", device, "root", "netem", *netem)

    def rtt_ms(self):
        """As ping measures it."""
        said = run("nsenter", f"--net={self.near.netns}", "ping", "-c", 4, "-i", 0.2, "-q", f"10.199.{self.number}.2")
        return float(said.stdout.rpartition(" = ")[2].split("/")[0])

    def remove(self):
        for end, device in (self.near, self.device), (self.far, f"{self.device}b"):
            if os.path.exists(end.netns):
                run("nsenter", f"--net={end.netns}", "ip", "link", "del", device, check=False)


class Lab(lab.Lab):
    def host(self):
        return lab.Host()

    def netem(self, near, far, number, **options):
        return self.keep(NetemPath(self, near, far, number, **options))

    def lossy_netem(self, near, far, number, loss, rate=None):
        """10 ms each way through a router, where netem loses so many percent of the segments, from 10.198.NUMBER.1
        (near) to 10.199.NUMBER.2 (far): those of its own host it would see before they are cut apart."""
        router = self.container("netns", f"bt-router{number}", {"net.ipv4.ip_forward": "1"})
        delay = "delay", "10ms", "limit", "10000"
        self.netem(router, far, number, netem=(*delay, *(("rate", rate) if rate else ()), "loss", f"{loss}%"), back=delay)
        run("ip", "-n", near.name, "link", "add", "out", "type", "veth", "peer", "name", "in", "netns", router.name)
        for container, device, last in (near, "out", 1), (router, "in", 2):
            run("ip", "-n", container.name, "address", "add", f"10.198.{number}.{last}/24", "dev", device)
            run("ip", "-n", container.name, "link", "set", device, "up")
        run(*near.command("ethtool", "-K", "out", "tso", "off"))
        run("ip", "-n", near.name, "route", "add", f"10.199.{number}.0/24", "via", f"10.198.{number}.2")
        run("ip", "-n", far.name, "route", "add", f"10.198.{number}.0/24", "via", f"10.199.{number}.1")
