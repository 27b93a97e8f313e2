# SPDX-License-Identifier: GPL-2.0-or-later
"""What `advise` says of sysctl.d files as people have them, and of a container's values to its runtime."""
import functools
import os
import pathlib
import re
import shlex
from types import SimpleNamespace

import pytest

from lab import BPFTUNE, FIN_TIMEOUT, TTL, Host, change, kept_sysctls, only, run, sysctl_path, wait_for

FILES = pathlib.Path(__file__).with_name("sysctls")
NOBODY = "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"
LINE = re.compile(r"(?P<path>.*?):(?:(?P<number>\d+):)? (?P<severity>note|warning|error): (?P<text>.*)")
OWN = "note", "each network namespace has its own"
MACHINES = "note", "the machine's"


def said(result):
    """(line's number, severity, text) of each line of the output; the last is a summary, which counts them."""
    *lines, summary = result.stdout.splitlines()
    found = [LINE.fullmatch(line).groupdict() for line in lines]
    counted = [sum(line["severity"] == severity for line in found) for severity in ("error", "warning")]
    assert summary.endswith(f"errors: {counted[0]}, warnings: {counted[1]}"), summary
    return [(int(line["number"] or 0), line["severity"], line["text"]) for line in found]


def advise(*words, wrap=(), status=None, run_dir="/nowhere"):
    result = run(*wrap, BPFTUNE, "advise", "--run-dir", run_dir, *words, check=False)
    lines = said(result)
    wanted = int(any(severity != "note" for _, severity, _ in lines)) if status is None else status
    assert result.returncode == wanted, result
    return lines


@functools.cache
def of_file(name):
    return advise(FILES / f"{name}.conf")


def of_key(lines, key):
    return [(severity, text.removeprefix(f"{key}: ")) for _, severity, text in lines if text.startswith(f"{key}: ")]


def says(lines, key, severity, text):
    return any(s == severity and text in t for s, t in of_key(lines, key))


@pytest.mark.parametrize("name, key, severity, text", [
    ("kubernetes-node", "net.core.somaxconn", *OWN),
    ("kubernetes-node", "net.ipv4.tcp_wmem", *OWN),
    ("kubernetes-node", "net.ipv4.ip_forward", *OWN),
    ("kubernetes-node", "net.core.netdev_max_backlog", "note", "the machine's: a container does not have it"),
    ("kubernetes-node", "net.core.rmem_max", "note", "the machine's: a container"),     # which depends on the kernel
    ("kubernetes-node", "net.ipv4.neigh.default.gc_thresh3", "note", "the machine's: a container does not have it"),
    ("kubernetes-node", "net.ipv4.conf.*.rp_filter", "note", "a network device's"),
    ("kubernetes-node", "vm.max_map_count", *MACHINES),
    ("managed-node", "net.ipv4.tcp_rmem", *OWN),
    ("managed-node", "net.ipv4.conf.eth0/100.rp_filter", "note", "no device of this name"),
    ("managed-node", "net.ipv6.conf.lo.disable_ipv6", "note", "a network device's"),
    ("managed-node", "fs.inotify.max_user_watches", *MACHINES),
    ("managed-node", "user.max_user_namespaces", "note", "each user namespace has its own"),
    ("database", "kernel.sem", "note", "each IPC namespace has its own"),
    ("database", "vm.swappiness", "warning", "begins no comment"),
    ("database", "kernel.sched_migration_cost_ns", "warning", "in debugfs since Linux 5.13"),
    ("database", "net.core.rmem_max", "error", "'4M' is none"),
    ("database", "net.ipv4.tcp_tw_recycle", "warning", "gone since Linux 4.12"),
    ("database", "net.ipv4.tcp_rmem", *OWN),
    ("database", "vm.drop_caches", "warning", "an action"),
    ("web-server", "net.ipv4.tcp_fack", "warning", "without effect since Linux 4.15"),
    ("web-server", "net.ipv4.tcp_low_latency", "warning", "without effect since Linux 4.14"),
    ("web-server", "net.ipv4.ip_conntrack_max", "warning", "nf_conntrack_"),
    ("web-server", "net.ipv4.netfilter.ip_conntrack_tcp_timeout_established", "warning", "nf_conntrack_"),
    ("web-server", "net.ipv4.route.max_size", "warning", "without effect since Linux 3.6"),
    ("web-server", "net.ipv4.tcp_max_orphans", "note", "the machine's: a container does not have it"),
    ("web-server", "net.core.somaxconn", "warning", "web-server.conf:13 sets it, too, to 65535"),
    ("web-server", "net.ipv4.no_such_key", "warning", "this kernel does not have it"),
])
def test_files_as_people_have_them(name, key, severity, text):
    lines = of_file(name)
    assert says(lines, key, severity, text), of_key(lines, key)


def test_every_line_is_spoken_of():
    for path in FILES.glob("*.conf"):
        wanted = {number for number, line in enumerate(path.read_text().splitlines(), 1)
                  if line.strip() and line[0] not in "#;" and (line[0] != "-" or "=" in line)}
        assert {number for number, *_ in of_file(path.stem)} == wanted


def test_malformed_lines_have_their_numbers():
    lines = {number: text for number, severity, text in of_file("web-server") if severity == "error"}
    assert list(lines) == [15, 16, 17, 18, 19]
    assert "no '='" in lines[15] and "blank" in lines[16] and "no key" in lines[18] and "empty" in lines[19]


def test_without_privileges():
    lines = advise(FILES / "web-server.conf", wrap=NOBODY)
    assert says(lines, "net.ipv4.tcp_syncookies", "note", "only root can find out")
    assert says(lines, "net.ipv4.tcp_tw_recycle", "warning", "gone since")
    assert says(lines, "net.core.somaxconn", "warning", "web-server.conf:13")


def test_nothing_to_find_fault_with(tmp_path):
    path = tmp_path / "a.conf"
    path.write_text(f"# fine\nnet.ipv4.ip_default_ttl = {sysctl_path(TTL).read_text()}-net.ipv4.no_such_key = 1\n")
    assert not [line for line in advise(path, status=0) if line[1] != "note"]


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "a.conf").write_text("net.ipv4.tcp_fack = 1\n")
    result = run(BPFTUNE, "advise", tmp_path / "none.conf", tmp_path, tmp_path / "a.conf", check=False)
    assert result.returncode == 1 and says(said(result), "net.ipv4.tcp_fack", "warning", "without effect")
    assert f"{tmp_path}/none.conf: No such file" in result.stderr and f"{tmp_path}: Is a directory" in result.stderr


def test_files_that_are_no_files(tmp_path):
    """A FIFO that nobody writes to is not waited for, and a file without an end is not read; a pipe is read."""
    os.mkfifo(tmp_path / "fifo")
    assert advise(tmp_path / "fifo", "/dev/null", status=0) == []
    result = run(BPFTUNE, "advise", "--run-dir", "/nowhere", "/dev/zero", check=False)
    assert result.returncode == 1 and "cannot read /dev/zero: File too large" in result.stderr
    assert result.stdout == "settings: 0, files: 0, errors: 0, warnings: 0\n"
    piped = run("sh", "-c", 'echo net.ipv4.tcp_fack = 1 | "$0" advise --run-dir /nowhere /dev/stdin', BPFTUNE, check=False)
    assert says(said(piped), "net.ipv4.tcp_fack", "warning", "without effect")


def test_names_are_escaped(tmp_path):
    path = tmp_path / "a\n\033[31m.conf"
    path.write_text("kernel.core_pattern = \033[31m\nb\033d\n")
    assert "\033" not in run(BPFTUNE, "advise", path, check=False).stdout


def test_order_of_directories(tmp_path):
    """As systemd reads them: by name, /etc over /run over /usr/local/lib."""
    script = """
        mount -t tmpfs none /etc/sysctl.d && mount -t tmpfs none /run && mount -t tmpfs none /usr/local/lib &&
        mkdir /run/sysctl.d /usr/local/lib/sysctl.d && cd /etc/sysctl.d &&
        echo net.ipv4.tcp_fack=1 >10-a.conf && echo net.ipv4.tcp_fack=2 >/run/sysctl.d/10-a.conf &&
        echo net.ipv4.ip_default_ttl=99 >/usr/local/lib/sysctl.d/20-b.conf && echo net.ipv4.ip_default_ttl=98 >/run/sysctl.d/30-c.conf &&
        ln -s /dev/null 40-d.conf && echo bad >/run/sysctl.d/40-d.conf && echo bad >README && exec "$0" advise"""
    pathlib.Path("/etc/sysctl.d").mkdir(exist_ok=True)
    result = run("unshare", "-m", "sh", "-c", script, BPFTUNE, check=False)
    lines = said(result)
    assert result.returncode == 1
    assert "/etc/sysctl.d/10-a.conf:1: warning: net.ipv4.tcp_fack: " in result.stdout
    assert "/run/sysctl.d/10-a.conf: note: not read: /etc/sysctl.d has a file of this name" in result.stdout
    assert "/run/sysctl.d/40-d.conf: note: not read" in result.stdout
    assert says(lines, TTL, "note", "ignored: /run/sysctl.d/30-c.conf:1 sets it, too, to 98")
    assert says(lines, TTL, "warning", "not in effect: the host has ")
    assert not [line for line in lines if line[1] == "error"]


# With a supervisor

@pytest.fixture(scope="module")
def world(shared):
    shared.enter_context(kept_sysctls())
    one, two = shared.container("netns", "bt-one"), shared.container("netns", "bt-two")
    more = [shared.container("netns", f"bt-more{i}") for i in range(5)]
    two.write(TTL, 63)      # values that no other namespace of the machine has
    two.write(FIN_TIMEOUT, 50)
    for container in more:
        container.write(TTL, 61)
    supervisor = shared.supervisor(tuners=only("poke"))
    supervisor.ready("host", one.name, two.name, *(container.name for container in more))
    change(supervisor, one, "step", "second")
    return SimpleNamespace(supervisor=supervisor, one=one, two=two)


def test_what_containers_have(world, tmp_path):
    path, supervisor = tmp_path / "a.conf", world.supervisor
    path.write_text(f"{TTL} = 64\n{FIN_TIMEOUT} = 60\n")
    lines = advise(path, run_dir=supervisor.run_dir)
    for key in TTL, FIN_TIMEOUT:
        tunable = supervisor.tunable("bt-one", key)
        wanted = f"bt-one has {tunable['current']}, measured by poke to be of use; first {tunable['initial']}"
        assert says(lines, key, "note", wanted), of_key(lines, key)
        assert ("note", f"bt-two has {world.two.sysctl(key)}") in of_key(lines, key)


def test_containers_of_one_value_are_told_together(world, tmp_path):
    path = tmp_path / "a.conf"
    path.write_text(f"{TTL} = 64\n")
    lines = [text for _, text in of_key(advise(path, run_dir=world.supervisor.run_dir), TTL)]
    assert [text for text in lines if re.match(r"(bt-more\d, ){2}bt-more\d and 2 others have 61$", text)], lines


def test_line_that_takes_back_what_the_host_needs(world, tmp_path):
    path, supervisor = tmp_path / "a.conf", world.supervisor
    before = Host().sysctl(TTL)
    change(supervisor, Host(), "step")
    try:
        path.write_text(f"{TTL} = {before}\n")
        lines = advise(path, run_dir=supervisor.run_dir)
        assert says(lines, TTL, "warning", f"the host has {Host().sysctl(TTL)}, measured by poke to be of use"), lines
        path.write_text(f"{TTL} = 255\n")
        assert not [line for line in advise(path, run_dir=supervisor.run_dir) if line[1] != "note"]
    finally:
        supervisor.rollback("host")
        supervisor.resume("host")


def test_hints(world):
    """Options of docker and podman, and a part of a pod: as `sysctl` takes them, with the container's values."""
    text = world.supervisor.cli("advise", "--apply-hints", "bt-one").stdout
    options = text[:text.index("\n\n")].replace("\\\n", "")
    words = shlex.split(options, comments=True)
    values = {TTL: world.one.sysctl(TTL), FIN_TIMEOUT: world.one.sysctl(FIN_TIMEOUT)}
    assert words[0::2] == ["--sysctl"] * len(values)
    assert dict(word.split("=") for word in words[1::2]) == values
    pod = text[text.index("spec:\n"):]
    assert dict(re.findall(r'- name: ([\w.]+).*\n +value: "(.*)"', pod)) == values
    assert f"--allowed-unsafe-sysctls={TTL}\n" in text
    assert f"name: {TTL}  # unsafe\n" in pod and f"name: {FIN_TIMEOUT}\n" in pod


def test_no_hints(world):
    assert "changed nothing in bt-two" in world.supervisor.cli("advise", "--apply-hints", "bt-two").stdout
    for name, why in ("host", "the host's network namespace"), ("bt-none", "no such container"):
        result = world.supervisor.cli("advise", "--apply-hints", name, check=False)
        assert result.returncode == 1 and not result.stdout and why in result.stderr


def test_administrators_value_is_not_ours(world, tmp_path):
    path, supervisor, two = tmp_path / "a.conf", world.supervisor, world.two
    path.write_text(f"{TTL} = 64\n")
    change(supervisor, two, "step")
    two.write(TTL, 77)
    wait_for(lambda: supervisor.is_manual("bt-two", "poke") and supervisor.tunable("bt-two", TTL)["current"] == "77", 2)
    assert ("note", "bt-two has 77") in of_key(advise(path, run_dir=supervisor.run_dir), TTL)
    hints = supervisor.cli("advise", "--apply-hints", "bt-two").stdout
    assert f"# {TTL} is left out: its tuner has stepped aside" in hints and "--sysctl" not in hints


def test_wrong_usage_and_no_supervisor():
    for words in ["--apply-hints"], ["--apply-hints", "a", "b"], ["--json"], ["--all"]:
        result = run(BPFTUNE, "advise", *words, check=False)
        assert result.returncode == 2 and not result.stdout and result.stderr
    assert run(BPFTUNE, "advise", "--run-dir", "/nowhere", "--apply-hints", "a", check=False).returncode == 4
