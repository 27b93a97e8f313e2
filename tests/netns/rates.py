# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast a path carries a flow with fixed buffer limits, which of them is best, and how soon bpftune is there."""
import statistics
from types import SimpleNamespace

from lab import RMEM, WMEM

MIB = 1 << 20
WINDOW_S = 0.5


def limit(sysctl, maximum):
    return f"4096 {'16384' if sysctl == WMEM else '131072'} {maximum}"


def fix(near, far, send, receive):
    """The sender's and the receiver's limits."""
    near.write(WMEM, limit(WMEM, send))
    far.write(RMEM, limit(RMEM, receive))


def start(near, far, send=262144):
    """Where the reference begins: a small send limit, and the receive limit of most kernels."""
    fix(near, far, send, 6 * MIB)


def flow(path, seconds, *options):
    """One flow from near to far: its rate in Mbit/s, and how it came about."""
    running = path.start(seconds, "-i", "0.1", *options)
    mbit = running.finish()
    steps = [(interval["sum"]["end"], interval["sum"]["bytes"] * 8 / 1e6) for interval in running.result["intervals"]]
    return SimpleNamespace(mbit=mbit, steps=steps)


def time_to(result, mbit):
    """Seconds until the flow has carried that for WINDOW_S; None: never."""
    for index, (end, _) in enumerate(result.steps):
        window = [step for step in result.steps[:index + 1] if step[0] > end - WINDOW_S + 0.01]
        if end >= WINDOW_S and sum(step[1] for step in window) / WINDOW_S >= mbit:
            return end
    return None


def search(path, near, far, sizes, seconds, *options, passes=1):
    """Both sides fixed at each size: rates by size. The faster of the passes counts: what else a machine does
    only slows a flow down."""
    rates = {}
    for size in sizes * passes:
        fix(near, far, size, size)
        result = flow(path, seconds, *options)
        if size not in rates or result.mbit > rates[size].mbit:
            rates[size] = result
    return rates


def best(rates):
    return max(rates, key=lambda size: rates[size].mbit)


def smallest(rates, share):
    """The smallest size that gives this share of the best."""
    most = rates[best(rates)].mbit
    return min(size for size in rates if rates[size].mbit >= share * most)


def median(results):
    return statistics.median(result.mbit for result in results)
