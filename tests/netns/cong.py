# SPDX-License-Identifier: GPL-2.0-or-later
"""A path that loses segments, senders that say which congestion control they had, and what each gives there."""
import json
import re
import statistics
import subprocess
import sys
from types import SimpleNamespace

from lab import CONGESTION, SLOWNESS, Lab, kept_sysctls, only, run, sysctl_path

ALGORITHMS = "reno", "cubic", "bbr"
ALLOWED = "net.ipv4.tcp_allowed_congestion_control"
PORT = 5400

DRAIN = """
import socket, sys, threading
listener = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
print("listening", flush=True)
def drain(connection):
    try:
        while connection.recv(1 << 20):
            pass
    except OSError:
        pass
    connection.close()
while True:
    threading.Thread(target=drain, args=(listener.accept()[0],), daemon=True).start()
"""

# Sends until it has the algorithm `until`, is told to stop (SIGTERM), or so many seconds are over; what the far end has
# acknowledged in them counts (bytes_acked of struct tcp_info). With `usual`, connects until it has another algorithm than
# that. With `pace`, sends that many bytes a second at most.
SEND = """
import json, signal, socket, struct, sys, time
host, port, seconds, own, usual, until, pace = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:]
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
def connect():
    connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if own:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, own.encode())
    if pace:
        connection.setsockopt(socket.SOL_SOCKET, 47, int(pace))     # SO_MAX_PACING_RATE
    connection.settimeout(seconds + 20)
    connection.connect((host, port))
    return connection
def algorithm():
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).split(b"\\0")[0].decode()
connection = connect()
while algorithm() == usual:
    connection.close()
    connection = connect()
first, start, block = algorithm(), time.monotonic(), bytes(1 << 16)
connection.settimeout(0.2)
while time.monotonic() < start + seconds and algorithm() != until and not stopped:
    try:
        connection.send(block)
    except TimeoutError:
        pass
info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
retrans, acked, segs = (struct.unpack_from(kind, info, offset)[0] for kind, offset in (("I", 100), ("Q", 120), ("I", 156)))
print(json.dumps({"first": first, "last": algorithm(), "mbit": 8e-6 * acked / (time.monotonic() - start),
                  "retrans": retrans, "segs": segs}))
connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
connection.close()
"""


# Connects so many times, at most 32 at once; says which algorithm each connection began with.
FIRSTS = """
import errno, json, select, socket, sys
host, port, left, firsts = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), []
while left:
    connections = [socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) for _ in range(min(left, 32))]
    left -= len(connections)
    for connection in connections:
        connection.setblocking(False)
        assert connection.connect_ex((host, port)) == errno.EINPROGRESS
    for connection in connections:
        assert select.select([], [connection], [], 20)[1], "cannot connect"
        assert not connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        firsts.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).split(b"\\0")[0].decode())
        connection.close()
print(json.dumps(firsts))
"""


class Drain:
    """A server that reads all it gets."""

    def __init__(self, container, port):
        self.container, self.port = container, port
        self.process = subprocess.Popen(container.command(sys.executable, "-c", DRAIN, str(port)), text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == "listening\n"

    def loses(self, percent, address):
        """From now on less gets to that address than is sent; handshakes are spared."""
        family, table = "ip6" if ":" in address else "ip", f"inet loss_{re.sub('[.:]', '_', address)}"
        rules = f"""
            table {table}
            delete table {table}
            table {table} {{ chain input {{ type filter hook input priority 0;
                {family} daddr {address} tcp dport {self.port} tcp flags & syn == 0 numgen random mod 1000 < {round(10 * percent)} drop;
            }}
            }}"""
        subprocess.run(self.container.command("nft", "-f", "-"), input=rules, text=True, check=True, timeout=30)

    def remove(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def start(container, address, port, seconds, own="", usual="", until="", pace=""):
    command = container.command(sys.executable, "-c", SEND, address, str(port), str(seconds), own, usual, until, str(pace))
    return subprocess.Popen(command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def finish(sender):
    """Its algorithms, first and last, Mbit/s, and how many segments it sent, and sent again."""
    said, _ = sender.communicate(timeout=60 * SLOWNESS)
    assert sender.returncode == 0
    return json.loads(said)


def firsts(container, address, port, number):
    """The algorithms that so many new connections begin with."""
    words = container.command(sys.executable, "-c", FIRSTS, address, str(port), str(number))
    return json.loads(run(*words, timeout=120).stdout)


def send(*words, **options):
    return finish(start(*words, **options))


# --- tcp_cong against each algorithm alone ---------------------------------------------------------

def lossy_path(lab, number, loss, **options):
    """A sender whose default is cubic, and the address that it sends to: 20 ms, and so many percent lost. By netem
    with its options, where there is netem."""
    near = lab.container("netns", f"bt-near{number}", {CONGESTION: "cubic"})
    far = lab.container("netns", f"bt-far{number}")
    drain = lab.keep(Drain(far, PORT))
    if hasattr(lab, "netem"):
        lab.lossy_netem(near, far, number, loss, **options)
    else:
        lab.path(near, far, number, delay_ms=10)
        drain.loses(loss, f"10.199.{number}.2")
    return near, f"10.199.{number}.2"


def tuned(near, address, best, seconds, flows):
    """Its connections, one of the best algorithm for each from the third on, and what was learnt."""
    with Lab() as inner:
        supervisor = inner.supervisor(tuners=only("tcp_cong"))      # bigger buffers would help as well
        supervisor.ready(near.name)
        if supervisor.is_manual(near.name, "tcp_cong"):     # the host's default is not cubic
            supervisor.resume(near.name)
        done, between = [], []
        for i in range(flows):
            turn = ("",) if i < 2 else (best, "") if i % 2 else ("", best)
            for own in turn:        # either goes first in turn, as a machine is not equally fast all the time
                (between if own else done).append(send(near, address, PORT, seconds, own=own))
        text = next(row["text"] for row in supervisor.instance(near.name)["learnt"] if row["about"] == address)
    return done, between, text


def measure(lab, number, loss, seconds, flows, alone, **options):
    """Mbit/s of each algorithm alone, median of so many flows; and of so many connections with tcp_cong."""
    run("modprobe", "-q", "tcp_bbr", check=False)
    with kept_sysctls((ALLOWED,)):
        sysctl_path(ALLOWED).write_text(" ".join(ALGORITHMS))
        near, address = lossy_path(lab, number, loss, **options)
        rates = {own: statistics.median(send(near, address, PORT, seconds, own=own)["mbit"] for _ in range(alone))
                 for own in ALGORITHMS}
        best = max(rates, key=rates.get)
        done, between, text = tuned(near, address, best, seconds, flows)
    later, between = ([flow["mbit"] for flow in flows] for flows in (done[2:], between))
    return SimpleNamespace(alone=rates, best=best, first=done[:2], began_with=[flow["first"] for flow in done[2:]],
                           later=statistics.mean(later), between=statistics.mean(between),
                           share=sum(later) / sum(between), learnt=text)
