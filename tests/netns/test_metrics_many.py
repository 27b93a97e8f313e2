# SPDX-License-Identifier: GPL-2.0-or-later
"""What a scrape of the metrics of a thousand containers takes."""
import statistics
import time

import pytest

from lab import run, wait_for
from observers import with_group
from test_metrics import RSS_MAX_KIB, Exporter, field, samples

CONTAINERS, SCRAPES = 1000, 15
MS_MAX = 200


@pytest.mark.figures
def test_scrapes(lab):
    supervisor = lab.supervisor(wrap=with_group(lab))
    supervisor.directory.chmod(0o711)
    exporter = lab.keep(Exporter(supervisor.run_dir, supervisor.wrap))
    for i in range(CONTAINERS):
        run("ip", "netns", "add", f"bt-thousand{i}")
        lab.callback(run, "ip", "netns", "del", f"bt-thousand{i}")
    wait_for(lambda: samples(exporter.text()).get('bpftune_workers{state="ready"}', 0) > CONTAINERS, 120, "all workers")

    def uptime(text):
        return samples(text)["bpftune_uptime_seconds"]
    taken_ms, before = [], uptime(exporter.text())
    while len(taken_ms) < SCRAPES:
        began = time.monotonic()
        text = exporter.text()
        ms, now = 1000 * (time.monotonic() - began), uptime(text)
        if now > before:    # not the answer of before
            taken_ms.append(ms)
        before = now
        time.sleep(0.1)
    rss_kib, lines = int(field(exporter.pid, "VmHWM").split()[0]), len(text.splitlines())
    began = time.monotonic()
    supervisor.cli("metrics")
    print(f"{CONTAINERS} containers: a scrape takes {statistics.median(taken_ms):.0f} ms (median of {SCRAPES}, worst {max(taken_ms):.0f}), "
          f"{lines} lines, {len(text)} bytes; the server's RSS at most {rss_kib} KiB; "
          f"`bpftune metrics`, which reads all limits, {1000 * (time.monotonic() - began):.0f} ms")
    assert statistics.median(taken_ms) <= MS_MAX and rss_kib <= RSS_MAX_KIB
