# SPDX-License-Identifier: GPL-2.0-or-later
"""A server whose clients stay, and others that come and go, in a namespace that tracks connections, with a limit far too low."""
import contextlib
import subprocess
import sys

from lab import SLOWNESS, Host, kept_sysctls, run, sysctl_path

MAX, BUCKETS = "net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_buckets"
RULES = "table inet tracks { chain out { type filter hook output priority 0; ct state new accept; }; }"

# So many connections that stay, a thousand a second; then a hundred a second that their server resets.
LOAD = """
import resource, socket, struct, sys, threading, time
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
stays, goes = (socket.create_server(("127.0.0.1", port), backlog=4096) for port in (5500, 5501))
kept = []
def serve():
    while True:
        kept.append(stays.accept()[0])
def reset():
    while True:
        client = goes.accept()[0]
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
def connect(port):
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", port))
    return client
def come():
    for n in range(int(sys.argv[1])):
        kept.append(connect(5500))
        if n % 10 == 0:
            time.sleep(0.01)
    while True:
        client = connect(5501)
        time.sleep(0.01)
        client.close()
for each in serve, reset, come:
    threading.Thread(target=each, daemon=True).start()
sys.stdin.read()
"""


class Program:
    """Runs until it is removed."""
    def __init__(self, container, code, *words):
        self.process = subprocess.Popen(container.command(sys.executable, "-c", code, *map(str, words)), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def remove(self):
        self.process.communicate(timeout=10 * SLOWNESS)


def track(container):
    """Its connections are tracked from now on."""
    subprocess.run(container.command("nft", "-f", "-"), input=RULES, text=True, check=True, timeout=30)


def table(container):
    """What is in the table, and how many packets of new connections were refused."""
    rows = run(*container.command("cat", "/proc/net/stat/nf_conntrack")).stdout.splitlines()
    rows = [dict(zip(rows[0].split(), (int(word, 16) for word in row.split()))) for row in rows[1:]]
    return rows[0]["entries"], sum(row["drop"] for row in rows)


@contextlib.contextmanager
def small_table(limit=512, buckets=2048):
    """Gives the host's limit; both are multiplied until the host's own connections have room. They are put back at the end."""
    with kept_sysctls((MAX, BUCKETS)):
        n = max(1, -(-2 * int(Host().sysctl("net.netfilter.nf_conntrack_count")) // limit))
        sysctl_path(BUCKETS).write_text(str(n * buckets))
        sysctl_path(MAX).write_text(str(n * limit))
        yield n * limit


class Trouble:
    """Packets of new connections that the full table refuses, by connections that are begun."""
    TUNER = "conntrack"
    TUNABLES = [MAX]

    def __init__(self, lab, kind="netns", name="bt-tracked"):
        self.container = lab.container(kind, name)
        track(self.container)
        self.kept = contextlib.ExitStack()
        self.n_clients = 5 * self.kept.enter_context(small_table())
        self.program = None

    def start(self):
        self.program = Program(self.container, LOAD, self.n_clients)

    def stop(self):
        if self.program:
            self.program.remove()
        self.program = None

    def counts(self):
        return table(self.container)[1], self.container.counters("Tcp")["ActiveOpens"]

    def values(self):
        return {MAX: Host().sysctl(MAX)}

    def close(self):
        self.stop()
        self.kept.close()
