# SPDX-License-Identifier: GPL-2.0-or-later
"""What tcp_cong and tcp_init must not make worse, and what they gain, against what the same path gives without them."""
import collections
import random
import re
import statistics
import subprocess

import pytest

import cong
from sides import AGAIN, PLAIN, SIDES, TUNED, SERVER_PORT, World, in_turn, percentile, ratios, shown

pytestmark = pytest.mark.figures

KIB = 1024
DELAY = "delay", "20ms", "limit", "10000"
NONE = "limit", "10000"
MBIT, RTT_MS, SEGMENT = 50, 20, 1514
BDP_SEGMENTS = MBIT * 1000 * RTT_MS / 8 / SEGMENT


def bottleneck(bdps, *more):
    """netem's options: 50 Mbit/s with a queue of so many bandwidth-delay products, at 20 ms."""
    return "rate", f"{MBIT}mbit", "limit", str(round(bdps * BDP_SEGMENTS)), *more


@pytest.mark.parametrize("default", ("cubic", "bbr"))
def test_clear_path(lab, default):
    """Nothing is wrong: no connection has another algorithm than the default, at its beginning or end."""
    world = World(lab, [NONE], DELAY, default=default)
    done = world.upload(TUNED, [256 * KIB] * 50, 8)
    algorithms = collections.Counter(name for one in done for name in set(one["algorithms"]))
    print(f"{len(done)} connections: {dict(algorithms)}", *world.learnt(), sep="\n")
    assert set(algorithms) == {default}


@pytest.mark.parametrize("loss", (1, 5, 10))
def test_loss(lab, loss):
    """A share of 0.95 of what the best algorithm gives, which is found first and is then the other side of each pair, to a host
    that eight flows were sent to before. The path is slow enough for an emulated machine to fill it."""
    world = World(lab, [("rate", "20mbit", "loss", f"{loss}%", *NONE)], DELAY)
    alone = {own: statistics.median(world.send(PLAIN, 3, own=own)[0]["mbit"] for _ in range(3)) for own in cong.ALGORITHMS}
    best = max(alone, key=alone.get)
    first = [world.send(TUNED, 3)[0] for _ in range(8)]
    found = in_turn(8, lambda side: world.send(side, 3, own="" if side == TUNED else best)[0]["mbit"])
    share, nothing = ratios(found, statistics.mean)
    print(f"loss {loss} %, alone {shown({own: [rate] for own, rate in alone.items()})}, best {best}", first, shown(found),
          f"share {share:.2f}, nothing against nothing {nothing:.2f}", *world.learnt(), sep="\n")
    assert share >= 0.95


@pytest.mark.parametrize("bdps", (0.25, 1, 4))
def test_queue(lab, bdps):
    """A flow that is alone at a bottleneck: its rate, and the round trip that a ping has beside it."""
    world, round_trips = World(lab, [bottleneck(bdps)], DELAY), {side: [] for side in SIDES}

    def measure(side, seconds=4):
        ping = subprocess.Popen(world.near[side].command("ping", "-n", "-i", "0.05", "-w", str(seconds), "10.199.1.2"),
                                text=True, stdout=subprocess.PIPE)
        flow, = world.send(side, seconds)
        round_trips[side] += map(float, re.findall("time=([0-9.]+)", ping.communicate()[0]))
        return flow["mbit"]
    for _ in range(3):
        world.send(TUNED, 3)
    found = in_turn(5, measure)
    rate, nothing = ratios(found)
    delay, no_delay = ratios(round_trips, lambda values: percentile(values, 95))
    print(f"{bdps} BDP: {shown(found)}", f"rate {rate:.3f}, nothing against nothing {nothing:.3f}", f"p95 of the round trip " +
          f"{shown({side: [percentile(values, 95)] for side, values in round_trips.items()})} ms: {delay:.3f}, " +
          f"nothing against nothing {no_delay:.3f}", *world.learnt(), sep="\n")
    assert rate >= 0.98
    assert delay <= 1.05


@pytest.mark.parametrize("loss, share", ((0, 0.9), (1, 0.8)))
def test_neighbour(lab, loss, share):
    """Four flows of a container at a bottleneck with a short queue, beside four of another one that is not tuned: what
    the other one gets."""
    world = World(lab, [bottleneck(0.25, *(("loss", f"{loss}%") if loss else ()))], DELAY, others=("other",))
    totals, algorithms = {side: [] for side in SIDES}, collections.Counter()

    def measure(side, seconds=5):
        world.clients["other"].start(world.flows(seconds, 4))
        flows = world.send(side, seconds, 4)
        totals[side].append(sum(flow["mbit"] for flow in flows))
        if side == TUNED:
            algorithms.update(name for flow in flows for name in set(flow["algorithms"]))
        return sum(flow["mbit"] for flow in world.clients["other"].finish())
    for _ in range(2):
        measure(TUNED, 4)
    algorithms.clear()
    totals = {side: [] for side in SIDES}
    found = in_turn(6, measure)
    other, nothing = ratios(found)
    own, own_nothing = ratios(totals)
    print(f"loss {loss} %: the other's Mbit/s {shown(found)}, its own {shown(totals)}", f"algorithms {dict(algorithms)}",
          f"the other's {other:.2f}, nothing against nothing {nothing:.2f}; its own {own:.2f}, nothing {own_nothing:.2f}",
          *world.learnt(), sep="\n")
    assert other >= share
    if not loss:
        assert set(algorithms) == {"cubic"}


def test_initial_window(lab):
    """100 KiB at 40 ms to a remote that is known, 1,000 times on each side, four at a time: time, and what is sent again."""
    world = World(lab, [("delay", "20ms", *NONE)], DELAY)
    world.upload(TUNED, [1024 * KIB] * 3, 4)
    sent_again = {side: 0 for side in SIDES}

    def measure(side):
        before = world.near[side].counters("Tcp")["RetransSegs"]
        done = world.upload(side, [100 * KIB] * 50, 4)
        sent_again[side] += world.near[side].counters("Tcp")["RetransSegs"] - before
        return done
    found = {side: sum(rounds, []) for side, rounds in in_turn(5, measure).items()}
    windows = {side: dict(collections.Counter(one["cwnd"] for one in done)) for side, done in found.items()}
    times = {side: [one["ms"] for one in done] for side, done in found.items()}
    time, nothing = ratios(times)
    print(f"median {shown({side: [statistics.median(each)] for side, each in times.items()})} ms: {time:.2f}, " +
          f"nothing against nothing {nothing:.2f}", f"initial windows {windows}",
          f"sent again in 1,000 transfers {sent_again}", *world.learnt(), sep="\n")
    assert {*windows[PLAIN], *windows[AGAIN]} == {10}
    assert sent_again[TUNED] <= max(sent_again[PLAIN], sent_again[AGAIN]) + 2
    assert time <= 0.75


def test_web_mix(lab):
    """20 clients at 5 to 200 ms and 20 Mbit/s, each of which fetches from 1 KiB to 1 MiB on three connections at a time: 2,880
    transfers on each side."""
    delays = [round(5 * 40 ** (i / 19)) for i in range(20)]
    forward = [("delay", f"{delay}ms", "rate", "20mbit", "limit", str(round(20000 * delay / 8 / SEGMENT) + 64)) for delay in delays]
    world, dice = World(lab, forward, NONE), random.Random(17)

    def jobs(side, sizes):
        return [{"source": f"10.199.{i % 20 + 1}.2", "address": world.address(side), "port": SERVER_PORT, "direction": "d",
                 "sizes": each} for i, each in enumerate(sizes)]

    def sizes(number):
        return [[int(KIB * 1024 ** dice.random()) for _ in range(number)] for _ in range(60)]
    plan, sent_again = [sizes(12) for _ in range(4)], {side: 0 for side in SIDES}
    world.clients["far"].do(jobs(TUNED, sizes(8)))
    left = {side: iter(plan) for side in SIDES}

    def measure(side):
        before = world.near[side].counters("Tcp")["RetransSegs"]
        done = world.clients["far"].do(jobs(side, next(left[side])))
        sent_again[side] += world.near[side].counters("Tcp")["RetransSegs"] - before
        return [one["ms"] for stream in done for one in stream]
    rounds = in_turn(len(plan), measure)
    every = {side: sum(each, []) for side, each in rounds.items()}
    found, spread = {}, {}
    for percent in 50, 95, 99:
        found[percent] = ratios(every, lambda values: percentile(values, percent))
        by_round = [percentile(again, percent) / percentile(plain, percent) for again, plain in zip(rounds[AGAIN], rounds[PLAIN])]
        spread[percent] = max(*by_round, *(1 / each for each in by_round))
        print(f"p{percent} {shown({side: [percentile(each, percent)] for side, each in every.items()})} ms: {found[percent][0]:.3f}, " +
              f"nothing against nothing {found[percent][1]:.3f}, by round up to {spread[percent]:.3f}")
    print(f"{len(every[TUNED])} transfers on each side, segments sent again {sent_again}", *world.learnt(), sep="\n")
    assert found[50][0] <= spread[50]
    assert found[95][0] <= spread[95]
    assert found[99][0] <= 1.10
