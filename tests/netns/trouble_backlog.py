# SPDX-License-Identifier: GPL-2.0-or-later
"""Bursts of frames to a CPU whose queue is too short for them: the trouble that backlog is for."""
import pathlib
import subprocess
import sys

from lab import SLOWNESS, Supervisor, kept_sysctls, number, run, sysctl_path

BACKLOG = "net.core.netdev_max_backlog"
SMALL = 20
RULES = 3000        # that each frame is compared with, so that it takes longer to receive than to send

# From CPU 0, until standard input ends: datagrams as fast as it can for a while, then nothing for so many times as long.
# ADDRESS SECONDS REST
SENDER = """
import os, select, socket, sys, time
seconds, rest = map(float, sys.argv[2:])
os.sched_setaffinity(0, {0})
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.setsockopt(socket.SOL_SOCKET, 32, 1 << 28)       # SO_SNDBUFFORCE: what waits in the queue counts as unsent
sender.connect((sys.argv[1], 9))
print("begins", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(10):
            sender.send(bytes(100))
    time.sleep(rest * seconds)
"""


def softnet():
    """The machine's columns, each as a sum over all CPUs."""
    lines = pathlib.Path("/proc/net/softnet_stat").read_text().splitlines()
    return [sum(column) for column in zip(*([int(word, 16) for word in line.split()] for line in lines))]


class Trouble:
    """Frames that the host sends into a container, where CPU 1 receives them (RPS). The tunable is the host's."""
    TUNER = "backlog"
    TUNABLES = [BACKLOG]

    def __init__(self, lab, name="bt-backlog", burst_s=0.01, rest=12, value=SMALL):
        self.container = lab.container("netns", name)
        _, self.address = lab.addressed_veth(self.container, number())
        self.burst_s, self.rest, self.process = burst_s, rest, None
        self.make_slow()
        lab.enter_context(kept_sysctls((BACKLOG,)))
        sysctl_path(BACKLOG).write_text(str(value))
        for supervisor in Supervisor.running:
            supervisor.give_back("host", {BACKLOG: str(value)})
        lab.callback(self.close)

    def make_slow(self):
        steer = "mount -t sysfs sysfs /sys && echo 2 >/sys/class/net/eth0/queues/rx-0/rps_cpus"
        run(*self.container.command("unshare", "--mount", "sh", "-ec", steer))
        rules = "\n".join(f"ip saddr 203.0.113.{i % 256} ip id {i} accept" for i in range(RULES))
        table = f"table ip slow {{ chain in {{ type filter hook prerouting priority raw;\n{rules}\nudp dport 9 drop\n}}\n}}\n"
        subprocess.run(self.container.command("nft", "-f", "-"), input=table, text=True, check=True, timeout=60 * SLOWNESS)

    def start(self):
        self.process = subprocess.Popen([sys.executable, "-c", SENDER, self.address, str(self.burst_s), str(self.rest)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == "begins\n"

    def stop(self):
        if self.process:
            self.process.communicate(timeout=30 * SLOWNESS)
            self.process = None

    def counts(self):
        """Of the machine: frames that were dropped for want of room, and all that came."""
        columns = softnet()
        return columns[1] - columns[10], columns[0] + columns[1]

    def values(self):
        return {BACKLOG: sysctl_path(BACKLOG).read_text().strip()}

    def close(self):
        self.stop()
