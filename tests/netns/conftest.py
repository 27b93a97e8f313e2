# SPDX-License-Identifier: GPL-2.0-or-later
"""Needs root and the machine's own kernel; BPFTUNE, BPFTUNE_TUNERS, BPFTUNE_POKE and LONGPATH name what was built."""
import os
import shutil
import signal

import pytest

import lab as lab_module
from lanes import Lanes

FAILED = pytest.StashKey()
TOOLS = "bpftool", "ip", "iperf3", "nft", "nsenter", "ps", "runc", "setpriv", "sysctl", "unshare"


def unsupported():
    if os.geteuid():
        return "these tests need root"
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        return f"these tests need {', '.join(missing)}"
    missing = [path for path in ("/sys/kernel/btf/vmlinux", "/dev/net/tun") if not os.path.exists(path)]
    return f"this kernel has no {missing[0]}" if missing else None


def pytest_configure(config):
    reason = unsupported()
    if reason:
        pytest.exit(f"skipped: {reason}", 77)
    for name in ("BPFTUNE", "BPFTUNE_TUNERS", "BPFTUNE_POKE", "LONGPATH"):
        if not os.path.exists(os.environ.get(name, "")):
            pytest.exit(f"{name} must name what was built; `make check` sets it", 2)
    lab_module.alone()
    signal.signal(signal.SIGTERM, signal.default_int_handler)   # what tests have changed is put back then, too
    config.findings = lab_module.Findings()
    config.addinivalue_line("markers", "lanes(number): the tests of this module run side by side")
    config.addinivalue_line("markers", "alone: runs beside no other test")
    config.addinivalue_line("markers", "last: of the kernels of `make check-vm`, on the last alone")
    config.addinivalue_line("markers", "figures: takes minutes, so that it runs when it is asked for: -m figures")
    if not config.getoption("reruns", 0) and not config.getoption("usepdb"):    # a failed test runs again, alone
        config.pluginmanager.register(Lanes(config))


def pytest_collection_modifyitems(config, items):
    """Without -m, nobody has asked for figures."""
    if not config.option.markexpr:
        figures = [item for item in items if item.get_closest_marker("figures")]
        config.hook.pytest_deselected(items=figures)
        items[:] = [item for item in items if item not in figures]


def pytest_sessionfinish(session):
    """A finding stays one, even if the test that brought it to light is run again and passes."""
    if session.config.findings.all and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    if config.findings.all:
        terminalreporter.section("what sanitizers or valgrind found")
        terminalreporter.write_line(config.findings.all[-20000:])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.failed:
        item.stash[FAILED] = report.when != "teardown"
        for supervisor in lab_module.Supervisor.running:
            report.sections.append((f"bpftune {supervisor.pid} said", supervisor.stderr()[-8000:]))


@pytest.hookimpl(hookwrapper=True, trylast=True)
def pytest_runtest_teardown(item):
    """What a module shares is made anew after a failed test: for its second try, and for those that follow."""
    if item.stash.get(FAILED, False) and not lab_module.Lane.number:
        item.stash[FAILED] = False
        item.session._setupstate.teardown_exact(None)   # as after the last test of all
    yield


@pytest.fixture(autouse=True)
def nothing_found(request):
    """No sanitizer found anything; the same is asked when what a module shares is gone."""
    yield
    found = request.config.findings.new()
    assert not found, found


@pytest.fixture
def lab():
    with lab_module.Lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def shared():
    """A Lab whose things the tests of a module share."""
    with lab_module.Lab() as lab:
        yield lab


@pytest.fixture(scope="module", autouse=True)
def host_sysctls(request):
    """No test may change a tunable of the host."""
    with lab_module.kept_sysctls() as changed:
        yield
        assert not changed()
    found = request.config.findings.new()
    assert not found, found
