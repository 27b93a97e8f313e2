# SPDX-License-Identifier: GPL-2.0-or-later
"""tcp_buffer against the best fixed limits of both sides, found in the same run."""
from types import SimpleNamespace

import pytest

import rates
from lab import RMEM, WMEM, kept_sysctls, maximum
from rates import MIB

DELAY = "delay", "20ms", "limit", "10000"
# The reference path is as fast as the machine; the narrow one leaves it time, so that noise is small.
PATHS = {
    "reference": SimpleNamespace(netem=DELAY, mtu=1500, send=262144, sizes=(2, 4, 8, 12, 16, 24, 32)),
    "narrow": SimpleNamespace(netem=(*DELAY, "rate", "40mbit"), mtu=9000, send=32768, sizes=(0.125, 0.25, 0.375, 0.5, 1)),
}


@pytest.mark.parametrize("kind", PATHS)
def test_share_of_the_best(lab, kind):
    want = PATHS[kind]
    host, near = lab.host(), lab.container("netns", f"near-{kind}")
    with kept_sysctls():
        path = lab.netem(near, host, 1, netem=want.netem, back=DELAY, mtu=want.mtu)
        fixed = rates.search(path, near, host, [int(size * MIB) for size in want.sizes], 5)
        best = rates.best(fixed)
        rates.start(near, host, want.send)

        supervisor = lab.supervisor()
        supervisor.ready(near.name)
        first, following = rates.flow(path, 10), rates.flow(path, 5)
        soon = rates.time_to(first, 0.9 * fixed[best].mbit)
        found = {WMEM: maximum(near.sysctl(WMEM)), RMEM: maximum(host.sysctl(RMEM))}
        changes = {WMEM: supervisor.changes(near.name, WMEM), RMEM: supervisor.changes("host", RMEM)}
        supervisor.stop()

        # Alternating, as the machine may be slower now than it was during the search; longer, where it is close.
        with_found, with_best, share = [], [], 0
        while len(with_found) < 3 or (share < 0.95 and len(with_found) < 9):
            rates.fix(near, host, found[WMEM], found[RMEM])
            with_found.append(rates.flow(path, 5))
            rates.fix(near, host, best, best)
            with_best.append(rates.flow(path, 5))
            share = rates.median(with_found) / rates.median(with_best)

    smallest = rates.smallest(fixed, 0.95)
    print({size: round(result.mbit) for size, result in fixed.items()})
    print(f"first {first.mbit:.0f}, following {following.mbit:.0f}, best {fixed[best].mbit:.0f} Mbit/s at {best}; "
          f"0.9 of it after {soon} s; share {share:.2f} with {found}; smallest {smallest}; "
          f"{ {name: len(list) for name, list in changes.items()} } changes")
    assert share >= 0.95
    for name, records in changes.items():
        assert len(records) <= 8
        assert not records or found[name] <= 2.5 * smallest
    assert changes[WMEM] and changes[WMEM][0]["scenario"] == "send_buffer_limited"


def test_container_memory_is_the_cap(lab):
    """A quarter of memory.max of the cgroup that the flow's socket is charged to."""
    host = lab.host()
    near = lab.container("runc", "near-small", {WMEM: "4096 16384 32768"}, memory=16 * MIB)
    with kept_sysctls():
        path = lab.netem(near, host, 1, netem=DELAY, mtu=9000)
        supervisor = lab.supervisor()
        supervisor.ready(near.name)
        for _ in range(2):
            path.flow(5)
        assert supervisor.changes(near.name, WMEM)
        assert 131072 <= maximum(near.sysctl(WMEM)) <= 4 * MIB
