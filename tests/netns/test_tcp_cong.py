# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections to a remote host whose path loses segments get the congestion control that copes, and others do not.

The host's default may be bbr, and its cubic not allowed: these containers have reno for theirs, and bbr beside it.
"""
import json
from types import SimpleNamespace

import pytest

import cong
import transfer
from crowd import Container, Rootfs
from lab import CONGESTION, SLOWNESS, Host, number, only, run, said, sysctl_path, wait_for

RENO = {CONGESTION: "reno"}
ALLOWED = sysctl_path("net.ipv4.tcp_allowed_congestion_control")
PORT, CLEAN_PORT = 5301, 5302
# Bytes a second: far less than the path carries, so that nothing is lost where nothing is to be; and several times what
# reno gets with 4 % lost, but not all that the machine can do: then bbr would lose more than the path does.
SLOW, FAST = 2_500_000, 12_000_000

pytestmark = [pytest.mark.skipif(not {"reno", "bbr"} <= set(ALLOWED.read_text().split()),
                                 reason="needs reno and bbr among net.ipv4.tcp_allowed_congestion_control"),
              pytest.mark.lanes(4)]


def join(lab, container, far, drain, percent=4):
    """Gives it a path to the far end that loses so much. A connection is looked at once a second: by then it has lost
    enough to be judged by. The path is so long that a busy machine makes it no longer by an eighth."""
    path = lab.path(container, far, number(), delay_ms=10)
    container.address, container.device = f"10.199.{path.number}.2", f"path{path.number}"
    drain.loses(percent, container.address)
    return container


@pytest.mark.alone
def test_dry_run(lab):
    """The first of all, before the others' supervisor is there, which decides for everybody."""
    supervisor = lab.supervisor("--dry-run", tuners=only("tcp_cong"))
    near, far = lab.container("netns", "bt-dry", RENO), lab.container("netns", "bt-dry-far")
    join(lab, near, far, lab.keep(cong.Drain(far, PORT)))
    supervisor.ready(near.name)
    flow, text = lossy(supervisor, near, near.address, until="; bbr is tried")
    assert flow["last"] == "reno" and text.startswith("reno, ")
    assert said(supervisor, near.name, f"would decide: {near.address}: reno, ")
    assert cong.firsts(near, near.address, PORT, 5) == ["reno"] * 5


def keeps_bbr(supervisor):
    """The last bytes of what is kept of the one remote are its struct tcp_cong_verdict: is_bbr and three more."""
    rows = [line.split(" ", 1)[1] for line in (supervisor.run_dir / "ledger").read_text().splitlines() if '"memory"' in line]
    return rows and bytes.fromhex(json.loads(rows[-1])["data"])[-4] == 1


@pytest.mark.alone
def test_outlives_the_supervisor(lab):
    """What a remote is known for decides about connections after an end without notice, before anything is seen anew."""
    supervisor = lab.supervisor(tuners=only("tcp_cong"))
    near, far = lab.container("netns", "bt-kept", RENO), lab.container("netns", "bt-kept-far")
    join(lab, near, far, lab.keep(cong.Drain(far, PORT)))
    supervisor.ready(near.name)
    lossy(supervisor, near, near.address)
    wait_for(lambda: keeps_bbr(supervisor), 12, "what was learnt to be kept")
    supervisor.kill()
    supervisor.start()
    supervisor.ready(near.name)
    assert learnt(supervisor, near.name)[near.address].startswith("bbr, ")
    assert cong.firsts(near, near.address, PORT, 10).count("bbr") >= 5     # one in 32 is a trial of the default


@pytest.mark.alone
def test_default_from_before_the_start(lab):
    """One that is not the host's was written by somebody, and is final until it is resumed."""
    own = next(name for name in ("reno", "bbr") if name != sysctl_path(CONGESTION).read_text().strip())
    set_up, plain = lab.container("netns", "bt-set-up", {CONGESTION: own}), lab.container("netns", "bt-plain")
    supervisor = lab.supervisor(tuners=only("tcp_cong"))
    supervisor.ready(set_up.name, plain.name)
    assert supervisor.is_manual(set_up.name, "tcp_cong") == f"{CONGESTION} was set to {own} by somebody else"
    supervisor.resume(set_up.name)
    supervisor.kill()
    supervisor.start()
    supervisor.ready(set_up.name, plain.name)
    assert not supervisor.is_manual(set_up.name, "tcp_cong")
    assert not supervisor.is_manual(plain.name, "tcp_cong")


@pytest.fixture(scope="module")
def world(shared):
    """A far end, one port of which loses segments, and a container that nothing is about."""
    far, other = shared.container("netns", "bt-far"), shared.container("netns", "bt-other", RENO)
    drain, clean = shared.keep(cong.Drain(far, PORT)), shared.keep(cong.Drain(far, CLEAN_PORT))
    supervisor = shared.supervisor(tuners=only("tcp_cong"))
    supervisor.ready("host", other.name)
    return SimpleNamespace(far=far, other=other, drain=drain, clean=clean, supervisor=supervisor)


@pytest.fixture
def near(lab, world):
    """A container with a path to the far end, of which nobody knows anything."""
    container = lab.container("netns", f"bt-near{number()}", RENO)
    world.supervisor.ready(container.name)
    return join(lab, container, world.far, world.drain)


def learnt(supervisor, name):
    return {row["about"]: row["text"] for row in supervisor.instance(name)["learnt"] if row["tuner"] == "tcp_cong"}


def inside(container, *words):
    run(*container.command(*words))


def lossy(supervisor, container, address, about=None, until="bbr, ", own=""):
    """Sends until that is said of the remote; what the connection had, and what is said."""
    sender = cong.start(container, address, PORT, 60 * SLOWNESS, own=own, pace=FAST)
    def told():
        text = learnt(supervisor, container.name).get(about or address, "")
        return until in text and text
    text = wait_for(told, 20, f"'{until}' to be said of {address}")
    sender.terminate()
    return cong.finish(sender), text


def test_lossy_remote(world, near):
    """The established connection tries bbr, later ones start so, and the log says why. Others have no part in it."""
    other = world.other
    before = {container.name: container.sysctl(CONGESTION) for container in (near, other)}
    flow = cong.send(near, near.address, PORT, 30 * SLOWNESS, until="bbr", pace=FAST)
    assert (flow["first"], flow["last"]) == ("reno", "bbr")
    _, text = lossy(world.supervisor, near, near.address)
    assert text.startswith("bbr, ") and " % loss" in text and "→" in text
    record = said(world.supervisor, near.name, f"{near.address}: bbr, ")
    assert record["tuner"] == "tcp_cong" and record["container"] == near.name
    firsts = cong.firsts(near, near.address, PORT, 20)
    assert firsts.count("bbr") >= 14     # one in 32 is a trial of the default
    assert f"tcp_cong: {near.address}: bbr, " in world.supervisor.cli("status", near.name).stdout
    assert not learnt(world.supervisor, other.name)
    assert {c.name: c.sysctl(CONGESTION) for c in (near, other)} == before
    assert not world.supervisor.changes(near.name, CONGESTION)


def test_applications_choice_stands(world, near):
    flow, _ = lossy(world.supervisor, near, near.address, until="; bbr is tried", own="reno")
    flows = [flow, *(cong.send(near, near.address, PORT, 0.1, own="reno", pace=FAST) for _ in range(5))]
    assert {(flow["first"], flow["last"]) for flow in flows} == {("reno", "reno")}
    lossy(world.supervisor, near, near.address)
    flows = [cong.send(near, near.address, PORT, 0.1, own="reno", pace=FAST) for _ in range(5)]
    assert {(flow["first"], flow["last"]) for flow in flows} == {("reno", "reno")}


def test_trial_of_the_default_ends(world, near):
    """Where bbr is chosen, a long transfer that shows what the default gives goes on with bbr."""
    lossy(world.supervisor, near, near.address)
    flow = cong.send(near, near.address, PORT, 30 * SLOWNESS, usual="bbr", until="bbr", pace=FAST)
    assert (flow["first"], flow["last"]) == ("reno", "bbr")


def test_without_loss(lab, world):
    """A near remote that loses nothing: nothing is told, nothing learnt, nothing changed."""
    near, far = lab.container("netns", "bt-near", RENO), lab.container("netns", "bt-nearby")
    run("ip", "-n", near.name, "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", far.name)
    for container, device, last in (near, "near", 1), (far, "far", 2):
        inside(container, "ip", "address", "add", f"10.198.1.{last}/24", "dev", device)
        inside(container, "ip", "link", "set", device, "up")
    lab.keep(cong.Drain(far, PORT))
    lab.keep(cong.Drain(near, PORT))
    world.supervisor.ready(near.name)
    for seconds in 2, 0.1, 0.1:
        senders = [cong.start(near, address, PORT, seconds, pace=FAST) for address in ("10.198.1.2", "127.0.0.1", "::1")]
        for flow in map(cong.finish, senders):
            assert (flow["first"], flow["last"]) == ("reno", "reno")
    assert not learnt(world.supervisor, near.name)


def test_idle_connection_teaches_no_rate(world, near):
    """One that sends a little now and then, and is never looked at, says nothing of what the path can do."""
    transfer.paced(near, near.address, CLEAN_PORT, 100, 150, pause_s=0.01)
    assert not learnt(world.supervisor, near.name)
    cong.send(near, near.address, CLEAN_PORT, 2, pace=SLOW)
    wait_for(lambda: "Mbit/s" in learnt(world.supervisor, near.name).get(near.address, ""), 3, "a rate to be learnt")


def test_same_address_elsewhere(lab, world, near):
    """Another container's remote of the same address is another's."""
    another, farther = lab.container("netns", "bt-another", RENO), lab.container("netns", "bt-farther")
    world.supervisor.ready(another.name)
    lossy(world.supervisor, near, near.address)
    drain = lab.keep(cong.Drain(farther, PORT))
    join(lab, another, farther, drain, percent=0)
    for container, address in (another, near.address.removesuffix("2") + "1"), (farther, near.address):
        inside(container, "ip", "address", "add", f"{address}/24", "dev", another.device)
    assert cong.firsts(another, near.address, PORT, 10) == ["reno"] * 10


def test_ipv6_network(world, near):
    """A /64 of IPv6 is one remote."""
    for container, address in (near, "1"), (world.far, "2"), (world.far, "3"):
        inside(container, "ip", "address", "add", f"2001:db8::{address}/64", "dev", near.device, "nodad")
    world.drain.loses(4, "2001:db8::2")
    lossy(world.supervisor, near, "2001:db8::2", "2001:db8::/64")
    firsts = cong.firsts(near, "2001:db8::3", PORT, 10)
    assert firsts.count("bbr") >= 6


def test_paused(world, near):
    """After a rollback new connections have the default again, until it is resumed."""
    lossy(world.supervisor, near, near.address)
    world.supervisor.rollback(near.name)
    assert cong.firsts(near, near.address, PORT, 10) == ["reno"] * 10
    world.supervisor.resume(near.name)
    assert "bbr" in cong.firsts(near, near.address, PORT, 10)


def test_default_that_is_written(world, near):
    """It is final: new connections have it, whatever was decided, and established ones keep what they have."""
    lossy(world.supervisor, near, near.address)
    pid = near.write(CONGESTION, "bbr")
    why = wait_for(lambda: world.supervisor.is_manual(near.name, "tcp_cong"), 2, "the tuner to step aside")
    assert why == f"{CONGESTION} was set to bbr by sh (pid {pid})"
    near.write(CONGESTION, "reno")
    assert cong.firsts(near, near.address, PORT, 10) == ["reno"] * 10
    flow = cong.send(near, near.address, PORT, 2, pace=FAST)
    assert (flow["first"], flow["last"]) == ("reno", "reno")


def test_clean_path(world, near):
    """A path that loses nothing: what is known of it changes nothing, not for a single connection."""
    flow = cong.send(near, near.address, CLEAN_PORT, 1, pace=SLOW)
    text = wait_for(lambda: learnt(world.supervisor, near.name).get(near.address), 2, "something learnt")
    assert (flow["first"], flow["last"]) == ("reno", "reno") and text.startswith("reno, ")
    assert cong.firsts(near, near.address, CLEAN_PORT, 400) == ["reno"] * 400


@pytest.mark.alone
def test_not_allowed(lab, world, near):
    """bbr is there, but not for everybody here: it is not taken, which is said once."""
    lab.callback(ALLOWED.write_text, ALLOWED.read_text())
    ALLOWED.write_text("reno")
    flow, text = lossy(world.supervisor, near, near.address, until="bbr is not available")
    flows = [flow]
    sender = cong.start(near, near.address, PORT, 30, pace=FAST)
    wait_for(lambda: learnt(world.supervisor, near.name)[near.address] != text, 10, "another connection to be told of")
    sender.terminate()
    flows.append(cong.finish(sender))
    assert {(flow["first"], flow["last"]) for flow in flows} == {("reno", "reno")}
    records = [record for record in world.supervisor.log(near.name) if "tcp_allowed" in record["text"]]
    assert len(records) == 1


@pytest.mark.alone
def test_container_in_the_hosts_namespace(lab, world):
    """It is an instance by its cgroup, and so are its remotes: the host's are the host's."""
    default = sysctl_path(CONGESTION)
    lab.callback(default.write_text, default.read_text())
    default.write_text("reno")
    world.supervisor.give_back("host")
    host = join(lab, Host(), world.far, world.drain)
    address = host.address
    container = lab.keep(Container(lab.keep(Rootfs()), "bt-guest", network="host"))
    world.supervisor.ready(container.name)
    lossy(world.supervisor, container, address)
    assert "bbr" in cong.firsts(container, address, PORT, 10)
    assert cong.firsts(host, address, PORT, 10) == ["reno"] * 10
    assert address not in learnt(world.supervisor, "host")
