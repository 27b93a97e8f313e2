# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands, what they print, and how they fail."""
import contextlib
import datetime
import json
import os
import re
import socket
import subprocess
import threading
from types import NoneType

import pytest

from crowd import Cgroup
from lab import (AMPLE, BPFTUNE, SLOWNESS, SMALL_WMEM, TUNERS, WMEM, cgroup2_mounts, is_watched, kept_sysctls, run, sysctl_path, tuner_names,
                 wait_for)

FAILED, USAGE, UNSUPPORTED, NO_SUPERVISOR = 1, 2, 3, 4

NUMBER, TEXT_OR_NULL = (int, float), (str, NoneType)
STATUS = {
    "version": str, "kernel": str, "uptime_s": NUMBER, "dry_run": bool,
    "events": {"received": int, "routed": int, "coalesced": int, "lost": int, "unroutable": int, "told": int},
    "tuners": [{"name": str, "path": str,
                "hooks": [{"program": str, "attach": str, "attached": bool, "error": TEXT_OR_NULL, "refusals": int}]}],
    "instances": [{
        "id": int, "name": str, "container_id": TEXT_OR_NULL, "runtime": TEXT_OR_NULL,
        "netns": {"cookie": int, "inode": int}, "cgroup": {"path": TEXT_OR_NULL, "id": (int, NoneType)},
        "worker": {"pid": (int, NoneType), "state": str, "restarts": int},
        "tuners": [{"name": str, "state": str, "why": TEXT_OR_NULL}],
        "tunables": [{"name": str, "tuner": str, "initial": str, "current": str, "changes": int,
                      "last_scenario": TEXT_OR_NULL}],
    }],
}
RECORD = {"time": str, "instance": int, "container": str, "container_id": TEXT_OR_NULL, "tuner": TEXT_OR_NULL, "scenario": TEXT_OR_NULL,
          "severity": (str, int), "text": str}
CHANGE = {**RECORD, "tuner": str, "scenario": str, "tunable": str, "from": str, "to": str}


def check(value, schema, where):
    """The value has every field of the schema, and each of its type."""
    if isinstance(schema, dict):
        assert isinstance(value, dict), where
        for key, inner in schema.items():
            assert key in value, f"{where} has no {key}"
            check(value[key], inner, f"{where}.{key}")
    elif isinstance(schema, list):
        assert isinstance(value, list), where
        for number, item in enumerate(value):
            check(item, schema[0], f"{where}[{number}]")
    else:
        assert isinstance(value, schema) and (schema is bool or not isinstance(value, bool)), f"{where} is {value!r}"


def fails(code, *command, **options):
    """The command ends with that exit code, with nothing on its output and a message, which it gives."""
    result = run(*command, check=False, **options)
    assert result.returncode == code, result
    assert not result.stdout and result.stderr
    return result.stderr


def fits(text, width=100):
    return not [line for line in text.splitlines() if len(line) > width]


@pytest.fixture(scope="module")
def container(shared):
    return shared.container("runc", "bt-cli", SMALL_WMEM)


@pytest.fixture(scope="module")
def supervisor(shared, container):
    """One whose container has had a change or two."""
    path = shared.path(container, shared.container("netns", "bt-far", AMPLE), 1)
    supervisor = shared.supervisor()
    supervisor.ready("host", "bt-far", "bt-cli")
    path.raise_limit()
    supervisor.wait_for_log("bt-cli", WMEM, container)
    return supervisor


# What needs no supervisor

def test_version():
    assert run(BPFTUNE, "--version").stdout.startswith("bpftune 0.")


@pytest.mark.parametrize("command", [[], ["run"], ["status"], ["log"], ["report"], ["probe"]])
def test_help(command):
    text = run(BPFTUNE, *command, "--help").stdout
    assert "bpftune" in text.splitlines()[0] and fits(text)


@pytest.mark.parametrize("words", [
    [], ["dance"], ["run", "--dance"], ["run", "extra"], ["status", "one", "two"], ["status", "--all", "host"], ["log", "-n", "many"],
    ["log", "-n", "-1"], ["run", "--run-dir"], ["rollback"], ["rollback", "--dry-run"], ["rollback", "--all", "host"],
    ["report", "one", "two"], ["report", "-o"], ["report", "--json"], ["metrics", "one"], ["metrics", "--listen"],
    ["metrics", "-o", "/x", "--listen", "127.0.0.1:0"],
    ["resume"], ["resume", "--all"], ["off"], ["on"], ["off", "--all", "tcp_buffer", "host"], ["on", "host", "tcp_buffer", "x"],
], ids=" ".join)
def test_wrong_usage(words):
    assert "bpftune" in fails(USAGE, BPFTUNE, *words)


@pytest.mark.parametrize("words, told", [
    (["tuners", "--all"], "'tuners' does not take the option --all"), (["status", "-n", "3"], "'status' does not take the option --lines"),
    (["rollback"], "'rollback' needs a CONTAINER, or --all"), (["resume"], "'resume' needs a CONTAINER ("),
    (["log", "-n"], "this option needs a value: -n"),
], ids=lambda value: value if isinstance(value, str) else "-".join(value))
def test_wrong_usage_is_told(words, told):
    assert told in fails(USAGE, BPFTUNE, *words)


def test_help_is_a_command():
    assert run(BPFTUNE, "help").stdout == run(BPFTUNE, "--help").stdout


@pytest.mark.parametrize("words", [["--help"], ["--version"]], ids=" ".join)
def test_full_output(words):
    """What could not be written is no success."""
    with open("/dev/full", "w") as full:
        result = subprocess.run([BPFTUNE, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=10 * SLOWNESS)
    assert result.returncode == FAILED and "No space left on device" in result.stderr


@pytest.mark.parametrize("command", ["status", "log"])
def test_no_supervisor(tmp_path, command):
    message = fails(NO_SUPERVISOR, BPFTUNE, command, "--run-dir", tmp_path)
    assert str(tmp_path) in message and "bpftune run" in message


def test_probe():
    text = run(BPFTUNE, "probe", "--plugin-dir", TUNERS).stdout
    for word in "BTF", "cgroup2", "raw_tp/task_newtask", "tcp_buffer", "sockops", "raw_tp/tcp_rcv_space_adjust":
        assert word in text
    assert fits(text)
    assert re.fullmatch(f"bpftune can do all of its work here: {len(tuner_names())} tuners, .*\\.", text.splitlines()[-1])


@pytest.mark.parametrize("without, code, verdict", [
    ("-sys_admin,-net_admin", UNSUPPORTED, "bpftune would run here, but do less: the kernel refuses .* of .*tcp_buffer.*"),
    ("-sys_admin,-perfmon", FAILED, "bpftune cannot run here with the rights that it has now."),
], ids=["less", "not at all"])
def test_probe_refused(without, code, verdict):
    result = run("setpriv", f"--bounding-set={without}", BPFTUNE, "probe", "--plugin-dir", TUNERS, check=False)
    assert result.returncode == code
    assert re.fullmatch(verdict, result.stdout.splitlines()[-1])


# How `run` fails

def supervisor_command(tmp_path):
    return BPFTUNE, "run", "--stderr", "--plugin-dir", TUNERS, "--run-dir", tmp_path / "run"


def test_not_root(tmp_path):
    nobody = "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"
    message = fails(FAILED, *nobody, *supervisor_command(tmp_path))
    assert "root" in message or "sudo" in message


def test_no_btf(tmp_path):
    script = 'mount -t tmpfs none /sys/kernel/btf && exec "$0" "$@"'
    assert "BTF" in fails(UNSUPPORTED, "unshare", "-m", "sh", "-c", script, *supervisor_command(tmp_path))


def test_hook_refused(tmp_path):
    """A program that cannot be done without is named, and so is the remedy."""
    message = fails(FAILED, "setpriv", "--bounding-set=-sys_admin,-perfmon", *supervisor_command(tmp_path))
    assert "raw_tp/" in message and "CAP_" in message


def test_optional_hook_refused(lab):
    """The rest works without it; the log says so, and `status` by name."""
    supervisor = lab.supervisor(wrap=("setpriv", "--bounding-set=-sys_admin,-net_admin"))
    status = supervisor.status()
    hooks = {hook["attach"]: hook for owner in (status["watch"], *status["tuners"]) for hook in owner["hooks"]}
    for hook in "sockops", "sockops/look":  # an observer, and those that it would call
        assert not hooks[hook]["attached"] and "CAP_NET_ADMIN" in hooks[hook]["error"]
    assert hooks["raw_tp/tcp_rcv_space_adjust"]["attached"]
    assert "sockops" in supervisor.cli("status").stdout and "sockops" in supervisor.stderr()


def test_no_cgroup2_mounted(lab):
    """Then it mounts one of its own, and all of it works."""
    script = f"umount -l {' '.join(reversed(cgroup2_mounts()))} && exec \"$0\" \"$@\""
    supervisor = lab.supervisor(wrap=("unshare", "-m", "sh", "-c", script))
    supervisor.ready("host")
    hooks = [hook for tuner in supervisor.status()["tuners"] for hook in tuner["hooks"]]
    assert hooks and all(hook["attached"] for hook in hooks), hooks


@pytest.mark.parametrize("namespaces, name, remedy", [
    (["--pid", "--fork", "--mount-proc"], "PID", "--pid=host"),
    (["--user", "--map-root-user"], "user", "root of the host"),
    (["--cgroup"], "cgroup", "--cgroupns=host"),
], ids=["pid", "user", "cgroup"])
def test_not_in_the_initial_namespace(tmp_path, namespaces, name, remedy):
    offline = [BPFTUNE, "rollback", "--offline", "--all", "--run-dir", tmp_path]     # it would see no other's namespace
    for command in supervisor_command(tmp_path), offline:
        message = fails(FAILED, "unshare", *namespaces, *command)
        assert f"initial {name} namespace" in message and remedy in message


def test_part_of_cgroup2(tmp_path, lab):
    """Mounted as a container has it."""
    cgroup, part = lab.keep(Cgroup("/bt-part")), tmp_path / "part"
    part.mkdir()
    umount = f"umount -l {' '.join(reversed(cgroup2_mounts()))}"
    script = f'mount --bind {cgroup.directory} {part} && {umount} && exec "$0" "$@"'
    message = fails(FAILED, "unshare", "-m", "sh", "-c", script, *supervisor_command(tmp_path))
    assert "a part of cgroup2 only" in message and "mount -t cgroup2" in message and str(part) in message


def test_second_supervisor_elsewhere(supervisor, tmp_path):
    """Another run directory is no other machine. Who changes nothing may look on."""
    message = fails(FAILED, *supervisor_command(tmp_path))
    assert f"pid {supervisor.pid} on {supervisor.run_dir}" in message and "stop it" in message
    onlooker = subprocess.Popen([*map(str, supervisor_command(tmp_path)), "--dry-run"], stderr=subprocess.DEVNULL)
    try:
        status = [BPFTUNE, "status", "--run-dir", tmp_path / "run"]
        wait_for(lambda: run(*status, check=False).returncode == 0, 20, "the onlooker to answer")
    finally:
        onlooker.terminate()
        assert onlooker.wait(timeout=5 * SLOWNESS) == 0
    supervisor.ready("host")


def test_machine_lock(supervisor):
    """Only root can take it, or look whether it is taken."""
    lock = os.stat("/run/bpftune/machine.lock")
    assert (lock.st_uid, lock.st_mode & 0o777) == (0, 0o600)
    assert not os.stat("/run/bpftune").st_mode & 0o022


def test_second_supervisor(supervisor):
    message = fails(FAILED, BPFTUNE, "run", "--stderr", "--plugin-dir", TUNERS, "--run-dir", supervisor.run_dir)
    assert str(supervisor.pid) in message
    assert supervisor.ready("host")


# status

def test_status_json(supervisor):
    status = supervisor.status()
    check(status, STATUS, "status")
    assert set(status) == {"version", "kernel", "uptime_s", "dry_run", "pid", "events", "watch", "tuners", "instances"}
    assert set(supervisor.status("bt-cli")) == set(status)
    assert {tuner["name"] for tuner in status["tuners"]} == tuner_names()
    assert all(hook["attached"] and hook["error"] is None for tuner in status["tuners"] for hook in tuner["hooks"])
    assert {instance["worker"]["state"] for instance in status["instances"]} <= \
        {"none", "starting", "ready", "leaving", "retiring", "backoff"}
    assert status["kernel"] == run("uname", "-r").stdout.strip()
    assert status["events"]["received"] >= status["events"]["routed"] > 0
    assert status["events"]["told"] >= len(supervisor.changes("bt-cli")) > 0
    assert supervisor.instance("bt-cli")["tuners"] == [{"name": name, "state": "active", "why": None}
                                                       for name in sorted(tuner_names())]


def test_status_of_one(supervisor, container):
    instance = supervisor.instance("bt-cli")
    for name in "bt-cli", f"pid:{container.pid}", f"instance:{instance['id']}", str(instance["id"]), "bt-cl":
        assert [found["name"] for found in supervisor.status(name)["instances"]] == ["bt-cli"], name
    assert [found["name"] for found in supervisor.status(f"pid:{os.getpid()}")["instances"]] == ["host"]


def test_status_text(supervisor):
    for words in [], ["bt-cli"]:
        text = supervisor.cli("status", *words).stdout
        assert "bt-cli" in text and WMEM in text and fits(text)
        assert ("bt-far" in text) == (not words)


@pytest.mark.parametrize("name", ["bt-nobody", "pid:4194304", "instance:999999", "999999"])
@pytest.mark.parametrize("command", ["status", "log"])
def test_unknown_container(supervisor, command, name):
    assert name in fails(FAILED, BPFTUNE, command, "--run-dir", supervisor.run_dir, name)


# tuners

def without_counters(tuners):
    """How often programs have run is another number each time."""
    return [{**tuner, "hooks": [{key: value for key, value in hook.items()
                                 if key not in ("runs", "runs_per_s", "timed", "ns")} for hook in tuner["hooks"]]}
            for tuner in tuners]


def test_observers_run_time(supervisor):
    """The kernel's figures, and so the same as bpftool's."""
    def timed():
        run("unshare", "--net", "true")     # fork, exec, exit and a new namespace
        hooks = supervisor.status()["watch"]["hooks"]
        assert all("runs" not in hook and ("timed" in hook) == hook["attached"] for hook in hooks)
        return [hook["ns"] for hook in hooks if hook["timed"]]
    with kept_sysctls(["kernel.bpf_stats_enabled"]):
        sysctl_path("kernel.bpf_stats_enabled").write_text("1")
        assert min(wait_for(timed, 10, "a run that is timed")) > 0
        assert " timed runs, of " in supervisor.cli("tuners").stdout


def test_tuners(supervisor):
    status, reply = supervisor.status(), call(supervisor, "io.bpftune.GetTuners")["parameters"]
    assert set(reply) == {"watch", "tuners"}
    assert without_counters(json.loads(supervisor.cli("tuners", "--json").stdout)) == \
        without_counters(reply["tuners"]) == without_counters(status["tuners"])
    assert reply["watch"] == status["watch"]
    lines = supervisor.cli("tuners").stdout.splitlines()
    assert [line.partition(":")[0] for line in lines if line[0] != " "] == ["watch", *sorted(tuner_names())]
    for name, hooks in ("watch", reply["watch"]["hooks"]), *((t["name"], t["hooks"]) for t in reply["tuners"]):
        assert hooks, name
        for hook in hooks:
            assert [line for line in lines if line.split()[-2:] == [hook["program"], "attached"]], hook


# log

def test_log_json(supervisor):
    everything, own = supervisor.log(), supervisor.log("bt-cli")
    assert own and {record["container"] for record in own} == {"bt-cli"}
    assert [record for record in everything if record["container"] == "bt-cli"] == own
    assert [record for record in everything if record["container"] == "host"]
    for record in everything:
        check(record, CHANGE if record.get("tunable") else RECORD, "record")
        assert datetime.datetime.fromisoformat(record["time"]).tzinfo
    assert [record["time"] for record in everything] == sorted(record["time"] for record in everything)
    assert supervisor.changes("bt-cli")


def test_log_text(supervisor):
    lines = supervisor.cli("log", "bt-cli").stdout.splitlines()
    changes = [line for line in lines if "->" in line]
    record = supervisor.changes("bt-cli")[0]
    assert len(lines) == len(supervisor.log("bt-cli"))
    assert changes[0].startswith(f"{record['time']} bt-cli tcp_buffer: {WMEM} {record['from']} -> {record['to']} "
                                 "(send_buffer_limited): ")


def test_log_n(supervisor):
    assert supervisor.log("bt-cli", "-n", "1") == supervisor.log("bt-cli")[-1:]
    assert supervisor.log("-n", "2") == supervisor.log()[-2:]


def test_log_to_a_closed_pipe(supervisor):
    """`bpftune log | head -1` ends quietly."""
    result = subprocess.run(f"'{BPFTUNE}' log --run-dir '{supervisor.run_dir}' | head -1", shell=True, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=10 * SLOWNESS)
    assert result.stdout and not result.stderr


# The control socket

def call(supervisor, method, **parameters):
    """One Varlink call: a JSON object and a NUL each way."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5 * SLOWNESS)
        client.connect(str(supervisor.run_dir / "control.sock"))
        client.sendall(json.dumps({"method": method, "parameters": parameters}).encode() + b"\0")
        reply = b""
        while not reply.endswith(b"\0"):
            data = client.recv(65536)
            assert data, f"no whole reply: {reply!r}"
            reply += data
    return json.loads(reply[:-1])


def test_control_socket(supervisor):
    assert (supervisor.run_dir / "control.sock").stat().st_mode & 0o777 == 0o600
    assert "io.bpftune" in call(supervisor, "org.varlink.service.GetInfo")["parameters"]["interfaces"]
    description = call(supervisor, "org.varlink.service.GetInterfaceDescription", interface="io.bpftune")
    assert "interface io.bpftune" in description["parameters"]["description"]
    assert call(supervisor, "io.bpftune.Dance")["error"] == "org.varlink.service.MethodNotFound"


GET_INFO = "org.varlink.service.GetInfo"


def info(version):
    return {GET_INFO: [{"parameters": {"version": version}}]}


@contextlib.contextmanager
def pretended(tmp_path, replies):
    """A supervisor that gives these replies, some to each method; gives the list of the calls that it got, but for GetInfo,
    with which each command begins."""
    calls = []

    def serve():
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return      # shut down
            with connection, contextlib.suppress(ConnectionError):      # it may leave early
                data = b""
                while not data.endswith(b"\0"):
                    data += connection.recv(65536)
                call = json.loads(data[:-1])
                if call["method"] != GET_INFO:
                    calls.append(call)
                for reply in replies[call["method"]]:
                    connection.sendall(json.dumps(reply).encode() + b"\0")
                connection.recv(1)      # until it leaves

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen()
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        try:
            yield calls
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            server.join()


@pytest.mark.skipif(is_watched(), reason="a sanitizer takes more memory than the limit")
def test_status_json_without_memory(tmp_path):
    """All of the instances, or none and a failure."""
    listing = [{"parameters": {"instance": {"id": number, "name": "x" * 20000}}, "continues": number < 300}
               for number in range(1, 301)]
    answers = {**info(version()), "io.bpftune.GetStatus": [{"parameters": {"version": "0"}}], "io.bpftune.ListInstances": listing}
    said = ""
    with pretended(tmp_path, answers):
        for mebibytes in range(4, 65):
            result = run("prlimit", f"--as={mebibytes << 20}", BPFTUNE, "status", "--json", "--run-dir", tmp_path, check=False)
            said += result.stderr
            if not result.returncode:
                assert len(json.loads(result.stdout)["instances"]) == 300
                assert "not enough memory for all instances" in said
                return
            assert not result.stdout
    pytest.fail("64 MiB are not enough")


def test_what_is_asked(tmp_path):
    """For each command, no more than it shows."""
    whole = {"version": "0", "watch": {"hooks": []}, "tuners": [], "events": {"told": 0}}
    listing = [{"parameters": {"instance": {"id": 1, "name": "host"}}, "continues": True},
               {"parameters": {"instance": {"id": 2, "name": "web"}}, "continues": True},
               {"parameters": {"instance": None}}]      # the third has ended meanwhile
    status, tuners, instances, log = (f"io.bpftune.{method}" for method in ("GetStatus", "GetTuners", "ListInstances", "GetLog"))
    answers = {**info(version()), status: [{"parameters": whole}], tuners: [{"parameters": whole}], instances: listing,
               log: [{"parameters": {"records": [], "missed": 0}}]}
    with pretended(tmp_path, answers) as calls:
        def asked(*words):
            calls.clear()
            text = run(BPFTUNE, *words, "--run-dir", tmp_path).stdout
            return [(call["method"], call.get("more", False), call.get("parameters") or {}) for call in calls], text

        assert asked("tuners")[0] == [(tuners, False, {})]
        assert asked("tuners", "--json")[0] == [(tuners, False, {})]
        brief, everything = ([(status, False, {}), (instances, True, parameters)] for parameters in ({"brief": True}, {}))
        called, text = asked("status", "--all")
        assert called == brief
        assert [line.split()[1] for line in text.splitlines()[1:]] == ["NAME", "host", "web"]
        called, text = asked("status")
        assert called == brief and text.splitlines()[1].startswith("nothing to do: 1 container, ")
        called, text = asked("status", "--json")
        assert called == everything
        assert json.loads(text) == {**whole, "instances": [{"id": 1, "name": "host"}, {"id": 2, "name": "web"}]}
        one = instances, False, {"container": "web"}
        assert asked("status", "web")[0] == [one]
        assert asked("status", "--json", "web")[0] == [(status, False, {}), one]
        # A name may be another's by now.
        logs = [(log, False, {"container": f"instance:{number}", "lines": 256}) for number in (1, 2)]
        assert asked("report", "web")[0] == [(status, False, {}), one, *logs]


CHANGED = {"tunables": [{"name": "net.ipv4.tcp_congestion_control", "initial": "cubic", "current": "bbr", "changes": 2}]}
REFUSED = {"attach": "sockops", "program": "observe", "error": "refused"}


@pytest.mark.parametrize("instance, whole, said", [
    ({}, {"uptime_s": 10900}, "nothing to do: 2 containers, 0 limits met in 3 h ('bpftune status --all' shows them)"),
    ({}, {"uptime_s": 119}, "nothing to do: 2 containers, 0 limits met in 119 s ('bpftune status --all' shows them)"),
    ({}, {"uptime_s": 180000, "events": {"told": 3}}, "nothing changed: 2 containers, 3 records of tuners in 2 days ('bpftune log' shows them)"),
    ({"learnt": [{"tuner": "udp", "about": "port 53", "text": "large", "in_effect": False}]}, {"uptime_s": 130},
     "nothing to do: 2 containers, 0 limits met in 2 min ('bpftune status --all' shows them)"),
    (CHANGED, {}, None),
    ({"learnt": [{"tuner": "udp", "about": "port 53", "text": "large", "in_effect": True}]}, {}, None),
    ({"tuners": [{"name": "udp", "state": "manual"}]}, {}, None),
    ({"worker": {"state": "backoff"}}, {}, None),
    ({}, {"events": {"told": 0, "lost": 1}}, None),
    ({}, {"events": {"lost": 0}}, None),
    ({}, {"watch": {"hooks": [REFUSED]}}, None),
    ({}, {"tuners": [{"name": "udp", "state": "active", "hooks": [REFUSED]}]}, None),
    ({}, {"tuners": [{"name": "udp", "state": "refused"}]}, None),
], ids=["hours", "seconds", "told", "no decision", "changed", "decision", "manual", "backoff", "lost", "older", "watch", "hook", "tuner"])
def test_nothing_to_do(tmp_path, instance, whole, said):
    """A sentence stands for a table that would show nothing; whatever is to be seen is in the table."""
    instances = [{"id": 1, "name": "host"}, {"id": 2, "name": "web"}, {"id": 3, "name": "db", **instance}]
    answers = {**info(version()), "io.bpftune.GetStatus": [{"parameters": {"version": "0", "uptime_s": 1, "events": {"told": 0}, **whole}}],
               "io.bpftune.ListInstances": [{"parameters": {"instance": each}, "continues": each["id"] < 3}
                                            for each in instances]}
    with pretended(tmp_path, answers):
        lines = run(BPFTUNE, "status", "--run-dir", tmp_path).stdout.splitlines()
        table = run(BPFTUNE, "status", "--all", "--run-dir", tmp_path).stdout.splitlines()
    if said:
        assert lines[1:] == [said]
    else:
        assert lines == table
    assert [line.split()[1] for line in table if re.match(r" *[0-9]+  \w", line)] == ["host", "web", "db"]
    if instance is CHANGED:
        assert "      net.ipv4.tcp_congestion_control cubic -> bbr  2 changes" in table


def version():
    return run(BPFTUNE, "--version").stdout.split()[1]


def test_another_version(tmp_path):
    """The command says that the supervisor is of another version, in one line, and goes on."""
    tuners = {"io.bpftune.GetTuners": [{"parameters": {"watch": {"hooks": []}, "tuners": []}}]}
    with pretended(tmp_path, {**info(version()), **tuners}):
        assert not run(BPFTUNE, "tuners", "--run-dir", tmp_path).stderr
    (tmp_path / "control.sock").unlink()
    with pretended(tmp_path, {**info("0.0.9"), **tuners}):
        told = run(BPFTUNE, "tuners", "--run-dir", tmp_path)
    assert told.stdout and len(told.stderr.splitlines()) == 1
    assert version() in told.stderr and "0.0.9" in told.stderr and str(tmp_path) in told.stderr


def test_missing_method(tmp_path):
    """One that an older supervisor does not have: exit 1, and the message says why."""
    method = "io.bpftune.Resume"
    missing = {"error": "org.varlink.service.MethodNotFound", "parameters": {"method": method}}
    with pretended(tmp_path, {**info(version()), method: [missing]}):
        message = fails(FAILED, BPFTUNE, "resume", "web", "--run-dir", tmp_path)
    assert method in message and "version" in message and "restart" in message


def test_control_socket_survives_nonsense(supervisor):
    for nonsense in b"\0", b"not JSON\0", b"[]\0", b'{"method": 1}\0', b"{" * 100000, b"half of":
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(supervisor.run_dir / "control.sock"))
            with contextlib.suppress(ConnectionError):
                client.sendall(nonsense)
        assert supervisor.ready("host")
