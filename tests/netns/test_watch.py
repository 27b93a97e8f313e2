# SPDX-License-Identifier: GPL-2.0-or-later
"""`bpftune watch` in a terminal, which is tmux, with containers that something happens to."""
import os
import re
import shutil
import signal

import pytest

from crowd import Cgroup, Sleeper, is_ready, wait_for_instance
from flooded import Flooded
from lab import SLOWNESS, TTL, number, only, run, wait_for
from terminal import DEADLINE, Terminal


@pytest.fixture(scope="module")
def supervisor(shared):
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed")
    supervisor = shared.supervisor(tuners=only("poke"))
    supervisor.ready("host")
    return supervisor


@pytest.fixture
def container(lab, supervisor):
    container = lab.container("netns", f"bt-watch{number()}")
    supervisor.ready(container.name)
    return container


@pytest.fixture
def watch(lab, supervisor):
    """Starts it in a terminal."""
    def start(*words, **options):
        return lab.keep(Terminal(supervisor.command("watch", *words), **options))
    return start


def change(supervisor, container):
    container.poke("step")
    wait_for(lambda: supervisor.changes(container.name), DEADLINE, "the change")


def test_table(supervisor, container, watch):
    """Rows for all; a change is there at once, with its reason; the page fits the terminal, however large it is."""
    terminal = watch()
    terminal.shows(rf"^ *\d+ {container.name} ")
    terminal.shows(r"^ *1 host ")
    change(supervisor, container)
    assert supervisor.instance(container.name)["worker"]["events"] > 0
    terminal.shows(rf"{container.name} .* step .* 1 +\d+[sm]$")
    terminal.type("s", "s")
    terminal.shows(r"s sort \(changes\)")
    terminal.type("/", container.name, "Enter")
    terminal.shows(rf"^{container.name}: .*, 1 change$")
    terminal.shows(rf"{TTL} 64 -> 65$")
    terminal.tmux("resize-window", "-x", "130", "-y", "40")
    terminal.shows(rf"{container.name} .* {TTL} 64 -> 65$")
    assert len(terminal.lines()) == 40
    terminal.tmux("resize-window", "-x", "30", "-y", "6")
    terminal.shows("^bpftune .*up")
    terminal.shows("^Enter open")
    terminal.tmux("resize-window", "-x", "80", "-y", "24")
    terminal.type("q")
    assert terminal.ended() == (0, "")


def test_filter(lab, supervisor, container, watch):
    other = lab.container("netns", f"bt-other{number()}")
    supervisor.ready(other.name)
    terminal = watch()
    terminal.shows(f" {other.name} ")
    terminal.type("/", "T-WATCH")
    terminal.shows("filter: T-WATCH_")
    terminal.hides(f" {other.name} ")
    terminal.type("Enter")
    terminal.shows(f" {container.name} ")
    terminal.shows("1 shown")
    terminal.type("Escape")
    terminal.shows(f" {other.name} ")
    other.remove()
    terminal.hides(f" {other.name} ")
    terminal.type("q")
    assert terminal.ended() == (0, "")


def test_opened(lab, supervisor, watch):
    """Its log goes on, until it ends."""
    container = lab.container("runc", f"bt-watchrunc{number()}")
    supervisor.ready(container.name)
    terminal = watch()
    terminal.shows(f" {container.name} ")
    terminal.type("/", "watchrunc", "Enter")
    terminal.shows(f"^{container.name}: ")      # it is selected
    terminal.type("Enter")
    terminal.shows(f"^{container.name}: id \\d+, .*worker ready")
    terminal.shows("worker .* is ready")
    change(supervisor, container)
    terminal.shows(rf"^\d\d:\d\d:\d\d poke: {TTL} 64 -> 65 \(step\)")
    terminal.shows(rf"^{TTL} 64 -> 65, 1 change$")
    terminal.type("Escape")
    terminal.shows("SUFFERS FROM")
    terminal.type("Enter")
    terminal.shows(rf"^\d\d:\d\d:\d\d poke: {TTL} ")
    container.clear(container.name)
    terminal.shows("it has ended")
    terminal.type("q")
    assert terminal.ended() == (0, "")


def test_suffers(lab, supervisor, container, watch):
    """Who loses datagrams now comes first, with the rate."""
    lab.keep(Flooded(container, 4096)).open()
    wait_for(lambda: container.counters("Udp")["RcvbufErrors"] > 1000, 10, "datagrams to be dropped")
    terminal = watch()
    terminal.shows(rf" {container.name} +UdpRcvbufErrors +[\d.]+/s ")
    terminal.type("/", "bt-watch", "Enter")
    terminal.shows(rf"^{container.name}: .*worker ready")     # it is selected
    terminal.type("Enter")
    terminal.shows(r"^UdpRcvbufErrors +\d+ +[\d.]+/s")


def test_suffers_off_the_page(lab, supervisor, container, watch):
    """Who loses datagrams comes first, also where the page had no room for it: it has for five, the latest or the first."""
    for name in "abcdef":
        wait_for_instance(supervisor, lab.keep(Sleeper(lab.keep(Cgroup(f"/bt-{name}")))), is_ready)
    last = lab.container("netns", f"bt-last{number()}")
    supervisor.ready(last.name)
    terminal = watch(height=8)
    terminal.shows(" bt-[a-f] ")
    hidden = [each for each in (container, last) if not any(f" {each.name} " in line for line in terminal.lines())]
    off = (hidden or [last])[0]
    lab.keep(Flooded(off, 4096)).open()
    terminal.shows(rf" {off.name} +UdpRcvbufErrors +[\d.]+/s ")


def test_renamed(lab, supervisor, watch):
    """Opened by what the page still calls it, as it was held up: it is the same container."""
    here, there = (lab.keep(Cgroup(f"/bt-named/bt-{name}")) for name in ("renamed-1", "renamed-2"))
    sleeper = lab.keep(Sleeper(here))
    wait_for_instance(supervisor, sleeper, is_ready)
    terminal = watch()
    terminal.type("/", "bt-renamed", "Enter")       # both names have that
    terminal.shows("^bt-renamed-1: .*worker ready")
    page = terminal.pid()
    os.kill(page, signal.SIGSTOP)
    lab.callback(os.kill, page, signal.SIGCONT)
    there.add(sleeper.pid)
    wait_for_instance(supervisor, sleeper, lambda instance: instance["name"] == "bt-renamed-2", what="the other name")
    terminal.type("Enter")
    os.kill(page, signal.SIGCONT)
    terminal.shows("^bt-renamed-2: id \\d+, .*worker ready")
    terminal.shows("worker .* is ready")
    assert not any("it has ended" in line for line in terminal.lines())


def test_name_that_attacks(lab, supervisor, watch):
    """Who names a container does nothing to the terminal."""
    cgroup = lab.keep(Cgroup("/bt-\x1b]2;owned\x07\x1b[2J\x1b[31m"))
    sleeper = lab.keep(Sleeper(cgroup))
    wait_for_instance(supervisor, sleeper, is_ready)
    terminal = watch(width=100)
    terminal.shows(re.escape(r"bt-\x1b]2;owned\x07\x1b[2J"[:24]))
    terminal.type("/", "owned", "Enter")
    terminal.shows("1 shown")
    terminal.type("Enter")
    terminal.shows(re.escape(r"bt-\x1b]2;owned\x07\x1b[2J\x1b[31m: id"))
    assert "owned" not in terminal.tmux("display-message", "-p", "#{pane_title}")
    terminal.type("Escape")
    terminal.shows("SUFFERS FROM")


def test_name_in_utf8(lab, supervisor, watch):
    """Whatever the environment says of the terminal: all that bpftune prints is UTF-8."""
    container = lab.container("netns", "bt-wäch\u6f22")
    supervisor.ready(container.name)
    terminal = watch(LC_ALL="C")
    terminal.shows(rf"^ *\d+ {container.name} {{16}}-  ")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, "C-c"])
def test_ends(supervisor, watch, how):
    terminal = watch()
    terminal.shows(r"^ *1 host ")
    if how == "C-c":
        terminal.type(how)
    else:
        os.kill(terminal.pid(), how)
    assert terminal.ended() == (0, "")


def test_supervisor_ends(supervisor, watch):
    terminal = watch()
    terminal.shows(r"^ *1 host ")
    supervisor.process.send_signal(signal.SIGTERM)
    assert terminal.ended() == (4, f"bpftune: the supervisor of {supervisor.run_dir} has ended\n")
    terminal.remove()
    supervisor.process.wait(timeout=DEADLINE * SLOWNESS)
    wait_for(lambda: not supervisor.traces(), DEADLINE, "its end")
    supervisor.start()


@pytest.mark.parametrize("term", ["nonsense", "dumb"])
def test_unknown_terminal(supervisor, watch, term):
    """It is not taken over: what there is to show is printed, once."""
    terminal = watch(width=120, TERM=term)
    terminal.shows(r"^ *1 host ")
    assert terminal.ended() == (0, "")


def test_no_terminal(supervisor, container):
    """Text, once, with nothing that controls a terminal."""
    change(supervisor, container)
    text = supervisor.cli("watch").stdout
    assert text.isprintable() or set(re.findall(r"[^\x20-\x7e]", text)) == {"\n"}
    assert re.search(rf"^ *\d+ {container.name} .* {TTL} 64 -> 65$", text, re.M)
    text = supervisor.cli("watch", container.name).stdout
    assert re.search(rf"^{container.name}: id \d+", text)
    assert re.search(rf"^\d\d:\d\d:\d\d poke: {TTL} 64 -> 65 \(step\): ", text, re.M)


def test_no_such(supervisor):
    said = supervisor.cli("watch", "nobody", check=False)
    assert said.returncode == 1 and said.stderr.startswith("bpftune: no such container: nobody")
    said = run(*supervisor.command("watch")[:2], "--run-dir", "/nowhere", check=False)
    assert said.returncode == 4
