# SPDX-License-Identifier: GPL-2.0-or-later
"""With and without bpftune, in turn, over the same path.

Three containers send through one router. All tuners are off in the first two, "plain" and "again": the difference between
these two is what the machine's noise makes. "tuned" has all tuners. What is sent to is no container of bpftune's either.
"""
import json
import statistics
import subprocess
import sys

import cong
from lab import kept_sysctls, run, sysctl_path
from transfer import Server

SIDES = PLAIN, AGAIN, TUNED = "plain", "again", "tuned"
SERVER_PORT, DRAIN_PORT = 5001, cong.PORT

# Reads lists of jobs, works on each job of a list on a thread, and answers with the results in the same order. A job with
# `sizes` is that many transfers with a transfer.Server, one after another, down or up; a job with `seconds` is one flow to a
# cong.Drain, of which the acknowledged bytes count.
CLIENT = """
import concurrent.futures, json, socket, struct, sys, time
BLOCK = bytes(1 << 20)
def algorithm(connection):
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).split(b"\\0")[0].decode()
def info(connection, kind, offset):     # struct tcp_info
    return struct.unpack_from(kind, connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), offset)[0]
def connect(job):
    connection = socket.socket()
    connection.settimeout(60)
    connection.bind((job.get("source", ""), 0))
    if job.get("own"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, job["own"].encode())
    connection.connect((job["address"], job["port"]))
    return connection
def transfer(job, size):
    begin, is_up = time.monotonic(), job["direction"] == "u"
    with connect(job) as connection:
        first, cwnd, left, room = algorithm(connection), info(connection, "I", 80), 4 if is_up else 4 + size, bytearray(1 << 18)
        connection.sendall(f"{job['direction']} {size}\\n".encode() + BLOCK[:size if is_up else 0])
        while left:
            got = connection.recv_into(room, min(left, len(room)))
            assert got, "ended early"
            left -= got
        return {"ms": 1000 * (time.monotonic() - begin), "cwnd": cwnd, "algorithms": [first, algorithm(connection)]}
def send(job):
    with connect(job) as connection:
        first, begin = algorithm(connection), time.monotonic()
        connection.settimeout(0.2)
        while time.monotonic() < begin + job["seconds"]:
            try:
                connection.send(BLOCK[:1 << 16])
            except TimeoutError:
                pass
        acked = info(connection, "Q", 120)
        seconds, algorithms = time.monotonic() - begin, [first, algorithm(connection)]
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return {"mbit": 8e-6 * acked / seconds, "algorithms": algorithms}
def work(job):
    return [transfer(job, size) for size in job["sizes"]] if "sizes" in job else send(job)
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    for line in sys.stdin:
        print(json.dumps(list(pool.map(work, json.loads(line)))), flush=True)
"""


class Client:
    """A process in a container that works on jobs: see CLIENT. It stays, as it takes long to start."""

    def __init__(self, container):
        self.process = subprocess.Popen(container.command(sys.executable, "-c", CLIENT), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def start(self, jobs):
        print(json.dumps(jobs), file=self.process.stdin, flush=True)

    def finish(self):
        line = self.process.stdout.readline()
        assert line, "the client failed"
        return json.loads(line)

    def do(self, jobs):
        self.start(jobs)
        return self.finish()

    def remove(self):
        self.process.kill()
        self.process.communicate()


class World:
    """From each side (and `others`, in which all tuners are off as well) to 10.199.NUMBER.2, one for each of `forward`, which
    are netem's options at the router; `back` are those of the way back. netem is not at the sender's own device, whose
    queue would hold it back, and sees single segments.
    """

    def __init__(self, lab, forward, back, others=(), default="cubic"):
        run("modprobe", "tcp_bbr")
        lab.enter_context(kept_sysctls((cong.ALLOWED, cong.CONGESTION)))
        sysctl_path(cong.ALLOWED).write_text(" ".join(cong.ALGORITHMS))
        sysctl_path(cong.CONGESTION).write_text(default)
        unfiltered = {f"net.ipv4.conf.{each}.rp_filter": 0 for each in ("all", "default")}    # each remote answers by the first one's way
        self.router = lab.container("netns", "router", {"net.ipv4.ip_forward": 1, **unfiltered})
        self.far = lab.container("netns", "far", unfiltered)
        self.near = {name: lab.container("netns", name) for name in (*SIDES, *others)}
        for number, near in enumerate(self.near.values(), 1):
            self.link(near, f"10.198.{number}", "out", back)
            run("ip", "-n", near.name, "route", "add", "default", "via", f"10.198.{number}.1")
            run(*near.command("ethtool", "-K", "out", "tso", "off"))
        for number, options in enumerate(forward, 1):
            self.link(self.far, f"10.199.{number}", f"in{number}", options)
        run("ip", "-n", "far", "route", "add", "10.198.0.0/16", "via", "10.199.1.1")

        self.servers = {name: lab.keep(Server(near, SERVER_PORT)) for name, near in self.near.items()}
        lab.keep(Server(self.far, SERVER_PORT))
        lab.keep(cong.Drain(self.far, DRAIN_PORT))
        self.clients = {name: lab.keep(Client(near)) for name, near in (*self.near.items(), ("far", self.far))}
        self.supervisor = lab.supervisor()
        names = [*self.near, "router", "far"]
        self.supervisor.ready(*names)
        for name in names:
            if name != TUNED:
                self.supervisor.cli("off", name)

    def link(self, end, network, device, netem):
        """From the router, which has .1 there, to an end that has .2; netem is at the router."""
        far_device = f"to-{network.replace('10.', '')}"
        run("ip", "-n", end.name, "link", "add", device, "type", "veth", "peer", "name", far_device, "netns", "router")
        for name, each, last in ("router", far_device, 1), (end.name, device, 2):
            run("ip", "-n", name, "address", "add", f"{network}.{last}/24", "dev", each)
            run("ip", "-n", name, "link", "set", each, "up")
        run(*self.router.command("tc", "qdisc", "add", "dev", far_device, "root", "netem", *netem))

    def address(self, side):
        return f"10.198.{list(self.near).index(side) + 1}.2"

    @staticmethod
    def flows(seconds, number=1, own=""):
        """Jobs: flows to the first remote."""
        return [{"address": "10.199.1.2", "port": DRAIN_PORT, "seconds": seconds, "own": own}] * number

    def send(self, side, *words, **options):
        return self.clients[side].do(self.flows(*words, **options))

    def upload(self, side, sizes, streams):
        """That many in each of the streams, to the first remote."""
        job = {"address": "10.199.1.2", "port": SERVER_PORT, "direction": "u", "sizes": sizes}
        return [one for stream in self.clients[side].do([job] * streams) for one in stream]

    def learnt(self):
        return [f"{row['about']}: {row['text']}" for row in self.supervisor.instance(TUNED)["learnt"]]


def in_turn(rounds, measure):
    """What measure(side) gave in each round: a list for each side. Each of the sides is the first in turn."""
    found = {side: [] for side in SIDES}
    for number in range(rounds):
        for i in range(len(SIDES)):
            side = SIDES[(number + i) % len(SIDES)]
            found[side].append(measure(side))
    return found


def ratios(found, figure=statistics.median):
    """With bpftune / without, and nothing / nothing."""
    return figure(found[TUNED]) / figure(found[PLAIN] + found[AGAIN]), figure(found[AGAIN]) / figure(found[PLAIN])


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def shown(found, digits=1):
    return {side: [round(value, digits) for value in values] for side, values in found.items()}
