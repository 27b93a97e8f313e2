# SPDX-License-Identifier: GPL-2.0-or-later
"""UDP sockets that lose datagrams in bursts get a larger receive buffer, by port, where that helps and no application has chosen a
size; and udp_mem, the machine's, rises when UDP is refused memory."""
import contextlib
import itertools
import json
import re
import socket

import pytest

from crowd import Cgroup, Sleeper
from flooded import Flooded
from lab import Host, cgroup2_mounts, kept_sysctls, only, run, said, sysctl_path, wait_for
from trouble_udp import PORT, PROGRAM, UDP_MEM, Program, Trouble, size_of

HOSTS = "net.core.rmem_default", "net.core.rmem_max"
DEFAULT = int(sysctl_path(HOSTS[0]).read_text())
MOST = 2 * int(sysctl_path(HOSTS[1]).read_text())
STEP = min(4 * DEFAULT, MOST)

numbers = itertools.count()


@pytest.fixture(scope="module")
def supervisor(shared):
    supervisor = shared.supervisor(tuners=only("udp"))
    supervisor.ready("host")
    return supervisor


@pytest.fixture
def make(lab, supervisor):
    """A trouble in a container of its own, which goes on."""
    def make_trouble(**options):
        trouble = Trouble(lab, f"bt-udp{next(numbers)}", **options)
        supervisor.ready(trouble.container.name)
        trouble.start()
        return trouble
    return make_trouble


def learnt(supervisor, container):
    return {row["about"]: row["text"] for row in supervisor.instance(container.name)["learnt"] if row["tuner"] == "udp"}


def decided(supervisor, trouble, text, deadline=20):
    """Waits until the tuner says so of the port; gives all that it says."""
    return wait_for(lambda: (now := learnt(supervisor, trouble.container).get(f"port {trouble.port}", "")) and text in now and now,
                    deadline, f"the tuner to say: {text}")


def share(trouble, bursts=10):
    """Of what was sent, from now on, the share that is dropped."""
    dropped, read = trouble.counts()
    wait_for(lambda: sum(trouble.counts()) - dropped - read >= bursts * trouble.burst, 20, "the bursts to be sent")
    dropped, read = (now - then for now, then in zip(trouble.counts(), (dropped, read)))
    return dropped / (dropped + read)


def of_hosts():
    return [Host().sysctl(name) for name in (*HOSTS, UDP_MEM)]


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
def test_socket_in_use(lab, family):
    """A reader that asks for the sender's address is enlarged where it waits, and loses no more; no other is, nor a limit."""
    if family == socket.AF_INET6 and not tells_of_ipv6():
        pytest.skip("this kernel does not tell of IPv6")
    supervisor = lab.supervisor(tuners=only("udp"))     # which has attached no program for a while yet
    supervisor.ready("host")
    trouble = Trouble(lab, f"bt-udp{next(numbers)}", family=family)
    other = Trouble(lab, f"bt-udp{next(numbers)}", family=family, burst=10)
    supervisor.ready(trouble.container.name, other.container.name)
    before = of_hosts()
    other.start()
    trouble.start()
    without = share(trouble, bursts=2)
    wait_for(lambda: trouble.size() == STEP, 20, "the socket to be enlarged")
    with_it = share(trouble)
    print(f"dropped: {without:.3f} of what was sent, with {STEP} bytes {with_it:.3f}")
    assert without > 0.2 and with_it <= without / 20
    assert "was full: sockets get" in said(supervisor, trouble.container.name, f"port {PORT}")["text"]
    decided(supervisor, trouble, "helps: ")
    assert other.size() == DEFAULT and of_hosts() == before
    assert not learnt(supervisor, other.container) and not supervisor.changes("host")


def test_attached_for_a_while(lab):
    """The programs at each datagram received are attached when something is decided, and not for long; those at bind stay."""
    supervisor = lab.supervisor(tuners=only("udp"))
    supervisor.ready("host")
    trouble = Trouble(lab, f"bt-udp{next(numbers)}", how="recv")
    supervisor.ready(trouble.container.name)
    assert not attached()
    trouble.start()
    wait_for(lambda: attached() == BIND | RECVMSG, 20, "the programs to be attached")
    wait_for(lambda: attached() == BIND, 15, "those at each datagram to be detached")


BIND, RECVMSG = {"udp_bind4", "udp_bind6"}, {"udp_recvmsg4", "udp_recvmsg6"}


def attached():
    """Of these, what is on the root of cgroup2."""
    programs = json.loads(run("bpftool", "-j", "cgroup", "show", cgroup2_mounts()[-1]).stdout or "[]")
    return {program["name"] for program in programs} & (BIND | RECVMSG)


def tells_of_ipv6():
    """raw_tp/udp_fail_queue_rcv_skb tells of IPv6 since the tracepoint has the datagram as an argument, from 6.9 on."""
    text = sysctl_path("kernel.osrelease").read_text()
    return tuple(map(int, re.match(r"(\d+)\.(\d+)", text).groups())) >= (6, 9)


# Sockets that ask for more than they get, and end; then others, which ask for nothing, at the same places in the kernel's memory. All
# are on one PORT, and nobody reads.
OTHERS = """
import socket, sys, time
port, count = map(int, sys.argv[1:])
asking = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(count)]
for each in asking:
    each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 26)
for each in asking:
    each.close()
time.sleep(0.2)
others = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(count)]
for each in others:
    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    each.bind(("127.0.0.1", port))
print("bound", flush=True)
for _ in range(40):
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        for _ in range(1000):
            sender.sendto(bytes(1000), ("127.0.0.1", port))
sys.stdin.read()
"""


def test_is_not_taken_for_a_wish(lab):
    """sock_buf tells of who has asked for more, not of a socket that has its size from udp."""
    supervisor = lab.supervisor(tuners=only("udp", "sock_buf"))
    supervisor.ready("host")
    trouble = Trouble(lab, f"bt-udp{next(numbers)}", how="recv")
    supervisor.ready(trouble.container.name)
    trouble.start()
    decided(supervisor, trouble, "was full: sockets get")
    trouble.stop()

    def dropping():
        rows = supervisor.instance(trouble.container.name)["learnt"]
        return [row["about"] for row in rows if row["tuner"] == "sock_buf" and "datagrams were dropped" in row["text"]]
    supervisor.cli("off", "host", "sock_buf")      # the limit is to stay
    dropped = trouble.counts()[0]
    lab.keep(Program(trouble.container, OTHERS, PORT, 400))
    wait_for(lambda: trouble.counts()[0] > dropped + 10000, 20, "datagrams to be dropped")
    assert not dropping()
    with contextlib.ExitStack() as stack:
        flooded = Flooded(trouble.container, 1 << 26)
        stack.callback(flooded.remove)
        flooded.open()      # the mark that all before it have been seen
        wait_for(dropping, 10, "a real wish to be told")
    assert f"port {PORT} (python3)" not in dropping()
    supervisor.cli("on", "host", "sock_buf")


def test_next_bind(supervisor, make):
    """For a reader that does not ask for the address the kernel runs no program: it gets the size when it is started again."""
    trouble = make(how="recv")
    decided(supervisor, trouble, "was full: sockets get")
    assert trouble.size() == DEFAULT
    trouble.start()
    assert trouble.size() == STEP
    assert share(trouble) < 0.02
    decided(supervisor, trouble, "helps: ")
    trouble.start(DEFAULT // 4)        # SO_RCVBUF is the application's word
    assert trouble.size() == 2 * (DEFAULT // 4)


def test_own_size_is_left_alone(supervisor, make):
    """Also a small one, which loses as much."""
    trouble = make(how="recv")
    trouble.start(DEFAULT // 4)
    told = learnt(supervisor, trouble.container)
    assert share(trouble, bursts=20) > 0.2
    assert trouble.size() == 2 * (DEFAULT // 4) and learnt(supervisor, trouble.container) == told


def test_slow_reader(supervisor, make):
    """No buffer helps: the next socket has the kernel's size again."""
    trouble = make(how="recv", burst=100, reads=20, nap=0.05)
    decided(supervisor, trouble, "was full: sockets get")
    trouble.start()
    decided(supervisor, trouble, "the reader is too slow")
    said(supervisor, trouble.container.name, "as a larger one was of no use")


def test_off(supervisor, make):
    """What was decided is without effect while the tuner is off."""
    trouble = make(how="recv")
    decided(supervisor, trouble, "was full: sockets get")
    supervisor.cli("off", trouble.container.name, "udp")
    trouble.start()
    assert trouble.size() == DEFAULT
    supervisor.cli("on", trouble.container.name, "udp")
    trouble.start()
    assert trouble.size() == STEP


def test_another_worker_and_supervisor(lab, make, supervisor):
    """What was decided holds on."""
    trouble = make(how="recv")
    decided(supervisor, trouble, "was full: sockets get")
    supervisor.kill()
    supervisor.start()
    supervisor.ready("host", trouble.container.name)
    decided(supervisor, trouble, "as was decided before")
    trouble.start()
    assert trouble.size() == STEP


class Sharer(Host):
    """A container in the host's namespace: what it runs is in its cgroup."""
    name = "5b" * 32

    def __init__(self, lab):
        cgroup = lab.keep(Cgroup(f"/bt-udp/docker-{self.name}.scope"))
        lab.keep(Sleeper(cgroup, netns=Host.netns))
        self.procs = cgroup.directory / "cgroup.procs"

    def command(self, *words):
        return "sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self.procs), *words


def test_container_in_the_hosts_namespace(lab, supervisor):
    """It is told of in its own log, and its sockets get the size; the host's on the same port do not."""
    sharer = Sharer(lab)
    supervisor.ready(sharer.name)
    words = PROGRAM, int(socket.AF_INET), PORT, "recv", 150, 1000000, 0.1
    program = lab.keep(Program(sharer, *words))
    wait_for(lambda: "was full: sockets get" in learnt(supervisor, sharer).get(f"port {PORT}", ""), 20, "a size to be decided on")
    program.remove()
    assert not learnt(supervisor, Host())
    for place, size in (sharer, STEP), (Host(), DEFAULT):
        program = lab.keep(Program(place, *words))
        assert size_of(Host(), PORT) == size
        program.remove()


# --- who makes the trouble on purpose -----------------------------------------------------------------

def test_many_ports(lab, supervisor):
    """A container has sizes for sixteen ports."""
    container = lab.container("netns", f"bt-udp{next(numbers)}")
    supervisor.ready(container.name)
    for port in range(PORT, PORT + 20):
        lab.keep(Program(container, PROGRAM, int(socket.AF_INET), port, "recv", 150, 1000000, 0.3))

    def sized():
        return [about for about, text in learnt(supervisor, container).items() if "was full: sockets get" in text]
    wait_for(lambda: len(sized()) >= 16, 30, "sixteen ports to have a size")
    assert len(sized()) == 16


# --- udp_mem ------------------------------------------------------------------------------------------

# So many sockets with large buffers that nobody reads from: SOCKETS. Datagrams come without end.
FULL = """
import socket, sys, time
SO_RCVBUFFORCE = 33
sockets = []
for _ in range(int(sys.argv[1])):
    sockets.append(socket.socket(type=socket.SOCK_DGRAM))
    sockets[-1].setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20)
    sockets[-1].bind(("127.0.0.1", 0))
sender = socket.socket(type=socket.SOCK_DGRAM)
print("sends", flush=True)
while True:
    for each in sockets:
        for _ in range(20):
            try:
                sender.sendto(bytes(1000), each.getsockname())
            except OSError:
                pass
    time.sleep(0.01)
"""
SMALL = "1024 2048 3072"    # pages


@contextlib.contextmanager
def small(supervisor):
    with kept_sysctls((UDP_MEM,)):
        sysctl_path(UDP_MEM).write_text(SMALL)
        supervisor.give_back("host")
        yield


def fill(lab, container, sockets=12):
    return lab.keep(Program(container, FULL, sockets))


def low():
    return int(Host().sysctl(UDP_MEM).split()[0])


def test_memory(lab, supervisor):
    """It rises to what is used, for who asks, and goes back with the container."""
    container = lab.container("netns", f"bt-udp{next(numbers)}")
    supervisor.ready(container.name)
    told = len(supervisor.changes("host", UDP_MEM))
    with small(supervisor):
        program = fill(lab, container)
        wait_for(lambda: low() >= 4096, 10, "udp_mem to rise")      # 12 sockets of 2 MiB are 6,144 pages
        supervisor.wait_for_log("host", UDP_MEM, Host())
        changes = supervisor.changes("host", UDP_MEM)[told:]
        assert len(changes) <= 6 and changes[0]["from"] == SMALL and changes[0]["scenario"] == "memory_full"
        assert changes[0]["text"].endswith(f"; asked for by {container.name}")
        assert supervisor.changes(container.name, UDP_MEM)[0]["to"] == changes[0]["to"]
        program.remove()
        container.clear(container.name)
        wait_for(lambda: Host().sysctl(UDP_MEM) == SMALL, 15, "udp_mem to go back")
        supervisor.wait_for_log("host", UDP_MEM, Host())


def test_an_administrators_memory_stays(lab, supervisor):
    container = lab.container("netns", f"bt-udp{next(numbers)}")
    supervisor.ready(container.name)
    with small(supervisor):
        fill(lab, container)
        wait_for(lambda: low() >= 4096, 10, "udp_mem to rise")
        theirs = "1500 2500 3500"
        Host().write(UDP_MEM, theirs)
        wait_for(lambda: supervisor.is_manual("host", "udp"), 5, "the tuner to step aside")
        sent = container.counters("Udp")["OutDatagrams"]
        wait_for(lambda: container.counters("Udp")["OutDatagrams"] >= sent + 5000, 20, "more to be sent, and refused")
        assert Host().sysctl(UDP_MEM) == theirs
    supervisor.give_back("host")


def test_rollback_of_memory(lab, supervisor):
    container = lab.container("netns", f"bt-udp{next(numbers)}")
    supervisor.ready(container.name)
    with small(supervisor):
        program = fill(lab, container)
        wait_for(lambda: low() >= 4096, 10, "udp_mem to rise")
        program.remove()
        supervisor.rollback("host")
        assert Host().sysctl(UDP_MEM) == SMALL
