# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock kernel, where cubic is the default and bbr a module: netem loses segments, with a round trip of 20 ms."""
import pytest

import cong
from lab import run, said, wait_for

DELAY = "delay", "10ms", "limit", "10000"
FAR, PORT = "10.199.1.2", 5301


@pytest.fixture
def ends(lab):
    near, far = lab.container("netns", "bt-near"), lab.container("netns", "bt-far")
    lab.netem(near, far, 1, netem=(*DELAY, "loss", "5%"), back=DELAY)
    lab.keep(cong.Drain(far, PORT))
    return near, far


def test_bbr_on_a_stock_kernel(lab, ends):
    """It is not there, which is said; once it is loaded it is taken."""
    near, _ = ends
    supervisor = lab.supervisor()
    supervisor.ready(near.name)
    flow = cong.send(near, FAR, PORT, 8)
    assert (flow["first"], flow["last"]) == ("cubic", "cubic")
    said(supervisor, near.name, "modprobe tcp_bbr")
    assert "bbr is not available" in supervisor.cli("status", near.name).stdout
    before = flow["mbit"]
    run("modprobe", "tcp_bbr")
    flow = cong.send(near, FAR, PORT, 30, until="bbr")       # what there is to choose from is read at most every 10 s
    assert flow["first"] != "bbr" and flow["last"] == "bbr"     # it may have begun as a trial of reno
    wait_for(lambda: cong.firsts(near, FAR, PORT, 10).count("bbr") >= 6, 10, "bbr to be chosen")
    # One in twenty is a trial of another.
    flows = [flow for flow in (cong.send(near, FAR, PORT, 3) for _ in range(3)) if flow["first"] == "bbr"]
    assert {flow["last"] for flow in flows} == {"bbr"}
    assert max(flow["mbit"] for flow in flows) > 1.3 * before
    assert near.sysctl("net.ipv4.tcp_congestion_control") == "cubic"
