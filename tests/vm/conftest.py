# SPDX-License-Identifier: GPL-2.0-or-later
"""Inside of a virtual machine, as root: see run."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "netns"))

import lab as lab_module    # noqa: E402
import netem                # noqa: E402


def pytest_configure(config):
    for marker in ("figures: a target that is measured: make check-figures", "first: the same on each kernel; on one kernel",
                   "last: the same on each kernel; on one kernel"):
        config.addinivalue_line("markers", marker)
    if "BPFTUNE_VM" not in os.environ:
        pytest.exit("these tests change their machine: `make check-vm` runs them in a virtual one", 2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    report = (yield).get_result()
    if report.failed:
        for supervisor in lab_module.Supervisor.running:
            report.sections.append((f"bpftune {supervisor.pid} said", supervisor.stderr()[-8000:]))


@pytest.fixture
def lab():
    with netem.Lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def shared():
    """A Lab whose things the tests of a module share."""
    with netem.Lab() as lab:
        yield lab
