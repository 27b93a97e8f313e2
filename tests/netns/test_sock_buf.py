# SPDX-License-Identifier: GPL-2.0-or-later
"""What applications ask for by setsockopt(2): a wish is told; what holds a socket back is told, too, and if that is the host's
limit, the limit follows, up to a cap, until the container ends."""
import itertools
import re
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from flooded import Flooded
from lab import AMPLE, CONGESTION, SLOWNESS, Host, kept_sysctls, number, only, said, sysctl_path, wait_for

LIMITS = {"net.core.wmem_max": socket.SO_SNDBUF, "net.core.rmem_max": socket.SO_RCVBUF}
RMEM_MAX = "net.core.rmem_max"
START = 300000

# Asks for buffers, and says what it got: FAMILY OPTION BYTES; the kernel gives twice what it grants.
ASK = """
import socket, sys
family, option, size = map(int, sys.argv[1:])
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM) if family != socket.AF_NETLINK else (socket.SOCK_RAW,):
    asker = socket.socket(family, kind)
    asker.setsockopt(socket.SOL_SOCKET, option, size)
    print(asker.getsockopt(socket.SOL_SOCKET, option) // 2)
"""


def ask(container, option, size, family=socket.AF_INET):
    """What a stream and a datagram socket are granted."""
    output = subprocess.run(container.command(sys.executable, "-c", ASK, str(int(family)), str(option), str(size)),
                            check=True, stdout=subprocess.PIPE, text=True).stdout
    return [int(word) for word in output.split()]


# Sends, or takes what is sent, until it is killed, with one buffer fixed: ROLE ADDRESS OPTION BYTES (0: leave it) PAUSE.
# "late" in ROLE: when it is connected.
# Without TCP_NODELAY a send buffer bounds nothing while the congestion window has room: Nagle's algorithm keeps the end
# of a write, and what is added to that is not counted (net/ipv4/tcp.c: tcp_sendmsg_locked()).
PEER = """
import socket, sys, time
role, address, option, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
listener, peer = socket.socket(), socket.socket()
def fix(*ends):
    for end in ends if size else ():
        end.setsockopt(socket.SOL_SOCKET, option, size)
if "late" not in role:
    fix(listener, peer)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if "listen" in role:
    listener.bind((address, 5300))
    listener.listen()
    print("listens", flush=True)
    peer = listener.accept()[0]
else:
    peer.connect((address, 5300))
if "late" in role:
    fix(peer)
if "send" in role:
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        peer.sendall(bytes(16384))
else:
    while peer.recv(65536):
        time.sleep(float(sys.argv[5]))
"""


@pytest.fixture(scope="module")
def supervisor(shared):
    supervisor = shared.supervisor(tuners=only("sock_buf"))
    supervisor.ready("host")
    return supervisor


@pytest.fixture
def host(supervisor):
    """The host's limits, small, as they are put back at the end."""
    with kept_sysctls(tuple(LIMITS)):
        for name in LIMITS:
            sysctl_path(name).write_text(str(START))
        supervisor.give_back("host")
        yield Host()


numbers = itertools.count()


def make(lab, kind, what, sysctls=None):
    """A container of a name that was never there before."""
    return lab.container(kind, f"bt-{what}{next(numbers)}", sysctls)


def learnt(supervisor, container):
    return {row["about"]: row["text"] for row in supervisor.instance(container.name)["learnt"]
            if row["tuner"] == "sock_buf"}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("kind", ["host", "netns", "runc"])
def test_wish_is_told(lab, supervisor, host, kind, name):
    """In a container as on the host; the log of either says who asked, the sink has it once. Both limits stay."""
    container = host if kind == "host" else make(lab, kind, "wish")
    supervisor.ready(container.name)
    size = 1000000 + next(numbers)
    assert ask(container, LIMITS[name], size) == [START, START]
    text = f"asked for {size} bytes by SO_{'RCV' if 'rmem' in name else 'SND'}BUF and gets the host's limit, {START}"
    for where in {"host", container.name}:
        record = said(supervisor, where, text)
        assert record["text"].endswith(f"; asked for by {container.name}") == (kind != "host")
    assert supervisor.stderr().count(text) == 1
    assert supervisor.cli("log", "--json").stdout.count(text) == 1      # of all containers
    assert all(host.sysctl(limit) == str(START) for limit in LIMITS)


def wishes_told(supervisor, container):
    return [record["text"] for record in supervisor.log(container.name) if "gets the host's limit" in record["text"]]


def test_modest_wishes(lab, supervisor, host):
    """What the limit grants already, and what is no size, is not told."""
    container, before = make(lab, "netns", "wish"), len(supervisor.changes("host"))
    supervisor.ready(container.name)
    for size in 4096, START, -1, 0, -2**31:
        for option in LIMITS.values():
            ask(container, option, size)
    for family in socket.AF_UNIX, socket.AF_NETLINK:    # not the network's business
        ask(container, socket.SO_RCVBUF, 1000000, family)
    ask(container, socket.SO_SNDBUF, START + 1)      # the mark that all before it have been seen
    said(supervisor, container.name, f"asked for {START + 1} bytes")
    assert len(wishes_told(supervisor, container)) == 1
    assert len(supervisor.changes("host")) == before


@pytest.mark.parametrize("kind", ["netns", "runc", "host"])
def test_granted_to_who_drops(lab, supervisor, host, kind):
    """Twice what the socket has, as more is not known to be needed. At the end of the container it goes back."""
    container = host if kind == "host" else make(lab, kind, "drops")
    supervisor.ready(container.name)
    flooded = lab.keep(Flooded(container, 10**7))
    assert flooded.open() == START
    wait_for(lambda: host.sysctl(RMEM_MAX) == str(2 * START), 5, "the limit to be raised")
    supervisor.wait_for_log("host", RMEM_MAX, host)
    change = supervisor.changes("host", RMEM_MAX)[-1]
    assert (change["tuner"], change["scenario"]) == ("sock_buf", "datagrams_dropped")
    assert "asked for 10000000 bytes by SO_RCVBUF and got" in change["text"]
    assert host.sysctl("net.core.wmem_max") == str(START)
    told = next(text for about, text in learnt(supervisor, container).items() if about.startswith("port "))
    assert re.search(r"the host's limit granted \d+: \d+ datagrams were dropped", told)
    assert flooded.open() == 2 * START
    if kind == "host":
        return
    assert change["text"].endswith(f"; asked for by {container.name}")
    assert supervisor.changes(container.name, RMEM_MAX)[0]["to"] == str(2 * START)
    flooded.remove()
    container.clear(container.name)
    wait_for(lambda: host.sysctl(RMEM_MAX) == str(START), 10, "the limit to go back")
    supervisor.wait_for_log("host", RMEM_MAX, host)
    assert supervisor.changes("host", RMEM_MAX)[-1]["scenario"] == "not_needed"


def test_granted_in_full_and_dropping(lab, supervisor, host):
    """A socket that has what it asked for drops for other reasons than the limit."""
    container = make(lab, "netns", "full")
    supervisor.ready(container.name)
    before = supervisor.changes("host")
    flooded = lab.keep(Flooded(container, START))
    assert flooded.open() == START
    wait_for(lambda: container.counters("Udp")["RcvbufErrors"] > 1000, 5, "datagrams to be dropped")
    ask(container, socket.SO_SNDBUF, START + 1)      # the mark
    said(supervisor, container.name, f"asked for {START + 1} bytes")
    assert host.sysctl(RMEM_MAX) == str(START) and supervisor.changes("host") == before
    assert not learnt(supervisor, container)


@pytest.mark.usefixtures("supervisor")
def test_long_options_pass():
    """A setsockopt(2) of more than a page works as without us: the kernel hands programs one page of it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as long:
        # IP_MSFILTER of 2000 sources: refused for the address, not for its length (EFAULT)
        group = socket.inet_aton("239.1.1.1") + socket.inet_aton("0.0.0.0") + (1).to_bytes(4, sys.byteorder)
        value = group + (4).to_bytes(4, sys.byteorder) + b"\0" * 16 + b"\0" * 8000
        with pytest.raises(OSError) as without:
            long.setsockopt(socket.IPPROTO_IP, 41, value[:36])
        with pytest.raises(OSError) as info:
            long.setsockopt(socket.IPPROTO_IP, 41, value)
    assert info.value.errno == without.value.errno


class Peer:
    def __init__(self, container, *words):
        self.process = subprocess.Popen(container.command(sys.executable, "-c", PEER, *map(str, words)),
                                        text=True, stdout=subprocess.PIPE)

    def remove(self):
        self.process.terminate()
        self.process.communicate(timeout=10 * SLOWNESS)


def begin(lab, ends, sends, option, pause=0, late=""):
    """Data from the listener or the client, whose buffer of that kind is fixed at 32 KiB; a pause after each read, in
    seconds. Gives whose it is."""
    fixed = (ends.listener if sends == "listener" else ends.client) if option == socket.SO_SNDBUF else \
        (ends.client if sends == "listener" else ends.listener)

    def start(container, role):
        return lab.keep(Peer(container, role, ends.address, option, 32768 if fixed is container else 0, pause))
    serving = start(ends.listener, ("listen,send" if sends == "listener" else "listen") + late)
    assert serving.process.stdout.readline() == "listens\n"
    ends.peers = serving, start(ends.client, ("send" if sends == "client" else "take") + late)
    return fixed


CASES = {f"{direction}{''.join(more.values())}-{sends}": (direction, option, more, sends, "")
         for direction, option, more in (("send", socket.SO_SNDBUF, {}), ("send", socket.SO_SNDBUF, {CONGESTION: "reno"}),
                                         ("receive", socket.SO_RCVBUF, {}))
         for sends in ("client", "listener")}
CASES["receive-accepted"] = "receive", socket.SO_RCVBUF, {}, "client", ",late"


def test_granted_to_a_sender_that_waits(lab, supervisor, host):
    """A TCP sender's buffer that the limit has cut: the limit becomes what the path needs, not all that was asked for."""
    wmem_max = "net.core.wmem_max"
    sysctl_path(wmem_max).write_text("32768")
    supervisor.give_back("host")
    client, listener = (make(lab, "netns", what, AMPLE) for what in ("client", "listener"))
    path = lab.path(client, listener, number())
    supervisor.ready(client.name, listener.name)
    address = f"10.199.{path.number}.2"
    serving = lab.keep(Peer(listener, "listen", address, socket.SO_SNDBUF, 0, 0))
    assert serving.process.stdout.readline() == "listens\n"
    lab.keep(Peer(client, "send", address, socket.SO_SNDBUF, 10**8, 0))
    wait_for(lambda: int(host.sysctl(wmem_max)) > 32768, 15, "the limit to be raised")
    supervisor.wait_for_log("host", wmem_max, host)
    change = supervisor.changes("host", wmem_max)[-1]
    assert change["scenario"] == "send_buffer_fixed" and change["text"].endswith(f"; asked for by {client.name}")
    assert int(host.sysctl(wmem_max)) <= 4 * 32768 and host.sysctl(RMEM_MAX) == str(START)
    assert "the host's limit cut it" in next(iter(learnt(supervisor, client).values()))


@pytest.fixture(scope="module")
def flows(shared, supervisor):
    """One for each test, all at once, as it takes seconds to tell what holds one back: the ends, and whose buffer is fixed."""
    paths = itertools.count(1)

    def make_ends(more=None):
        client, listener = (make(shared, "netns", what, {**AMPLE, **(more or {})}) for what in ("client", "listener"))
        path = shared.path(client, listener, next(paths))
        return SimpleNamespace(client=client, listener=listener, path=path, address=f"10.199.{path.number}.2")
    flows = {case: make_ends(more) for case, (_, _, more, *_) in CASES.items()}
    flows.update(slow_reader=make_ends(), tiny=make_ends())
    supervisor.ready(*(end.name for ends in flows.values() for end in (ends.client, ends.listener)))
    for case, (_, option, _, sends, late) in CASES.items():
        flows[case].fixed = begin(shared, flows[case], sends, option, late=late)
    begin(shared, flows["slow_reader"], "client", socket.SO_RCVBUF, pause=0.1)
    flows["slow_reader"].since = time.monotonic()
    flows["tiny"].flow = flows["tiny"].path.start(3, "-w", "128K", "-b", "1M")
    return flows


@pytest.mark.parametrize("case", CASES)
def test_fixed_size_is_reported(supervisor, flows, case):
    """Where it is fixed, for its port and command, with what was measured; the limits and the socket stay.

    How much of a sender's wait the kernel accounts depends on the congestion control's pacing.
    """
    direction, ends, fixed = CASES[case][0], flows[case], flows[case].fixed
    other = ends.listener if fixed is ends.client else ends.client
    about = f"{'to ' if fixed is ends.client else ''}port 5300 (python3)"
    text = wait_for(lambda: next((text for about_it, text in learnt(supervisor, fixed).items()
                                  if about_it.startswith(about[:-2])), None), 15, "it to be told")
    assert f"the application fixed its {direction} buffer at 65536 bytes" in text
    assert "asked for 32768)" in text and "remove the setsockopt" in text
    assert int(re.search(r"the path needs at least (\d+) KiB: remove", text)[1]) > 64
    record = said(supervisor, fixed.name, "the application fixed")
    assert (record["tuner"], record["container"]) == ("sock_buf", fixed.name)
    assert not learnt(supervisor, other)
    assert not supervisor.changes(ends.client.name) + supervisor.changes(ends.listener.name)


def test_tiny_flow(supervisor, flows):
    """A fixed size that does not hold the flow back is nobody's concern."""
    ends = flows["tiny"]
    assert ends.flow.finish()
    assert not learnt(supervisor, ends.client) and not learnt(supervisor, ends.listener)


def test_slow_reader(supervisor, flows):
    """It takes a window at once, but not in each round trip: its buffer holds nothing back."""
    ends = flows["slow_reader"]
    time.sleep(max(0, ends.since + 2.5 - time.monotonic()))     # as long as it takes to tell of one that is held back
    assert [peer.process.poll() for peer in ends.peers] == [None, None]
    assert not learnt(supervisor, ends.client) and not learnt(supervisor, ends.listener)
