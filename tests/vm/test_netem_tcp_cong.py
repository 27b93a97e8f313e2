# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock kernel, where cubic is the default and bbr a module: netem loses segments, with a round trip of 20 ms."""
import pytest

import cong
from lab import run, wait_for

DELAY = "delay", "10ms", "limit", "10000"
FAR, PORT = "10.199.1.2", 5301


@pytest.fixture
def ends(lab):
    near, far = lab.container("netns", "bt-near"), lab.container("netns", "bt-far")
    lab.netem(near, far, 1, netem=(*DELAY, "loss", "5%"), back=DELAY)
    lab.keep(cong.Drain(far, PORT))
    return near, far


@pytest.mark.figures        # how fast loss shows depends on how busy the machine is
def test_bbr_on_a_stock_kernel(lab, ends):
    """It is not there, which is said; once it is loaded it is taken."""
    near, _ = ends
    supervisor = lab.supervisor()
    supervisor.ready(near.name)
    sender = cong.start(near, FAR, PORT, 60)
    wait_for(lambda: any("modprobe tcp_bbr" in record["text"] for record in supervisor.log(near.name)), 12, "the loss to be seen")
    sender.terminate()
    flow = cong.finish(sender)
    assert (flow["first"], flow["last"]) == ("cubic", "cubic")
    assert "bbr is not available" in supervisor.cli("status", near.name).stdout
    before = flow["mbit"]
    run("modprobe", "tcp_bbr")
    flow = cong.send(near, FAR, PORT, 50, until="bbr")       # what there is to choose from is read at most every 10 s
    assert (flow["first"], flow["last"]) == ("cubic", "bbr")
    def is_chosen():
        cong.send(near, FAR, PORT, 3)
        return cong.firsts(near, FAR, PORT, 10).count("bbr") >= 6
    wait_for(is_chosen, 60, "bbr to be chosen")
    # One in 32 is a trial of the default.
    flows = [flow for flow in (cong.send(near, FAR, PORT, 3) for _ in range(3)) if flow["first"] == "bbr"]
    assert {flow["last"] for flow in flows} == {"bbr"}
    assert max(flow["mbit"] for flow in flows) > 1.3 * before
    assert near.sysctl("net.ipv4.tcp_congestion_control") == "cubic"
