# SPDX-License-Identifier: GPL-2.0-or-later
"""New connections start where past ones to the same remote and service ended, in the same container, until one loses."""
import contextlib
import os
import signal
from types import SimpleNamespace

import pytest

from crowd import Container, Rootfs
from lab import AMPLE, KINDS, Host, number, only, run, wait_for
from transfer import Server, transfers

KIB = 1024
PORT, OTHER_PORT = 5001, 5002

pytestmark = pytest.mark.lanes(4)


def use_mtu(path, mtu):
    for end in path.near, path.far:
        run("nsenter", f"--net={end.netns}", "ip", "link", "set", f"path{path.number}", "mtu", mtu)


def learnt(supervisor, container):
    """What its status shows, by what it is about."""
    instance = supervisor.instance(container.name)      # which may not have its name yet
    return {row["about"]: row["text"] for row in instance["learnt"] if row["tuner"] == "tcp_init"} if instance else {}


def wait_until_learnt(supervisor, container, about, what="starts with "):
    return wait_for(lambda: what in learnt(supervisor, container).get(about, "") and learnt(supervisor, container)[about],
                    3, f"{container.name} to have learnt of {about}: {what}")


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
    """A container that nobody knows anything of, with a long path to the far end."""
    return join(lab, lab.container("netns", f"bt-near{number()}"), world.far)


def teach(world, container, port=PORT, address=None):
    """Lets a connection of the kernel's own window go first; what came of it."""
    address = address or container.far_address
    assert transfers(container, address, port, "u", 1024 * KIB)[0]["cwnd"] == 10
    return wait_until_learnt(world.supervisor, container, f"{address} port {port}")


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
    with lossy_port(far, near):
        transfers(near, near.far_address, PORT, "u", 512 * KIB)
    wait_until_learnt(supervisor, near, f"{near.far_address} port {PORT}", "starts as the kernel has it")
    wait_for(lambda: kept(supervisor) > lines, 12, "the loss to be kept")
    worker = supervisor.instance(near.name)["worker"]["pid"]
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: supervisor.instance(near.name)["worker"]["restarts"], 5, "the end of the worker")
    supervisor.ready(near.name)
    transfers(near, near.far_address, OTHER_PORT, "u", 1024 * KIB)
    teach(world, near, address=f"{near.network}.3")    # by now that has been looked at
    assert transfers(near, near.far_address, OTHER_PORT, "u", KIB)[0]["cwnd"] == 10


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
    assert f"      tcp_init: {address} port {PORT}: starts with " in world.supervisor.cli("status", container.name).stdout
    assert not learnt(world.supervisor, world.bystander)


def test_at_most_64_segments(world, near):
    """However much more than that was reached, and again."""
    given = [one["cwnd"] for one in transfers(near, near.far_address, PORT, "u", 4096 * KIB, 6)]
    assert given == sorted(given) and given[-1] == 64


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
    assert {one["cwnd"] for one in transfers(near, f"10.198.{net}.2", PORT, "u", 1024 * KIB, 4)} == {10}
    teach(world, near)
    assert list(learnt(world.supervisor, near)) == [f"{near.far_address} port {PORT}"]


def test_server(lab, world, near):
    """What is accepted is known by the local port."""
    lab.keep(Server(near, 8080))
    first = transfers(world.far, near.address, 8080, "d", 1024 * KIB)[0]
    assert first["cwnd"] == 10
    text = wait_until_learnt(world.supervisor, near, f"{near.far_address} port 8080")
    assert transfers(world.far, near.address, 8080, "d", 100 * KIB)[0]["cwnd"] == starts_with(text) > 10


def test_server_on_an_ephemeral_port(lab, world, near):
    """Such ports are nobody's service: they are one."""
    for port in 40001, 40002:
        lab.keep(Server(near, port))
    assert transfers(world.far, near.address, 40001, "d", 1024 * KIB)[0]["cwnd"] == 10
    text = wait_until_learnt(world.supervisor, near, near.far_address)
    assert transfers(world.far, near.address, 40002, "d", 100 * KIB)[0]["cwnd"] == starts_with(text) > 10


@pytest.mark.last
def test_initial_receive_window(lab, world, near):
    """A server that takes in much offers more than the 64 KiB of a SYN, at once. Linux 6.1 cannot, 6.12 can."""
    lab.keep(Server(near, 8080, "::"))      # and an IPv6 socket that speaks IPv4
    assert transfers(world.far, near.address, 8080, "r", 2048 * KIB)[0]["room"] <= 64 * KIB
    text = wait_until_learnt(world.supervisor, near, f"{near.far_address} port 8080", " and room for ")
    segments = int(text.partition(" and room for ")[2].split(",")[0])
    assert 48 <= segments <= 64
    after = transfers(world.far, near.address, 8080, "r", 2048 * KIB)[0]
    assert after["room"] == pytest.approx(segments * 1448, rel=0.02)


def test_ipv6_by_network(lab, world, near):
    """64 bits of an IPv6 address are one remote."""
    for container, address in (near, "1"), (world.far, "2"), (world.far, "3"), (world.far, "1:0:0:0:4"):
        run(*container.command("ip", "addr", "add", f"2001:db8::{address}/{48 if ':' in address else 56}", "dev", near.device,
                               "nodad"))
    run(*near.command("ip", "route", "add", "2001:db8::/48", "dev", near.device))
    assert transfers(near, "2001:db8::2", PORT, "u", 1024 * KIB)[0]["cwnd"] == 10
    text = wait_until_learnt(world.supervisor, near, f"2001:db8::/64 port {PORT}")
    assert transfers(near, "2001:db8::3", PORT, "u", KIB)[0]["cwnd"] == starts_with(text)
    assert transfers(near, "2001:db8::1:0:0:0:4", PORT, "u", KIB)[0]["cwnd"] == 10


@contextlib.contextmanager
def lossy_port(far, near):
    """One segment in twenty from near to PORT gets lost; handshakes are spared."""
    nft, table = far.command("nft"), f"ip lossy-{near.device}"
    run(*nft, f"add table {table}")
    try:
        run(*nft, f"add chain {table} input {{ type filter hook input priority 0; }}")
        run(*nft, f"add rule {table} input tcp dport {PORT} tcp flags & syn == 0 ip daddr {near.far_address} "
            "numgen random mod 20 == 0 drop")
        yield
    finally:
        run(*nft, f"delete table {table}")


def test_never_after_loss(world, near):
    """One connection that loses ends it for every service on its path, and for no other path."""
    run(*world.far.command("ip", "addr", "add", f"{near.network}.3/24", "dev", near.device))
    for port, host in (PORT, 2), (OTHER_PORT, 2), (PORT, 3):
        teach(world, near, port, f"{near.network}.{host}")
    with lossy_port(world.far, near):
        transfers(near, near.far_address, PORT, "u", 512 * KIB)
    for port in PORT, OTHER_PORT:
        wait_until_learnt(world.supervisor, near, f"{near.far_address} port {port}", "starts as the kernel has it")
        assert transfers(near, near.far_address, port, "u", 100 * KIB)[0]["cwnd"] == 10
        assert transfers(near, near.far_address, port, "u", 100 * KIB)[0]["cwnd"] == 10     # nor does that one teach
    assert transfers(near, f"{near.network}.3", PORT, "u", KIB)[0]["cwnd"] > 10


def test_loss_where_nothing_was_learnt(world, near):
    """It is no decision: neither told nor logged. The path is known to lose all the same."""
    run(*world.far.command("ip", "addr", "add", f"{near.network}.3/24", "dev", near.device))
    with lossy_port(world.far, near):
        for _ in range(3):
            transfers(near, near.far_address, PORT, "u", 512 * KIB)
    assert transfers(near, near.far_address, OTHER_PORT, "u", 1024 * KIB)[0]["cwnd"] == 10
    teach(world, near, address=f"{near.network}.3")    # by now those have been looked at
    assert list(learnt(world.supervisor, near)) == [f"{near.network}.3 port {PORT}"]
    assert not [r for r in world.supervisor.log(near.name) if "starts as the kernel has it" in r["text"]]


def test_route_with_a_window_of_its_own(world, near):
    """An administrator's choice is left alone, and is not learnt from."""
    teach(world, near)
    run(*near.command("ip", "route", "change", f"{near.network}.0/24", "dev", near.device, "initcwnd", "20"))
    assert transfers(near, near.far_address, PORT, "u", KIB)[0]["cwnd"] == 20
    assert transfers(near, near.far_address, OTHER_PORT, "u", 1024 * KIB)[0]["cwnd"] == 20
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
