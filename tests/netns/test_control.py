# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket: root's only, and nothing that a client does holds the supervisor up."""
import json
import os
import pathlib
import socket

import pytest

from lab import SLOWNESS, only, run

NOBODY = "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"


@pytest.fixture(scope="module")
def supervisor(shared):
    supervisor = shared.supervisor(tuners=only("poke"))
    supervisor.ready("host")
    return supervisor


def rss_kib(pid):
    fields = pathlib.Path(f"/proc/{pid}/status").read_text().split()
    return int(fields[fields.index("VmRSS:") + 1])


class Client:
    def __init__(self, supervisor):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(supervisor.run_dir / "control.sock"))
        self.socket.settimeout(5 * SLOWNESS)
        self.data = b""

    def send(self, method, **fields):
        self.socket.sendall(json.dumps({"method": method, **fields}).encode() + b"\0")

    def receive(self):
        """The next reply; None when the supervisor has closed the connection."""
        while b"\0" not in self.data:
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not data:
                return None
            self.data += data
        message, _, self.data = self.data.partition(b"\0")
        return json.loads(message)

    def call(self, method, **parameters):
        self.send(method, parameters=parameters)
        return self.receive()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def test_introspection(supervisor):
    with Client(supervisor) as client:
        info = client.call("org.varlink.service.GetInfo")["parameters"]
        assert info["product"] == "bpftune" and set(info) == {"vendor", "product", "version", "url", "interfaces"}
        for interface in info["interfaces"]:
            described = client.call("org.varlink.service.GetInterfaceDescription", interface=interface)["parameters"]
            assert f"interface {interface}\n" in described["description"]
        description = described["description"]
        for method in "GetStatus", "GetLog", "Rollback", "Resume":
            assert f"method {method}(" in description
        assert client.call("org.varlink.service.GetInterfaceDescription", interface="no.such") == \
            {"error": "org.varlink.service.InterfaceNotFound", "parameters": {"interface": "no.such"}}


@pytest.mark.parametrize("method, parameters, error", [
    ("org.varlink.service.GetInterfaceDescription", {}, "org.varlink.service.InvalidParameter"),
    ("io.bpftune.GetStatus", {"container": 7}, "org.varlink.service.InvalidParameter"),
    ("io.bpftune.GetStatus", {"container": "bt-nobody"}, "io.bpftune.NoSuchContainer"),
    ("io.bpftune.GetLog", {"lines": "many"}, "org.varlink.service.InvalidParameter"),
    ("io.bpftune.GetLog", {"lines": -1}, "org.varlink.service.InvalidParameter"),
    ("io.bpftune.Resume", {}, "org.varlink.service.InvalidParameter"),
    ("io.bpftune.Resume", {"container": None}, "org.varlink.service.InvalidParameter"),
    ("io.bpftune.Resume", {"container": "host", "tuner": "dance"}, "io.bpftune.NoSuchTuner"),
    ("io.bpftune.Rollback", {"container": "bt-nobody"}, "io.bpftune.NoSuchContainer"),
    ("io.bpftune", {}, "org.varlink.service.MethodNotFound"),
])
def test_wrong_calls(supervisor, method, parameters, error):
    with Client(supervisor) as client:
        assert client.call(method, **parameters)["error"] == error
        assert client.call("org.varlink.service.GetInfo")["parameters"]


def test_oneway_has_no_reply(supervisor):
    with Client(supervisor) as client:
        for method in "io.bpftune.GetStatus", "io.bpftune.Rollback", "io.bpftune.Dance":
            client.send(method, parameters={"container": "host"}, oneway=True)
        assert "interfaces" in client.call("org.varlink.service.GetInfo")["parameters"]
    supervisor.resume("host")


def test_another_user(supervisor):
    """The directory's and the socket's mode keep it out, and if they did not, so does the supervisor."""
    command = *NOBODY, *supervisor.command("status")
    refused = run(*command, check=False)
    assert refused.returncode == 1 and not refused.stdout
    supervisor.directory.chmod(0o755)
    refused = run(*command, check=False)
    assert refused.returncode == 1 and not refused.stdout and "sudo" in refused.stderr
    (supervisor.run_dir / "control.sock").chmod(0o666)
    try:
        for words in ["status"], ["log"], ["rollback"], ["resume", "host"]:
            refused = run(*NOBODY, *supervisor.command(*words), check=False)
            assert refused.returncode == 1 and not refused.stdout and refused.stderr
    finally:
        (supervisor.run_dir / "control.sock").chmod(0o600)
        supervisor.directory.chmod(0o700)
    assert supervisor.ready("host")


def test_half_a_message(supervisor):
    for _ in range(20):
        with Client(supervisor) as client:
            client.socket.sendall(b'{"method": "io.bpftune.GetSta')
        assert supervisor.ready("host")


def test_leaves_before_the_answer(supervisor):
    for method in ("io.bpftune.GetStatus", "io.bpftune.Rollback", "io.bpftune.GetLog") * 5:
        with Client(supervisor) as client:
            client.send(method, parameters={"container": "host"}, more=True)
    supervisor.resume("host")
    assert supervisor.ready("host")


def test_a_hundred_at_once(supervisor):
    clients = [Client(supervisor) for _ in range(100)]
    for client in clients:
        client.send("io.bpftune.GetStatus")
    for client in reversed(clients):
        assert client.receive()["parameters"]["instances"][0]["name"] == "host"
    for client in clients:
        client.socket.close()


def test_too_many(supervisor):
    """Those beyond the limit are turned away; the others are served; and then there is room again."""
    before = len(os.listdir(f"/proc/{supervisor.pid}/fd"))
    clients = [Client(supervisor) for _ in range(300)]
    for client in clients:
        try:
            client.send("org.varlink.service.GetInfo")
        except ConnectionError:
            pass
    replies = [client.receive() for client in clients]
    assert 250 <= sum(reply is not None for reply in replies) < 300
    for client in clients:
        client.socket.close()
    assert supervisor.ready("host")
    assert len(os.listdir(f"/proc/{supervisor.pid}/fd")) <= before + 2


def test_asks_and_does_not_read(supervisor):
    """It is not read any more, so that its answers are not kept; each call is answered once it reads."""
    call = json.dumps({"method": "io.bpftune.GetStatus"}).encode() + b"\0"
    before = rss_kib(supervisor.pid)
    with Client(supervisor) as client:
        client.socket.settimeout(1)
        sent = 0
        try:
            while sent < 64 << 20:
                sent += client.socket.send((call * 1000)[sent % len(call):])
        except TimeoutError:
            pass
        assert len(call) * 1000 < sent < 4 << 20
        assert rss_kib(supervisor.pid) < before + 8192
        assert supervisor.ready("host")     # the others are served
        client.socket.settimeout(5 * SLOWNESS)
        for _ in range(sent // len(call)):
            assert client.receive()["parameters"]["instances"]
    assert supervisor.ready("host")


@pytest.mark.parametrize("garbage", [b"\xff" * (1 << 20), b"\0" * (1 << 20), b"[" * (1 << 20) + b"\0",
                                     os.urandom(1 << 20), b'{"method":"' + b"a" * (1 << 20) + b'"}\0'],
                         ids=["bytes", "zeroes", "brackets", "random", "long name"])
def test_a_mebibyte_of_garbage(supervisor, garbage):
    with Client(supervisor) as client:
        try:
            client.socket.sendall(garbage)
            reply = client.receive()
        except ConnectionError:
            reply = None
    assert reply is None or "error" in reply
    assert supervisor.ready("host")
