# SPDX-License-Identifier: GPL-2.0-or-later
"""The services of OpenRC and runit: started, stopped, killed and restarted by the managers themselves, beside systemd."""
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from lab import BPFTUNE, POKE, TTL, Supervisor, alive, only, run, wait_for

pytestmark = pytest.mark.first
BUILT = pathlib.Path(os.environ["SERVICES"])
RUN_DIR = pathlib.Path("/run/bpftune")
START_S = 60        # emulated, and beside others


class Service(Supervisor):
    """What a manager runs, at the place that its service names."""

    def __init__(self, service):
        self.run_dir, self.service = RUN_DIR, service
        self.program = pathlib.Path(re.search(r"/\S+/sbin/bpftune", service.read_text())[0])
        self.options = f"bpftune_args='--plugin-dir {only('poke')}'\n"
        self.running.append(self)
        try:
            self.program.symlink_to(BPFTUNE)
            self.install()
        except BaseException:
            self.remove()
            raise

    @property
    def pid(self):
        """Of the supervisor that has, or had, the lock."""
        return int((RUN_DIR / "lock").read_text()) if (RUN_DIR / "lock").exists() else 0

    def command(self, command, *words):
        return [self.program, command, *map(str, words)]

    def stderr(self):
        return run("journalctl", "-t", "bpftune", "--no-pager", check=False).stdout

    def answers(self):
        return self.cli("status", "--json", check=False).returncode == 0

    def another(self, pid):
        """Waits for another supervisor than that."""
        wait_for(lambda: self.pid != pid and self.answers(), START_S, "the next supervisor")
        return self.pid

    def gone(self, pid, workers):
        return not [each for each in (pid, *workers) if alive(each)] and not self.answers()

    def remove(self):
        self.running.remove(self)
        self.clear()
        self.program.unlink(missing_ok=True)
        shutil.rmtree(RUN_DIR, ignore_errors=True)


class OpenRC(Service):
    script, options_file = pathlib.Path("/etc/init.d/bpftune"), pathlib.Path("/etc/conf.d/bpftune")
    STATES = ("daemons", "exclusive", "failed", "hotplugged", "inactive", "options", "scheduled", "started", "starting",
              "stopping", "tmp", "wasinactive")

    def __init__(self):
        super().__init__(BUILT / "openrc/bpftune")

    def install(self):
        shutil.copy(self.service, self.script)
        self.options_file.parent.mkdir(exist_ok=True)
        self.options_file.write_text(self.options)
        for name in self.STATES:        # as if it had booted the machine
            pathlib.Path("/run/openrc", name).mkdir(parents=True, exist_ok=True)
        pathlib.Path("/run/openrc/softlevel").write_text("default\n")

    def manage(self, command, check=True):
        return run("rc-service", "--nocolor", "bpftune", command, check=check, timeout=90)

    def is_up(self):
        return "started" in self.manage("status", check=False).stdout

    def clear(self):
        self.manage("stop", check=False)
        for path in self.script, self.options_file, pathlib.Path("/var/log/bpftune.log"):
            path.unlink(missing_ok=True)
        shutil.rmtree("/run/openrc", ignore_errors=True)


class Runit(Service):
    directory, manager = pathlib.Path("/run/bpftune-runit"), None

    def __init__(self):
        super().__init__(BUILT / "runit/bpftune/run")

    def install(self):
        self.directory.mkdir()
        for name in "run", "check", "finish":
            shutil.copy(self.service.with_name(name), self.directory)
        (self.directory / "conf").write_text(self.options)
        (self.directory / "down").touch()
        self.manager = subprocess.Popen(["runsv", self.directory], stdin=subprocess.DEVNULL)
        wait_for((self.directory / "supervise/ok").exists, 10, "runsv")

    def manage(self, command, check=True):
        return run("sv", "-w", 60, command, self.directory, check=check, timeout=90)

    def is_up(self):
        return self.manage("status").stdout.startswith("run:")

    def clear(self):
        if self.manager:
            self.manage("shutdown", check=False)
            self.manager.kill()
            self.manager.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.mark.parametrize("manager", (OpenRC, Runit))
def test_life(lab, manager):
    """Started is who answers; a dead one is replaced; stopped, nothing is left; and what is known outlasts it all."""
    container = lab.container("runc", "bt-near", {TTL: "64"})
    service = lab.keep(manager())
    assert not service.is_up()
    service.manage("start")
    assert service.answers() and service.is_up()
    service.ready("host", container.name, deadline=START_S)
    container.poke("step")
    wait_for(lambda: service.changes(container.name), 20, "a change")

    def assert_remembers():
        service.ready(container.name, deadline=START_S)
        tunable = service.tunable(container.name, TTL)
        assert (tunable["initial"], tunable["current"], tunable["changes"]) == ("64", "65", 1)

    pid, workers = service.pid, service.workers().values()
    service.manage("restart")
    service.another(pid)
    assert not [each for each in (pid, *workers) if alive(each)]
    assert_remembers()

    pid, workers = service.pid, service.workers().values()
    os.kill(pid, signal.SIGKILL)
    service.another(pid)
    assert_remembers()

    pid, workers = service.pid, service.workers().values()
    service.manage("stop")
    assert service.gone(pid, workers) and not service.is_up()
    service.manage("start")
    assert_remembers()
