# SPDX-License-Identifier: GPL-2.0-or-later
"""A sender that was there before the supervisor, which no BPF program sees: its limit rises all the same."""
from lab import AMPLE, PLAIN, SMALL_WMEM, WMEM, maximum, only, wait_for


def test_limited_by_its_send_buffer(lab):
    near, far = lab.container("netns", "bt-older", SMALL_WMEM), lab.container("netns", "bt-far", AMPLE)
    flow = lab.path(near, far, 9).start(120, *PLAIN, "-b", "60M")
    wait_for(flow.sockets, 5, "the flow to begin")
    supervisor = lab.supervisor(tuners=only("tcp_buffer"))
    supervisor.ready(near.name)
    wait_for(lambda: maximum(near.sysctl(WMEM)) > 65536, 60, "its limit to rise")
    first = supervisor.changes(near.name, WMEM)[0]
    assert first["scenario"] == "send_buffer_limited" and "a send buffer of 65536 bytes was full" in first["text"]
