# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections to a remote host that loses segments get the congestion control that copes, and others do not.

The host's default may be bbr, and its cubic not allowed: these containers have reno for theirs, and bbr beside it.
"""
from types import SimpleNamespace

import pytest

import cong
from crowd import Container, Rootfs
from lab import CONGESTION, Host, only, run, said, sysctl_path, wait_for

RENO = {CONGESTION: "reno"}
ALLOWED = sysctl_path("net.ipv4.tcp_allowed_congestion_control")
FAR, PORT, CLEAN_PORT = "10.199.1.2", 5301, 5302

pytestmark = pytest.mark.skipif(not {"reno", "bbr"} <= set(ALLOWED.read_text().split()),
                                reason="needs reno and bbr among net.ipv4.tcp_allowed_congestion_control")


@pytest.fixture
def world(lab):
    """A container with a long path to a far end, one port of which loses 4 %; and another."""
    near, far = lab.container("netns", "bt-near", RENO), lab.container("netns", "bt-far")
    other = lab.container("netns", "bt-other", RENO)
    lab.path(near, far, 1)
    drain, clean = lab.keep(cong.Drain(far, PORT)), lab.keep(cong.Drain(far, CLEAN_PORT))
    drain.loses(4)
    supervisor = lab.supervisor()
    supervisor.ready("host", near.name, other.name)
    return SimpleNamespace(near=near, other=other, far=far, drain=drain, clean=clean, supervisor=supervisor)


def learnt(supervisor, name):
    return {row["about"]: row["text"] for row in supervisor.instance(name)["learnt"] if row["tuner"] == "tcp_cong"}


def inside(container, *words):
    run(*container.command(*words))


def lossy(supervisor, container, about=FAR, address=FAR, port=PORT):
    """Sends until the remote is known to be lossy, and what is said of it."""
    flow = cong.send(container, address, port, 6)
    text = wait_for(lambda: learnt(supervisor, container.name).get(about), 2, f"something learnt of {about}")
    return flow, text


def test_lossy_remote(world):
    """The established connection switches, later ones start so, and the log says why. Others have no part in it."""
    other = world.other
    before = {container.name: container.sysctl(CONGESTION) for container in (world.near, other)}
    flow, text = lossy(world.supervisor, world.near)
    assert (flow["first"], flow["last"]) == ("reno", "bbr")
    assert text.startswith("bbr, ") and " % loss" in text
    record = said(world.supervisor, world.near.name, f"{FAR}: bbr, ")
    assert record["tuner"] == "tcp_cong" and record["container"] == world.near.name
    # One in twenty tries another.
    firsts = cong.firsts(world.near, FAR, PORT, 20)
    assert firsts.count("bbr") >= 14
    assert f"tcp_cong: {FAR}: bbr, " in world.supervisor.cli("status", world.near.name).stdout
    assert not learnt(world.supervisor, other.name)
    assert {c.name: c.sysctl(CONGESTION) for c in (world.near, other)} == before
    assert not world.supervisor.changes(world.near.name, CONGESTION)


def test_same_address_elsewhere(lab, world):
    """Another container's remote of the same address is another's."""
    other, farther = world.other, lab.container("netns", "bt-farther")
    lossy(world.supervisor, world.near)
    lab.path(other, farther, 2)
    for container, number in (other, 1), (farther, 2):
        inside(container, "ip", "address", "add", f"10.199.1.{number}/24", "dev", "path2")
    lab.keep(cong.Drain(farther, PORT))
    assert cong.firsts(other, FAR, PORT, 10) == ["reno"] * 10


def test_applications_choice_stands(world):
    flows = [cong.send(world.near, FAR, PORT, 6, own="reno")]
    wait_for(lambda: "bbr, " in learnt(world.supervisor, world.near.name).get(FAR, ""), 2, "the remote to be lossy")
    flows += [cong.send(world.near, FAR, PORT, 0.1, own="reno") for _ in range(5)]
    assert {(flow["first"], flow["last"]) for flow in flows} == {("reno", "reno")}


def test_without_loss(lab):
    """A near remote that loses nothing: nothing is told, nothing learnt, nothing changed."""
    near, far = lab.container("netns", "bt-near", RENO), lab.container("netns", "bt-far")
    run("ip", "-n", near.name, "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", far.name)
    for container, device, number in (near, "near", 1), (far, "far", 2):
        inside(container, "ip", "address", "add", f"10.199.1.{number}/24", "dev", device)
        inside(container, "ip", "link", "set", device, "up")
    lab.keep(cong.Drain(far, PORT))
    lab.keep(cong.Drain(near, PORT))
    supervisor = lab.supervisor()
    supervisor.ready(near.name)
    for address in FAR, "127.0.0.1", "::1":
        for seconds in 2, 0.1, 0.1:
            flow = cong.send(near, address, PORT, seconds)
            assert (flow["first"], flow["last"]) == ("reno", "reno")
    assert not learnt(supervisor, near.name)


def test_ipv6_network(world):
    """A /64 of IPv6 is one remote."""
    for container, number in (world.near, 1), (world.far, 2):
        inside(container, "ip", "address", "add", f"2001:db8::{number}/64", "dev", "path1", "nodad")
    flow, text = lossy(world.supervisor, world.near, "2001:db8::/64", "2001:db8::2")
    assert flow["last"] == "bbr" and text.startswith("bbr, ")
    inside(world.far, "ip", "address", "add", "2001:db8::3/64", "dev", "path1", "nodad")
    firsts = cong.firsts(world.near, "2001:db8::3", PORT, 10)
    assert firsts.count("bbr") >= 6


def test_paused(world):
    """After a rollback new connections have the default again, until it is resumed."""
    lossy(world.supervisor, world.near)
    world.supervisor.rollback(world.near.name)
    assert cong.firsts(world.near, FAR, PORT, 10) == ["reno"] * 10
    world.supervisor.resume(world.near.name)
    assert "bbr" in cong.firsts(world.near, FAR, PORT, 10)


def test_dry_run(lab):
    near, far = lab.container("netns", "bt-near", RENO), lab.container("netns", "bt-far")
    lab.path(near, far, 1)
    lab.keep(cong.Drain(far, PORT)).loses(4)
    supervisor = lab.supervisor("--dry-run")
    supervisor.ready(near.name)
    flow, text = lossy(supervisor, near)
    assert flow["last"] == "reno" and text.startswith("bbr, ")
    assert said(supervisor, near.name, f"would decide: {FAR}: bbr, ")
    assert cong.firsts(near, FAR, PORT, 5) == ["reno"] * 5


def test_not_allowed(lab, world):
    """bbr is there, but not for everybody here: it is not taken, which is said once."""
    allowed = ALLOWED.read_text()
    lab.callback(ALLOWED.write_text, allowed)
    ALLOWED.write_text("reno")
    flows = [lossy(world.supervisor, world.near)[0], cong.send(world.near, FAR, PORT, 3)]
    assert {(flow["first"], flow["last"]) for flow in flows} == {("reno", "reno")}
    assert "bbr is not available" in learnt(world.supervisor, world.near.name)[FAR]
    records = [record for record in world.supervisor.log(world.near.name) if "tcp_allowed" in record["text"]]
    assert len(records) == 1


def test_clean_path_and_trial(world):
    """No verdict for a path that loses nothing, but a few of many connections try bbr."""
    world.drain.loses(0)
    flow = cong.send(world.near, FAR, CLEAN_PORT, 3)
    if 1000 * flow["retrans"] >= 5 * flow["segs"]:
        pytest.skip(f"this machine is too slow for the path, which lost segments: {flow}")
    text = wait_for(lambda: learnt(world.supervisor, world.near.name).get(FAR), 2, "something learnt")
    assert (flow["first"], flow["last"]) == ("reno", "reno") and text.startswith("reno, ")
    firsts = cong.firsts(world.near, FAR, CLEAN_PORT, 200)
    assert "bbr" in firsts and 200 - firsts.count("reno") <= 30


def test_trial_that_fails_ends(world):
    """With 1 % lost no connection switches for its loss; but one that gives far less than bbr is known to give does."""
    world.drain.loses(1)
    def knows_bbr():
        cong.send(world.near, FAR, PORT, 4)
        text = learnt(world.supervisor, world.near.name).get(FAR, "")
        return text.startswith("bbr, ") and "→" in text     # for what it gave, not only for a loss that was seen
    wait_for(knows_bbr, 30, "bbr to be chosen")
    flow = cong.send(world.near, FAR, PORT, 4, usual="bbr")
    assert flow["first"] != "bbr" and flow["last"] == "bbr"


def test_container_in_the_hosts_namespace(lab):
    """It is an instance by its cgroup, and so are its remotes: the host's are the host's."""
    default = sysctl_path(CONGESTION)
    lab.callback(default.write_text, default.read_text())
    default.write_text("reno")
    far, host = lab.container("netns", "bt-far"), Host()
    lab.path(host, far, 1)
    lab.keep(cong.Drain(far, PORT)).loses(4)
    supervisor = lab.supervisor(tuners=only("tcp_cong"))       # the host's limits might well be raised for it
    container = lab.keep(Container(lab.keep(Rootfs()), "bt-guest", network="host"))
    supervisor.ready(container.name)
    flow, text = lossy(supervisor, container)
    assert flow["last"] == "bbr" and text.startswith("bbr, ")
    assert "bbr" in cong.firsts(container, FAR, PORT, 10)
    assert cong.firsts(host, FAR, PORT, 10) == ["reno"] * 10
    assert FAR not in learnt(supervisor, "host")
