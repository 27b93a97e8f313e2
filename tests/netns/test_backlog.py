# SPDX-License-Identifier: GPL-2.0-or-later
"""The queues in which frames wait for a CPU: when they stay as they are. tests/vm/test_idle_cpu.py has the rest, as there nobody
else keeps the CPU busy."""
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from lab import Host, kept_sysctls, number, only, said, sysctl_path, wait_for
from trouble_backlog import BACKLOG, SMALL, Trouble, softnet

FLOW_LIMIT = "net.core.flow_limit_cpu_bitmap"
HOG = "import os; os.sched_setaffinity(0, {1}); print('busy', flush=True)\nwhile True: pass"

pytestmark = pytest.mark.skipif(os.cpu_count() < 2, reason="one CPU cannot send more than it receives")


@pytest.fixture
def make(lab):
    """A supervisor that finds the trouble there, which is yet to start."""
    def make(**options):
        trouble = Trouble(lab, f"bt-backlog{number()}", **options)
        supervisor = lab.supervisor(tuners=only("backlog"))
        supervisor.ready("host", trouble.container.name)
        return SimpleNamespace(trouble=trouble, container=trouble.container, supervisor=supervisor)
    return make


def assert_unchanged(world, value):
    assert Host().sysctl(BACKLOG) == str(value) and not world.supervisor.changes("host")


def test_busy_cpu(lab, make):
    """One that has no time to spare has no use of a longer queue. That is told, once in each log."""
    world = make()
    hog = subprocess.Popen([sys.executable, "-c", HOG], text=True, stdout=subprocess.PIPE)
    lab.callback(hog.communicate)
    lab.callback(hog.kill)
    assert hog.stdout.readline() == "busy\n"
    world.trouble.start()
    wait_for(lambda: any("longer queues would only delay" in record["text"] for record in world.supervisor.log("host")), 20,
             "that to be told")
    said(world.supervisor, world.container.name, "longer queues would only delay")
    assert_unchanged(world, SMALL)


def test_flow_limit(make):
    """What the limit of single flows drops has the same reason, and is no want of room."""
    with kept_sysctls((FLOW_LIMIT,)):
        sysctl_path(FLOW_LIMIT).write_text("3")
        world = make(burst_s=0.1, rest=4, value=1000)
        limited, received = softnet()[10], world.supervisor.status()["events"]["received"]
        world.trouble.start()
        wait_for(lambda: softnet()[10] > limited + 2000, 30, "frames of the flow to be dropped")
        wait_for(lambda: world.supervisor.status()["events"]["received"] >= received + 8, 30, "the events of two windows")
        world.trouble.stop()
        assert_unchanged(world, 1000)
