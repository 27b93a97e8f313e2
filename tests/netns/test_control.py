# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket, root's only, and the one to observe by; nothing that a client does holds the supervisor up."""
import json
import os
import pathlib
import socket

import pytest

from crowd import Sleeper, wait_for_instance
from lab import SLOWNESS, only, run, wait_for
from observers import GROUP_ID, MEMBER, with_group

NOBODY = "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"


@pytest.fixture(scope="module")
def supervisor(shared):
    supervisor = shared.supervisor(tuners=only("poke"), wrap=with_group(shared))
    supervisor.ready("host")
    return supervisor


def rss_kib(pid):
    fields = pathlib.Path(f"/proc/{pid}/status").read_text().split()
    return int(fields[fields.index("VmRSS:") + 1])


class Client:
    def __init__(self, supervisor, name="control.sock"):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(supervisor.run_dir / name))
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

    def list(self):
        """The replies to a listing, to the last one."""
        replies = [self.receive()]
        while replies[-1].get("continues"):
            replies.append(self.receive())
        return [reply["parameters"]["instance"] for reply in replies]

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
        for method in "GetStatus", "ListInstances", "GetTuners", "GetLog", "Rollback", "Resume", "Off", "On":
            assert f"method {method}(" in description
        assert client.call("org.varlink.service.GetInterfaceDescription", interface="no.such") == \
            {"error": "org.varlink.service.InterfaceNotFound", "parameters": {"interface": "no.such"}}


@pytest.mark.parametrize("method, parameters, error", [
    ("io.bpftune.ListInstances", {}, "org.varlink.service.ExpectedMore"),
    ("io.bpftune.ListInstances", {"container": None}, "org.varlink.service.ExpectedMore"),
    ("io.bpftune.ListInstances", {"container": "bt-nobody"}, "io.bpftune.NoSuchContainer"),
    ("io.bpftune.Resume", {"container": "host", "tuner": "dance"}, "io.bpftune.NoSuchTuner"),
    ("io.bpftune.Rollback", {"container": "bt-nobody"}, "io.bpftune.NoSuchContainer"),
    ("io.bpftune.Off", {"container": "bt-nobody"}, "io.bpftune.NoSuchContainer"),
    ("io.bpftune.Off", {"all": True, "tuner": "dance"}, "io.bpftune.NoSuchTuner"),
    ("io.bpftune", {}, "org.varlink.service.MethodNotFound"),
])
def test_wrong_calls(supervisor, method, parameters, error):
    with Client(supervisor) as client:
        assert client.call(method, **parameters)["error"] == error
        assert client.call("org.varlink.service.GetInfo")["parameters"]


@pytest.mark.parametrize("method, parameters, wrong", [
    ("org.varlink.service.GetInfo", {"verbose": True}, "verbose"),
    ("org.varlink.service.GetInterfaceDescription", {}, "interface"),
    ("org.varlink.service.GetInterfaceDescription", {"interface": None}, "interface"),
    ("io.bpftune.GetStatus", {"container": "host"}, "container"),
    ("io.bpftune.GetTuners", {"tuner": "poke"}, "tuner"),
    ("io.bpftune.ListInstances", {"container": 7}, "container"),
    ("io.bpftune.ListInstances", {"contaner": "host"}, "contaner"),
    ("io.bpftune.ListInstances", {"brief": "yes"}, "brief"),
    ("io.bpftune.GetLog", {"lines": "many"}, "lines"),
    ("io.bpftune.GetLog", {"lines": 1.5}, "lines"),
    ("io.bpftune.GetLog", {"lines": -1}, "lines"),
    ("io.bpftune.Resume", {}, "container"),
    ("io.bpftune.Resume", {"container": None}, "container"),
    ("io.bpftune.Resume", {"container": "host", "tuner": ["poke"]}, "tuner"),
    ("io.bpftune.Rollback", {"contaner": "host"}, "contaner"),
    ("io.bpftune.Rollback", {"container": "host", "dry-run": True}, "dry-run"),
    ("io.bpftune.Rollback", {"container": "host", "dry_run": "yes"}, "dry_run"),
    ("io.bpftune.Rollback", {"all": 1}, "all"),
    ("io.bpftune.Rollback", {"all": False}, "container"),
    ("io.bpftune.Rollback", {"container": "host", "all": True}, "all"),
    ("io.bpftune.Rollback", {}, "container"),
    ("io.bpftune.Off", {}, "container"),
    ("io.bpftune.Off", {"container": "host", "all": True}, "all"),
    ("io.bpftune.Off", {"container": "host", "tuners": "poke"}, "tuners"),
    ("io.bpftune.On", {"tuner": "poke"}, "container"),
    ("io.bpftune.Rollback", ["host"], "parameters"),
    ("io.bpftune.Rollback", None, "container"),
])
def test_wrong_parameters(supervisor, method, parameters, wrong):
    """A parameter that the method does not take so is named, and nothing is done: no tuner is paused."""
    with Client(supervisor) as client:
        client.send(method, parameters=parameters)
        assert client.receive() == {"error": "org.varlink.service.InvalidParameter", "parameters": {"parameter": wrong}}
        client.send(method, parameters=parameters, oneway=True)
        assert client.call("org.varlink.service.GetInfo")["parameters"]
    assert supervisor.tuner("host", "poke")["state"] == "active"


def test_oneway_has_no_reply(supervisor):
    with Client(supervisor) as client:
        for method in "io.bpftune.GetStatus", "io.bpftune.ListInstances", "io.bpftune.Rollback", "io.bpftune.Dance":
            client.send(method, parameters={"container": "host"}, oneway=True)
        client.send("io.bpftune.ListInstances", oneway=True)
        client.send("io.bpftune.ListInstances", oneway=True, more=True)
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
        for words in ["status"], ["tuners"], ["log"], ["rollback", "--all"], ["resume", "host"], ["off", "--all"], ["on", "--all"]:
            refused = run(*NOBODY, *supervisor.command(*words), check=False)
            assert refused.returncode == 1 and not refused.stdout and refused.stderr
    finally:
        (supervisor.run_dir / "control.sock").chmod(0o600)
        supervisor.directory.chmod(0o700)
    assert supervisor.ready("host")


CHANGES = ["rollback", "--all"], ["resume", "host"], ["off", "--all"], ["on", "--all"]


def test_observers(supervisor):
    """The group reads, and changes nothing; nobody else gets in."""
    stat = (supervisor.run_dir / "observe.sock").stat()
    assert (stat.st_mode & 0o777, stat.st_uid, stat.st_gid) == (0o660, 0, GROUP_ID)
    supervisor.directory.chmod(0o711)
    try:
        for words in ["status"], ["status", "host"], ["watch"], ["tuners"], ["log"]:
            def reads(words=words):
                said = run(*MEMBER, *supervisor.command(*words)).stdout
                return said == supervisor.cli(*words).stdout or (said and words[0] in ("status", "watch"))
            wait_for(reads, 10, "both to read the same")    # something else may happen in between
            refused = run(*NOBODY, *supervisor.command(*words), check=False)
            assert refused.returncode == 1 and not refused.stdout and "sudo" in refused.stderr
        for words in CHANGES:
            refused = run(*MEMBER, *supervisor.command(*words), check=False)
            assert refused.returncode == 1 and not refused.stdout and "permission denied" in refused.stderr
        with Client(supervisor, "observe.sock") as client:
            assert client.call("io.bpftune.Off", all=True) == {"error": "io.bpftune.PermissionDenied", "parameters": {}}
            client.send("io.bpftune.Off", parameters={"all": True}, oneway=True)
            assert client.call("io.bpftune.GetStatus")["parameters"]["pid"] == supervisor.pid
    finally:
        supervisor.directory.chmod(0o700)
    assert {tuner["state"] for tuner in supervisor.instance("host")["tuners"]} == {"active"}


def test_too_many_observers(supervisor):
    """They take no place of root's, and are as many as before once some have left."""
    observers = [Client(supervisor, "observe.sock") for _ in range(70)]
    answered = []
    for client in observers:
        try:
            client.send("org.varlink.service.GetInfo")
            answered.append(client.receive())
        except BrokenPipeError:
            answered.append(None)
    assert len([answer for answer in answered if answer]) == 64
    assert supervisor.ready("host")
    for client in observers:
        client.socket.close()

    def served():
        with Client(supervisor, "observe.sock") as client:
            try:
                return client.call("org.varlink.service.GetInfo")
            except BrokenPipeError:
                return None
    wait_for(served, 5, "room for another observer")


def test_half_a_message(supervisor):
    for _ in range(20):
        with Client(supervisor) as client:
            client.socket.sendall(b'{"method": "io.bpftune.GetSta')
        assert supervisor.ready("host")


def test_leaves_before_the_answer(supervisor):
    for method in ("io.bpftune.GetStatus", "io.bpftune.ListInstances", "io.bpftune.Rollback", "io.bpftune.GetLog") * 5:
        with Client(supervisor) as client:
            client.send(method, parameters={"container": "host"}, more=True)
    supervisor.resume("host")
    assert supervisor.ready("host")


def test_a_hundred_at_once(supervisor):
    clients = [Client(supervisor) for _ in range(100)]
    for client in clients:
        client.send("io.bpftune.GetStatus")
        client.send("io.bpftune.ListInstances", more=True)
    for client in reversed(clients):
        assert client.receive()["parameters"]["pid"] == supervisor.pid
        assert client.list()[0]["name"] == "host"
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


def fill(supervisor, client, message):
    """Sends it again and again, and reads nothing, until the supervisor reads nothing either; how many bytes went out."""
    client.socket.settimeout(0.05)
    sent = calls_in_vain = 0
    while calls_in_vain < 10 and sent < 64 << 20:
        try:
            sent += client.socket.send((message * 100)[sent % len(message):])
            calls_in_vain = 0
        except TimeoutError:
            supervisor.status()     # keeps the supervisor's loop turning: it goes on with a full socket only when it is awake
            calls_in_vain += 1
    client.socket.settimeout(5 * SLOWNESS)
    return sent


def test_asks_and_does_not_read(supervisor):
    """It is not read any more, so that its answers are not kept; each call is answered once it reads."""
    call = json.dumps({"method": "io.bpftune.GetStatus"}).encode() + b"\0"
    before = rss_kib(supervisor.pid)
    with Client(supervisor) as client:
        sent = fill(supervisor, client, call)
        assert len(call) * 1000 < sent < 4 << 20
        assert rss_kib(supervisor.pid) < before + 8192
        assert supervisor.ready("host")     # the others are served
        for _ in range(sent // len(call)):
            assert client.receive()["parameters"]["pid"] == supervisor.pid
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


# ListInstances: an instance a reply

LISTED_AT_ONCE = 4      # method.c: then the others get their turn
CROWD = 4 * LISTED_AT_ONCE
# Long, so that few calls fill the socket.
LISTING = json.dumps({"method": "io.bpftune.ListInstances", "more": True, "padding": "x" * 30000}).encode() + b"\0"
DESCRIBE = json.dumps({"method": "org.varlink.service.GetInterfaceDescription",
                       "parameters": {"interface": "io.bpftune"}}).encode() + b"\0"


def ids(instances):
    return [instance["id"] for instance in instances]


@pytest.fixture(scope="module")
def crowd(shared, supervisor):
    """So many namespaces that a few parts of a listing leave one instance."""
    n = len(supervisor.status()["instances"])
    sleepers = [shared.keep(Sleeper(wait=False)) for _ in range(-n % CROWD + 1)]
    for sleeper in sleepers:
        sleeper.wait()
        wait_for_instance(supervisor, sleeper)
    assert len(supervisor.status()["instances"]) % CROWD == 1
    return sleepers


def test_list(supervisor, crowd):
    known = supervisor.status()["instances"]
    with Client(supervisor) as client:
        client.send("io.bpftune.ListInstances", more=True)
        client.send("org.varlink.service.GetInfo")      # is answered after the last instance
        listed = client.list()
        assert "interfaces" in client.receive()["parameters"]
    assert ids(listed) == ids(known) == sorted(set(ids(known))) and len(known) > CROWD
    assert [set(instance) for instance in listed] == [set(instance) for instance in known]


def test_list_brief(supervisor, crowd):
    """What is left out is what nobody has touched; all else is as in the whole answer."""
    off = {"container": f"pid:{crowd[0].pid}", "tuner": "poke"}
    with Client(supervisor) as client:
        assert client.call("io.bpftune.Off", **off)["parameters"] == {"switched": 1}
        client.send("io.bpftune.ListInstances", more=True)
        whole = client.list()
        client.send("io.bpftune.ListInstances", more=True, parameters={"brief": True})
        brief = client.list()
        assert client.call("io.bpftune.On", **off)["parameters"]["switched"] == 1
        host = client.call("io.bpftune.ListInstances", container="host", brief=True)["parameters"]["instance"]
    assert brief == [{**instance, "tuners": [tuner for tuner in instance["tuners"] if tuner["state"] != "active"],
                      "tunables": [tunable for tunable in instance["tunables"] if tunable["changes"]]} for instance in whole]
    assert [tuner["state"] for instance in brief for tuner in instance["tuners"]] == ["off"]
    assert host["limits_met"] and not host["tunables"] and not host["tuners"]


@pytest.mark.parametrize("more", [False, True])
def test_list_one(supervisor, crowd, more):
    with Client(supervisor) as client:
        for sleeper in crowd[0], crowd[-1]:
            instance = wait_for_instance(supervisor, sleeper)
            for container in f"pid:{sleeper.pid}", str(instance["id"]), instance["name"]:
                client.send("io.bpftune.ListInstances", parameters={"container": container}, more=more)
                reply = client.receive()
                assert set(reply) == {"parameters"} and ids([reply["parameters"]["instance"]]) == ids([instance])


def test_lists_and_does_not_read(supervisor, crowd):
    """It blocks nobody, and is told all of it once it reads."""
    known = ids(supervisor.status()["instances"])
    before = rss_kib(supervisor.pid)
    with Client(supervisor) as client:
        sent = fill(supervisor, client, LISTING)
        assert len(LISTING) < sent < 4 << 20
        assert rss_kib(supervisor.pid) < before + 8192
        assert supervisor.ready("host") and ids(supervisor.status()["instances"]) == known
        for _ in range(sent // len(LISTING)):
            assert ids(client.list()) == known
    assert supervisor.ready("host")


def test_lists_and_leaves(supervisor, crowd):
    """What it did not read is not kept, and nor is its connection."""
    before = len(os.listdir(f"/proc/{supervisor.pid}/fd"))
    for number in range(6):     # their listings stop at different places
        with Client(supervisor) as client:
            client.socket.sendall(DESCRIBE * number)
            fill(supervisor, client, LISTING)
    wait_for(lambda: len(os.listdir(f"/proc/{supervisor.pid}/fd")) <= before, 3, "the connections to be closed")
    assert supervisor.ready("host")


def test_ends_while_it_is_listed(supervisor, crowd):
    """The listing goes on without the instances. If all that were left have ended, the last reply has none.

    The listing of a client that does not read stops after some multiple of LISTED_AT_ONCE instances, or at its end. At least one
    client's listing must stop before its end: so the clients' first calls have answers of different sizes, up to twice the
    size of a listing.
    """
    with Client(supervisor) as client:
        client.socket.sendall(DESCRIBE + LISTING)
        description_bytes, known = len(json.dumps(client.receive())), client.list()
    listing_bytes = len(json.dumps(known))
    inodes = {sleeper.inode: sleeper for sleeper in crowd}
    ended = [instance for instance in known[LISTED_AT_ONCE:] if instance["netns"]["inode"] in inodes]
    assert known[-1] in ended
    stay = {1} | {instance["id"] for instance in known if instance["netns"]["inode"] in inodes} - set(ids(ended))
    last_id = known[-1]["id"]
    clients = [Client(supervisor) for _ in range(len(known) // 3)]
    for number, client in enumerate(clients):
        client.descriptions = 2 * number * listing_bytes // len(clients) // description_bytes
        client.socket.sendall(DESCRIBE * client.descriptions)
        client.listings = fill(supervisor, client, LISTING) // len(LISTING)
    for instance in ended:
        inodes[instance["netns"]["inode"]].remove()
    wait_for(lambda: not set(ids(ended)) & set(ids(supervisor.status()["instances"])), 5, "the instances to end")
    without_last = 0
    for client in clients:
        for _ in range(client.descriptions):
            assert "description" in client.receive()["parameters"]
        listings = [client.list() for _ in range(client.listings)]
        cut = [listing for listing in listings if listing[-1] is None]
        assert len(cut) <= 1
        without_last += len(cut)
        listings = [ids(listing[:-1] if listing in cut else listing) for listing in listings]
        assert last_id in listings[0] and last_id not in listings[-1]
        for listing in listings:
            assert stay <= set(listing) and listing == sorted(set(listing))
        client.socket.close()
    assert without_last
    assert supervisor.ready("host")


def test_no_such_group(lab, supervisor):
    """Then the socket is root's; the supervisor of this module makes way."""
    supervisor.stop()
    alone = lab.supervisor(tuners=only("poke"), wrap=with_group(lab, None))
    stat = (alone.run_dir / "observe.sock").stat()
    assert (stat.st_mode & 0o777, stat.st_uid, stat.st_gid) == (0o600, 0, 0)
    with Client(alone, "observe.sock") as client:
        assert client.call("io.bpftune.GetStatus")["parameters"]["pid"] == alone.pid
