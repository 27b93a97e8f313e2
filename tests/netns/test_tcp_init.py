# SPDX-License-Identifier: GPL-2.0-or-later
"""New connections start where past ones to the same remote and service ended, in the same container, until one loses."""
import contextlib
import os
import signal
import sys
from types import SimpleNamespace

import pytest

from crowd import Container, Rootfs
from lab import AMPLE, KINDS, Host, number, only, run, wait_for
from transfer import Server, transfers

KIB = 1024
PORT, OTHER_PORT = 5001, 5002
UNLIMITED = 2 ** 64 - 1

pytestmark = pytest.mark.lanes(4)


def use_mtu(path, mtu):
    for end in path.near, path.far:
        run("nsenter", f"--net={end.netns}", "ip", "link", "set", f"path{path.number}", "mtu", mtu)


def learnt(supervisor, container):
    """What its status shows, by what it is about."""
    instance = supervisor.instance(container.name)      # which may not have its name yet
    return {row["about"]: row["text"] for row in instance["learnt"] if row["tuner"] == "tcp_init"} if instance else {}


def wait_until_learnt(supervisor, container, about, what="starts with ", deadline=3):
    return wait_for(lambda: what in learnt(supervisor, container).get(about, "") and learnt(supervisor, container)[about],
                    deadline, f"{container.name} to have learnt of {about}: {what}")


def starts_with(text):
    return int(text.removeprefix("starts with ").split()[0])


@pytest.fixture(scope="module")
def world(shared):
    """The far end, which serves on two ports, and a supervisor."""
    far = shared.container("netns", "bt-far", AMPLE)
    bystander = shared.container("netns", "bt-bystander", AMPLE)
    supervisor = shared.supervisor(tuners=only("tcp_init"))
    supervisor.ready("host")
    for port in PORT, OTHER_PORT:
        shared.keep(Server(far, port, "::"))
    return SimpleNamespace(far=far, supervisor=supervisor, bystander=bystander)


def join(lab, container, far):
    """Gives it a path to the far end, of ordinary frames, and 20 ms there and back."""
    path = lab.path(container, far, number(), delay_ms=10)
    use_mtu(path, 1500)
    container.network, container.device = f"10.199.{path.number}", f"path{path.number}"
    container.address, container.far_address = f"{container.network}.1", f"{container.network}.2"
    return container


@pytest.fixture
def near(lab, world):
    """A container that nobody knows anything of, with a long path to the far end. Its worker is there: of what is told while it
    starts it hears the newest only.
    """
    container = join(lab, lab.container("netns", f"bt-near{number()}"), world.far)
    world.supervisor.ready(container.name)
    return container


def teach(world, container, port=PORT, address=None, about=None):
    """Lets three connections of the kernel's own window go first; what came of them."""
    world.supervisor.ready(container.name)
    address = address or container.far_address
    assert {one["cwnd"] for one in transfers(container, address, port, "u", 1024 * KIB, 3)} == {10}
    return learn(world, container, port, address, about or f"{address} port {port}")


def learn(world, container, port, address, about):
    return learn_of(world, container, about, lambda: transfers(container, address, port, "u", 1024 * KIB))


def learn_of(world, container, about, transfer, what="starts with "):
    """Waits for what came of some connections. Where the machine stands still a connection queues or loses, and teaches nothing:
    then some more go.
    """
    for _ in range(9):
        with contextlib.suppress(AssertionError):
            return wait_until_learnt(world.supervisor, container, about, what, deadline=1)
        transfer()
    return wait_until_learnt(world.supervisor, container, about, what)


@pytest.mark.alone
def test_dry_run(lab):
    """The first of all, before the others' supervisor is there, which tunes everybody."""
    near, far = (lab.container("netns", name) for name in ("bt-dry", "bt-dry-far"))
    join(lab, near, far)
    supervisor = lab.supervisor("--dry-run", tuners=only("tcp_init"))
    lab.keep(Server(far, PORT))
    world = SimpleNamespace(supervisor=supervisor)
    assert starts_with(teach(world, near)) > 10
    assert transfers(near, near.far_address, PORT, "u", 100 * KIB)[0]["cwnd"] == 10


def kept(supervisor):
    """What the ledger's file has of what the tuner remembers: a line each time."""
    return sum('"tcp_init"' in line for line in (supervisor.run_dir / "ledger").read_text().splitlines())


@pytest.mark.alone
def test_outlives_supervisor_and_worker(lab):
    """What a path carries is known after an end without notice, before anything is sent; and so is that it has lost."""
    near, far = lab.container("netns", "bt-kept", AMPLE), lab.container("netns", "bt-kept-far", AMPLE)
    join(lab, near, far)
    run(*far.command("ip", "addr", "add", f"{near.network}.3/24", "dev", near.device))
    supervisor = lab.supervisor(tuners=only("tcp_init"))
    supervisor.ready(near.name, far.name)
    world = SimpleNamespace(supervisor=supervisor, far=far)
    for port in PORT, OTHER_PORT:
        lab.keep(Server(far, port))
    before = starts_with(teach(world, near))
    wait_for(lambda: kept(supervisor), 5, "what was learnt to be kept")
    supervisor.kill()
    supervisor.start()
    supervisor.ready(near.name)
    assert starts_with(learnt(supervisor, near)[f"{near.far_address} port {PORT}"]) == before
    assert transfers(near, near.far_address, PORT, "u", KIB)[0]["cwnd"] == before > 10

    lines = kept(supervisor)
    with losing(far, near, EVERY_START):
        transfers(near, near.far_address, PORT, "u", 32 * KIB, 3)
    wait_until_learnt(supervisor, near, f"{near.far_address} port {PORT}", "starts as the kernel has it for ten minutes")
    wait_for(lambda: kept(supervisor) > lines, 12, "the loss to be kept")
    worker = supervisor.instance(near.name)["worker"]["pid"]
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: supervisor.instance(near.name)["worker"]["restarts"], 5, "the end of the worker")
    supervisor.ready(near.name)
    assert {one["cwnd"] for one in transfers(near, near.far_address, OTHER_PORT, "u", 512 * KIB, 4)} == {10}
    teach(world, near, address=f"{near.network}.3")    # by now those have been looked at
    assert transfers(near, near.far_address, OTHER_PORT, "u", KIB)[0]["cwnd"] == 10


def test_three_connections(world, near):
    """RFC 9959: what one connection has found out, or two, is no reason to start any other way."""
    address = near.far_address
    assert [one["cwnd"] for one in transfers(near, address, PORT, "u", 1024 * KIB, 2)] == [10, 10]
    teach(world, near, OTHER_PORT)      # by now those have been looked at
    assert list(learnt(world.supervisor, near)) == [f"{address} port {OTHER_PORT}"]
    assert transfers(near, address, PORT, "u", 1024 * KIB)[0]["cwnd"] == 10
    text = learn(world, near, PORT, address, f"{address} port {PORT}")
    assert "as the last of 3 connections reached" in text
    assert transfers(near, address, PORT, "u", KIB)[0]["cwnd"] == starts_with(text)


def test_each_service_for_itself(world, near):
    teach(world, near)
    assert transfers(near, near.far_address, OTHER_PORT, "u", KIB)[0]["cwnd"] == 10
    assert transfers(near, near.far_address, PORT, "u", KIB)[0]["cwnd"] > 10


@pytest.mark.parametrize("kind", KINDS)
def test_starts_where_the_last_one_ended(lab, world, kind):
    container = join(lab, lab.container(kind, f"bt-init-{kind}"), world.far)
    address = container.far_address
    before = transfers(container, address, OTHER_PORT, "u", 100 * KIB, 5)
    text = teach(world, container)
    after = transfers(container, address, PORT, "u", 100 * KIB, 5)

    assert before[0]["cwnd"] == 10
    assert after[0]["cwnd"] == starts_with(text)
    assert 24 <= starts_with(text) <= min(one["cwnd"] for one in after)
    assert max(one["cwnd"] for one in after) <= 64
    record = next(r for r in world.supervisor.log(container.name) if f"port {PORT}: starts with" in r["text"])
    assert (record["tuner"], record["container"]) == ("tcp_init", container.name)
    assert record["text"].startswith(f"{address} port {PORT}: starts with {starts_with(text)} segments, ")
    assert f"    * tcp_init: {address} port {PORT}: starts with " in world.supervisor.cli("status", container.name).stdout
    assert not learnt(world.supervisor, world.bystander)


def test_at_most_64_segments(world, near):
    """However much more than that was reached, and again."""
    given = [one["cwnd"] for one in transfers(near, near.far_address, PORT, "u", 4096 * KIB, 6)]
    while given[-1] < 64 and len(given) < 15:       # where the machine stands still, some teach nothing
        given += [one["cwnd"] for one in transfers(near, near.far_address, PORT, "u", 4096 * KIB)]
    assert given == sorted(given) and given[:3] == [10] * 3 and given[-1] == 64


def test_paced(world, near):
    """The window goes out within half a round trip; then the rate is the kernel's again."""
    plain = transfers(near, near.far_address, PORT, "u", KIB)[0]
    assert plain["rates"] == [UNLIMITED, UNLIMITED]
    teach(world, near)
    for size in KIB, 512 * KIB:
        one = transfers(near, near.far_address, PORT, "u", size)[0]
        assert one["cwnd"] > 10 and one["rates"][1] == UNLIMITED
        # The first round trip is at least what the path takes.
        assert 2 * one["cwnd"] * 1400 / 0.5 < one["rates"][0] <= 2 * one["cwnd"] * 1448 / 0.020


OWN_RATE = """
import socket, struct, sys, time
connection = socket.socket()
connection.setsockopt(socket.SOL_SOCKET, 47, 12345678)
connection.connect((sys.argv[1], int(sys.argv[2])))
window, = struct.unpack_from('I', connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 80)
connection.sendall(b'u 200000\\n' + bytes(200000))
connection.recv(4, socket.MSG_WAITALL)
print(window, connection.getsockopt(socket.SOL_SOCKET, 47))
"""


def test_rate_of_the_application(world, near):
    teach(world, near)
    words = near.command(sys.executable, "-c", OWN_RATE, near.far_address, str(PORT))
    window, rate = map(int, run(*words, timeout=60).stdout.split())
    assert window > 10 and rate == 12345678


def test_short_transfers_teach_nothing(world, near):
    """20 segments at most: the initial window and one more."""
    assert {one["cwnd"] for one in transfers(near, near.far_address, PORT, "u", 16 * KIB, 5)} == {10}
    teach(world, near, port=OTHER_PORT)     # by now those have been looked at
    assert list(learnt(world.supervisor, near)) == [f"{near.far_address} port {OTHER_PORT}"]


def test_short_path_teaches_nothing(lab, world, near):
    """Between containers of one host a round trip is not worth a thought."""
    net = number()
    run("ip", "link", "add", f"short{net}", "netns", near.name, "type", "veth", "peer", f"short{net}", "netns", world.far.name)
    for container, address in (near, 1), (world.far, 2):
        run(*container.command("ip", "addr", "add", f"10.198.{net}.{address}/24", "dev", f"short{net}"))
        run(*container.command("ip", "link", "set", f"short{net}", "up"))
    assert {one["cwnd"] for one in transfers(near, f"10.198.{net}.2", PORT, "u", 1024 * KIB, 5)} == {10}
    teach(world, near)
    assert list(learnt(world.supervisor, near)) == [f"{near.far_address} port {PORT}"]


@pytest.mark.parametrize("port", (8080, 50051))
def test_server(lab, world, near, port):
    """What is accepted is known by the listener's port, whatever the port."""
    for number_ in port, port + 1:
        lab.keep(Server(near, number_))
    assert {one["cwnd"] for one in transfers(world.far, near.address, port, "d", 1024 * KIB, 3)} == {10}
    text = learn_of(world, near, f"{near.far_address} port {port}",
                    lambda: transfers(world.far, near.address, port, "d", 1024 * KIB))
    assert transfers(world.far, near.address, port + 1, "d", 100 * KIB)[0]["cwnd"] == 10
    assert transfers(world.far, near.address, port, "d", 100 * KIB)[0]["cwnd"] == starts_with(text) > 10


def test_client_of_ephemeral_ports(lab, world, near):
    """Such ports of a remote are nobody's service: they are one. Which ports these are is the namespace's to say."""
    for port in 40001, 40002:
        lab.keep(Server(world.far, port))
    text = teach_ephemeral(world, near)
    assert transfers(near, near.far_address, 40002, "u", 100 * KIB)[0]["cwnd"] == starts_with(text) > 10
    near.write("net.ipv4.ip_local_port_range", "1024 40001")
    assert transfers(near, near.far_address, 40002, "u", KIB)[0]["cwnd"] == 10
    assert transfers(near, near.far_address, 40001, "u", KIB)[0]["cwnd"] == starts_with(text)


def teach_ephemeral(world, near):
    assert {one["cwnd"] for one in transfers(near, near.far_address, 40001, "u", 1024 * KIB, 3)} == {10}
    return learn(world, near, 40001, near.far_address, near.far_address)


def receive(world, near, count):
    """The far end sends; what room near offered each time."""
    return [one["room"] for one in transfers(world.far, near.address, 8080, "r", 1024 * KIB, count)]


def test_initial_receive_window(lab, world, near):
    """A server that takes in much offers more than the 64 KiB of a SYN, at once. A kernel that cannot (Linux 6.1) is not asked
    to for long.
    """
    about = f"{near.far_address} port 8080"
    lab.keep(Server(near, 8080, "::"))      # and an IPv6 socket that speaks IPv4
    assert max(receive(world, near, 3)) <= 64 * KIB
    text = learn_of(world, near, about, lambda: receive(world, near, 1), " and room for ")
    segments = int(text.partition(" and room for ")[2].split(",")[0])
    assert 48 <= segments <= 64
    after = receive(world, near, 1)[0]
    if after > 64 * KIB:
        assert after == pytest.approx(segments * 1448, rel=0.02)
    else:
        receive(world, near, 12)
        learn_of(world, near, about, lambda: receive(world, near, 1), "starts as the kernel has it")


def test_receive_window_is_never_smaller(lab, world, near):
    """Where the kernel offers more than what was learnt, it goes on to do so."""
    near.write("net.ipv4.tcp_rmem", "4096 1048576 6291456")
    lab.keep(Server(near, 8080))
    before = receive(world, near, 3)
    learn_of(world, near, f"{near.far_address} port 8080", lambda: receive(world, near, 1), " and room for ")
    assert min(receive(world, near, 2)) >= max(before)


def test_ipv6_by_network(lab, world, near):
    """64 bits of an IPv6 address are one remote."""
    for container, address in (near, "1"), (world.far, "2"), (world.far, "3"), (world.far, "1:0:0:0:4"):
        run(*container.command("ip", "addr", "add", f"2001:db8::{address}/{48 if ':' in address else 56}", "dev", near.device,
                               "nodad"))
    run(*near.command("ip", "route", "add", "2001:db8::/48", "dev", near.device))
    text = teach(world, near, address="2001:db8::2", about=f"2001:db8::/64 port {PORT}")
    assert transfers(near, "2001:db8::3", PORT, "u", KIB)[0]["cwnd"] == starts_with(text)
    assert transfers(near, "2001:db8::1:0:0:0:4", PORT, "u", KIB)[0]["cwnd"] == 10


EVERY_START = "numgen inc mod 7 == 3"   # one segment in seven
ONE = "numgen inc mod 100000 == {}"     # of all connections together, counted from 0: the end of the handshake


@contextlib.contextmanager
def losing(far, near, which):
    """Segments from near to PORT get lost; handshakes are spared."""
    nft, table = far.command("nft"), f"ip lossy-{near.device}"
    run(*nft, f"add table {table}")
    try:
        run(*nft, f"add chain {table} input {{ type filter hook input priority 0; }}")
        run(*nft, f"add rule {table} input tcp dport {PORT} tcp flags & syn == 0 ip daddr {near.far_address} {which} drop")
        yield
    finally:
        run(*nft, f"delete table {table}")


def test_window_that_loses(world, near):
    """A connection that loses segments of the window that it was given goes back to half of what arrived, and the next ones
    start as the kernel has it, until three of them have shown a window again.
    """
    near.write("net.ipv4.tcp_congestion_control", "reno")
    address, about = near.far_address, f"{near.far_address} port {PORT}"
    teach(world, near)
    with losing(world.far, near, ONE.format(20)):
        one = transfers(near, address, PORT, "u", 100 * KIB)[0]
    assert one["cwnd"] >= 52 and 10 <= one["ssthresh"] <= 24      # Reno's own is half of the window
    wait_until_learnt(world.supervisor, near, about, "starts as the kernel has it until 3 connections ")
    assert transfers(near, address, PORT, "u", KIB)[0]["cwnd"] == 10
    assert transfers(near, address, PORT, "u", KIB)[0]["cwnd"] == 10
    teach(world, near)
    assert transfers(near, address, PORT, "u", KIB)[0]["cwnd"] > 10


def test_retreat_ends(world, near):
    """The window grows again; where it is as large as the one that was given, the kernel goes on as it would."""
    near.write("net.ipv4.tcp_congestion_control", "reno")
    teach(world, near)
    with losing(world.far, near, ONE.format(20)):
        one = transfers(near, near.far_address, PORT, "u", 4096 * KIB)[0]
    assert one["cwnd"] >= 24 and one["ssthresh"] > one["cwnd"]


def test_loss_past_the_first_window(world, near):
    """A segment that a long transfer loses says nothing about how to start."""
    teach(world, near)
    with losing(world.far, near, ONE.format(200)):
        before = near.counters("Tcp")["RetransSegs"]
        assert transfers(near, near.far_address, PORT, "u", 512 * KIB)[0]["cwnd"] > 10
        assert near.counters("Tcp")["RetransSegs"] > before
    assert transfers(near, near.far_address, PORT, "u", KIB)[0]["cwnd"] > 10


def test_lossy_path(world, near):
    """Where connection after connection loses of its first window, every service on that path is held off, on no other path."""
    run(*world.far.command("ip", "addr", "add", f"{near.network}.3/24", "dev", near.device))
    for port, host in (PORT, 2), (OTHER_PORT, 2), (PORT, 3):
        teach(world, near, port, f"{near.network}.{host}")
    with losing(world.far, near, EVERY_START):
        transfers(near, near.far_address, PORT, "u", 32 * KIB, 3)
    for port in PORT, OTHER_PORT:
        wait_until_learnt(world.supervisor, near, f"{near.far_address} port {port}",
                          "starts as the kernel has it for ten minutes")
        # These do not teach.
        assert {one["cwnd"] for one in transfers(near, near.far_address, port, "u", 512 * KIB, 4)} == {10}
    assert transfers(near, f"{near.network}.3", PORT, "u", KIB)[0]["cwnd"] > 10


def test_loss_where_nothing_was_learnt(world, near):
    """It is no decision: neither told nor logged. The path is known to lose all the same."""
    run(*world.far.command("ip", "addr", "add", f"{near.network}.3/24", "dev", near.device))
    with losing(world.far, near, EVERY_START):
        transfers(near, near.far_address, PORT, "u", 32 * KIB, 3)
    assert {one["cwnd"] for one in transfers(near, near.far_address, OTHER_PORT, "u", 512 * KIB, 4)} == {10}
    teach(world, near, address=f"{near.network}.3")    # by now those have been looked at
    assert list(learnt(world.supervisor, near)) == [f"{near.network}.3 port {PORT}"]
    assert not [r for r in world.supervisor.log(near.name) if "starts as the kernel has it" in r["text"]]


def test_route_with_a_window_of_its_own(world, near):
    """An administrator's choice is left alone, and is not learnt from."""
    teach(world, near)
    run(*near.command("ip", "route", "change", f"{near.network}.0/24", "dev", near.device, "initcwnd", "20"))
    assert transfers(near, near.far_address, PORT, "u", KIB)[0]["cwnd"] == 20
    assert {one["cwnd"] for one in transfers(near, near.far_address, OTHER_PORT, "u", 1024 * KIB, 4)} == {20}
    run(*near.command("ip", "route", "change", f"{near.network}.0/24", "dev", near.device))
    assert transfers(near, near.far_address, OTHER_PORT, "u", KIB)[0]["cwnd"] == 10
    assert transfers(near, near.far_address, PORT, "u", KIB)[0]["cwnd"] > 10


def test_pause_and_resume(world, near):
    teach(world, near)
    world.supervisor.rollback(near.name)
    assert transfers(near, near.far_address, PORT, "u", KIB)[0]["cwnd"] == 10
    world.supervisor.resume(near.name)
    assert transfers(near, near.far_address, PORT, "u", KIB)[0]["cwnd"] > 10


@pytest.mark.alone
def test_host_network(lab, world):
    """A container in the host's namespace and the host each learn for themselves."""
    container = lab.keep(Container(lab.keep(Rootfs()), "bt-hostnet", network="host"))
    world.supervisor.ready(container.name)
    host = join(lab, Host(), world.far)
    address = host.far_address
    text = teach(world, container, address=address)
    assert transfers(container, address, PORT, "u", KIB)[0]["cwnd"] == starts_with(text)
    assert f"{address} port {PORT}" not in learnt(world.supervisor, host)
    assert transfers(host, address, PORT, "u", KIB)[0]["cwnd"] == 10
