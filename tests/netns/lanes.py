# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that share only a supervisor run side by side, as they mostly wait.

`pytestmark = pytest.mark.lanes(4)` in a module lets its tests run in so many processes. These are forked when all that the
module shares is there: let the first test be a short one that asks for it, and long ones come next. `@pytest.mark.alone` is for
a test that does not run beside others. Names and numbers, as of a path, come from lab.number().
"""
import contextlib
import json
import os
import sys
import traceback
from multiprocessing import Value

import pytest
from _pytest.runner import CallInfo, runtestprotocol

import lab


def lanes_of(item):
    marker = item.get_closest_marker("lanes")
    return marker.args[0] if marker and not item.get_closest_marker("alone") else 1


def runs_beside(item, other):
    return other and item.module is other.module and lanes_of(item) > 1 and lanes_of(other) > 1


def is_all_there(group):
    """What these tests share is made: a lane that made it would end with it, unseen."""
    definitions = [definitions[-1] for item in group for definitions in item._fixtureinfo.name2fixturedefs.values()]
    return all(definition.scope == "function" or definition.cached_result for definition in definitions)


class Lanes:
    """The plug-in."""

    def __init__(self, config):
        self.config = config
        self.done = set()       # the tests that have run in lanes

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item, nextitem):
        """Runs a group in lanes when the second test of a module is due."""
        if item in self.done:
            return True
        items = [None, *item.session.items, None]
        at = end = items.index(item)
        if not runs_beside(item, items[at - 1]):
            return None
        while runs_beside(item, items[end]):
            end += 1
        if end - at == 1 or not is_all_there(items[at:end]):
            return None
        self.run(items[at - 1], items[at:end], items[end])
        return True

    def run(self, first, group, following):
        self.done.update(group)
        taken, pipes = Value("i", 0), {}
        sys.stdout.flush(), sys.stderr.flush()
        for number in range(1, lanes_of(group[0]) + 1):
            ours, theirs = os.pipe()
            pid = os.fork()
            if not pid:
                self.lane(number, group, first, taken, theirs)
            os.close(theirs)
            pipes[pid] = ours
        reports, statuses = {}, []
        for pid, ours in pipes.items():     # a lane whose reports do not fit into its pipe waits for the ones before it
            with os.fdopen(ours) as lines:
                for line in lines:
                    index, data = json.loads(line)
                    reports.setdefault(index, []).append(
                        self.config.hook.pytest_report_from_serializable(config=self.config, data=data))
            statuses.append(os.waitpid(pid, 0)[1])
        for index, item in enumerate(group):
            self.show(item, reports.get(index, []))
        # After a failure all is made anew, as conftest.py does it.
        failed = any(statuses) or any(report.failed for each in reports.values() for report in each)
        self.end(group[-1], None if failed else following)
        assert not any(statuses), f"lanes ended with {statuses}"

    @staticmethod
    def end(item, following):
        """What the module shares goes, unless the following test needs it."""
        call = CallInfo.from_call(lambda: item.session._setupstate.teardown_exact(following), when="teardown")
        if call.excinfo:
            item.ihook.pytest_runtest_logreport(report=item.ihook.pytest_runtest_makereport(item=item, call=call))

    @staticmethod
    def show(item, reports):
        if not reports or reports[-1].when != "teardown":
            reports.append(pytest.TestReport(item.nodeid, item.location, {}, "failed", "its lane ended before it did", "call"))
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def lane(self, number, group, first, taken, pipe):
        """Takes one test after another; never returns. To pytest, the first one comes next: what the module shares stays."""
        status = 1
        try:
            lab.Lane.number = number
            capture = self.config.pluginmanager.getplugin("capturemanager")
            capture.stop_global_capturing()     # its files are the parent's
            capture.start_global_capturing()
            with os.fdopen(pipe, "w") as lines:
                while True:
                    with taken.get_lock():
                        index, taken.value = taken.value, taken.value + 1
                    if index >= len(group):
                        break
                    for report in runtestprotocol(group[index], log=False, nextitem=first):
                        data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
                        print(json.dumps([index, data]), file=lines, flush=True)
            status = 0
        except BaseException:
            traceback.print_exc()
            with contextlib.suppress(BaseException):
                first.session._setupstate.teardown_exact(first)
        finally:
            os._exit(status)
