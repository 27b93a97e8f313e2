# SPDX-License-Identifier: GPL-2.0-or-later
"""tcp_buffer against the best fixed limits of both sides, found in the same run."""
from types import SimpleNamespace

import pytest

import rates
from lab import RMEM, WMEM, kept_sysctls, maximum, only
from rates import MIB

DELAY = "delay", "20ms", "limit", "10000"
# The reference path is as fast as the machine; the narrow one leaves it time, so that noise is small.
PATHS = {
    "reference": SimpleNamespace(netem=DELAY, mtu=1500, send=262144, sizes=(2, 4, 8, 12, 16, 24, 32, 48), rounds=7),
    "narrow": SimpleNamespace(netem=(*DELAY, "rate", "40mbit"), mtu=9000, send=32768,
                              sizes=(0.125, 0.25, 0.375, 0.5, 1), rounds=3),
}
SECONDS = 3


def limits_of(near, far):
    return {WMEM: maximum(near.sysctl(WMEM)), RMEM: maximum(far.sysctl(RMEM))}


@pytest.mark.figures
@pytest.mark.parametrize("kind", PATHS)
def test_share_of_the_best(lab, kind):
    want = PATHS[kind]
    host, near = lab.host(), lab.container("netns", f"near-{kind}")
    with kept_sysctls():
        path = lab.netem(near, host, 1, netem=want.netem, back=DELAY, mtu=want.mtu)
        fixed = rates.search(path, near, host, [int(size * MIB) for size in want.sizes], SECONDS)
        best = rates.best(fixed)
        rates.start(near, host, want.send)

        supervisor = lab.supervisor(tuners=only("tcp_buffer"))
        supervisor.ready(near.name)
        first, second = rates.flow(path, 8), rates.flow(path, SECONDS)
        found = limits_of(near, host)
        changes = {WMEM: supervisor.changes(near.name, WMEM), RMEM: supervisor.changes("host", RMEM)}

        # In turn, as the machine may be slower now than it was during the search.
        with_best, with_found, following = [], [], []
        for _ in range(want.rounds):
            rates.fix(near, host, best, best)       # an administrator's value: bpftune stands aside
            with_best.append(rates.flow(path, SECONDS))
            rates.fix(near, host, found[WMEM], found[RMEM])
            with_found.append(rates.flow(path, SECONDS))
            for name in near.name, "host":
                supervisor.cli("resume", name, check=False)     # that side's value may be the one it had
            following.append(rates.flow(path, SECONDS))

    most = rates.median(with_best)
    share, share_following = rates.median(with_found + following) / most, rates.median(following) / most
    soon, smallest = rates.time_to(first, 0.9 * most), rates.smallest(fixed, 0.95)
    print({size: round(result.mbit) for size, result in fixed.items()})
    print(*([round(result.mbit) for result in results] for results in (with_best, with_found, following)))
    print(f"first {first.mbit:.0f}, second {second.mbit:.0f}, best {most:.0f} Mbit/s at {best}; 0.9 of it after {soon} s; "
          f"share {share:.2f} with {found}, {share_following:.2f} with bpftune at work; smallest {smallest}; "
          f"{ {name: len(list) for name, list in changes.items()} } changes")
    assert share >= 0.95
    assert share_following >= 0.9
    assert soon and soon <= 4
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
