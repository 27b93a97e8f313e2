# SPDX-License-Identifier: GPL-2.0-or-later
"""Paths by netem."""
from lab import AMPLE, SMALL_WMEM


def test_reference_path(lab):
    """40 ms, and a flow that fills its small send buffer once in a round trip."""
    host = lab.host()
    for name, value in AMPLE.items():
        host.write(name, value)
    container = lab.container("netns", "near", SMALL_WMEM)
    path = lab.netem(container, host, 1)
    assert 38 < path.rtt_ms() < 80
    assert 2 < path.flow(3) < 60
