# SPDX-License-Identifier: GPL-2.0-or-later
"""Where connections find no local port there are more, in that namespace only; where that does not help, it is undone."""
import subprocess
import sys
import time

import pytest

from crowd import Cgroup, Sleeper
from lab import Host, kept_sysctls, number, only, run, said, wait_for
from trouble_ports import RANGE, REUSE, TIME_WAITS, Trouble

pytestmark = pytest.mark.lanes(3)
ALL = REUSE, RANGE, TIME_WAITS

# Has a port of TCP and one of UDP until standard input ends: a service that listens.
SERVICE = """
import socket, sys
tcp = socket.create_server(("0.0.0.0", int(sys.argv[1])))
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(("::", int(sys.argv[2])))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def supervisor(shared):
    supervisor = shared.supervisor(tuners=only("ports"))
    supervisor.ready("host")
    return supervisor


def begin(lab, supervisor, **options):
    trouble = lab.keep(Trouble(lab, **options))
    supervisor.ready(trouble.client.name)
    trouble.start()
    return trouble


def numbers(text):
    return [int(word) for word in text.split()]


def learnt(supervisor, container):
    return {row["about"]: row["text"] for row in supervisor.instance(container.name)["learnt"] if row["tuner"] == "ports"}


def wait_for_calm(trouble):
    """Waits for a second's connections in a row that all find a port."""
    last = [None]

    def is_calm():
        failed, made = trouble.counts()
        if not last[0] or failed > last[0][0]:
            last[0] = failed, made
        return made >= last[0][1] + trouble.per_s
    wait_for(is_calm, 30, "connections to find ports")


@pytest.mark.parametrize("family", [4, 6])
def test_cured(lab, supervisor, family):
    """Ports in TIME-WAIT are used again, then there are more ports; in this container alone. The log and the status tell why."""
    neighbour = lab.container("netns", f"bt-ports-next{number()}")
    supervisor.ready(neighbour.name)
    others = [(place, {name: place.sysctl(name) for name in ALL}) for place in (Host(), neighbour)]
    began = time.monotonic()
    trouble = begin(lab, supervisor, family=family)
    others.append((trouble.server, {name: trouble.server.sysctl(name) for name in ALL}))
    first = trouble.client.sysctl(TIME_WAITS)
    wait_for_calm(trouble)
    failed, made = trouble.counts()
    print(f"IPv{family}: {failed} of {failed + made} connections found no port in {time.monotonic() - began:.1f} s; {trouble.values()}")
    low, high = numbers(trouble.client.sysctl(RANGE))
    assert trouble.client.sysctl(REUSE) == "1" and 10240 <= low <= 40000 and 40099 < high <= 65535
    assert trouble.client.sysctl(TIME_WAITS) == first
    changes = supervisor.changes(trouble.client.name)
    assert [change["tunable"] for change in changes][:2] == [REUSE, RANGE] and len(changes) <= 6
    for change in changes:
        assert (change["tuner"], change["scenario"]) == ("ports", "no_port_left")
        assert "connections without a port per" in change["text"]
    text = learnt(supervisor, trouble.client)[f"to {trouble.address} port 9000"]
    assert "no port is left" in text and "with keep-alive" in text
    for place, values in others:
        assert {name: place.sysctl(name) for name in ALL} == values
    assert not supervisor.changes(neighbour.name) and not supervisor.changes(trouble.server.name)
    trouble.stop()
    supervisor.rollback(trouble.client.name)
    assert trouble.values() == {REUSE: "2", RANGE: "40000 40099"}


def test_reuse_of_no_use(lab, supervisor):
    """A server without timestamps: ports in TIME-WAIT stay there. Reuse is undone, and held while there are more ports."""
    trouble = begin(lab, supervisor, sysctls={RANGE: "40000 40063"}, server_sysctls={"net.ipv4.tcp_timestamps": "0"},
                    words=("also",))
    name = trouble.client.name
    wait_for(lambda: supervisor.changes(name, RANGE), 20, "the range to be widened")
    first, second = supervisor.changes(name)[:2]
    assert (first["tunable"], first["to"]) == (REUSE, "1")
    assert (second["tunable"], second["to"]) == (REUSE, "2") and "of no use" in second["text"]
    assert numbers(supervisor.changes(name, RANGE)[0]["to"]) == [40000, 40255]


def test_more_ports_of_no_use(lab, supervisor):
    """A client that takes few ports of the range, for want of sense or on purpose: what it gets is undone, and held."""
    trouble = begin(lab, supervisor, sysctls={}, words=("also", "own"))
    name, before = trouble.client.name, trouble.client.sysctl(RANGE)
    wait_for(lambda: len(supervisor.changes(name)) >= 2, 20, "the range to be widened, and to be put back")
    widened, undone, *_ = supervisor.changes(name)
    assert widened["tunable"] == undone["tunable"] == RANGE
    assert numbers(widened["to"]) == [10240, 65535]
    assert undone["to"].split() == before.split() and "of no use" in undone["text"]


def test_services_keep_their_ports(lab, supervisor):
    """The range ends where somebody listens, of TCP or of UDP; in between, ports that are reserved stay so."""
    trouble = lab.keep(Trouble(lab, sysctls={RANGE: "30000 30015", "net.ipv4.ip_local_reserved_ports": "29960-29979"}, per_s=150))
    service = subprocess.Popen(trouble.client.command(sys.executable, "-c", SERVICE, "30100", "29950"), text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    lab.callback(service.communicate)
    assert service.stdout.readline() == "ready\n"
    supervisor.ready(trouble.client.name)
    trouble.start()
    wait_for(lambda: trouble.client.sysctl(RANGE) == "29952 30099", 20, "the range to be as wide as it may be")
    made = trouble.counts()[1]
    wait_for(lambda: trouble.counts()[1] > made + 300, 20, "connections from the whole range")
    used = trouble.ports()
    assert any(port < 29960 for port in used) and any(port > 30064 for port in used)
    assert not used & {29950, 30100, *range(29960, 29980)}
    assert trouble.client.sysctl(RANGE) == "29952 30099"


def test_reuse_that_somebody_turned_off(lab, supervisor):
    """0 is not the kernel's default: it stays, and is told of."""
    trouble = begin(lab, supervisor, sysctls={RANGE: "40000 40063", REUSE: "0"})
    name = trouble.client.name
    wait_for(lambda: supervisor.changes(name, RANGE), 20, "the range to be widened")
    wait_for(lambda: any("tcp_tw_reuse is 0" in text for text in learnt(supervisor, trouble.client).values()), 10, "it to be told")
    assert trouble.client.sysctl(REUSE) == "0" and not supervisor.changes(name, REUSE)


def test_an_administrators_range_stays(lab, supervisor):
    trouble = begin(lab, supervisor)
    name = trouble.client.name
    wait_for(lambda: supervisor.changes(name, RANGE), 20, "the range to be widened")
    trouble.client.write(RANGE, "50000 50009")
    wait_for(lambda: supervisor.is_manual(name, "ports"), 5, "the tuner to step aside")
    count = len(supervisor.changes(name))
    failed = trouble.counts()[0]
    wait_for(lambda: trouble.counts()[0] > failed + 1000, 20, "more connections to fail")
    assert trouble.client.sysctl(RANGE) == "50000 50009" and len(supervisor.changes(name)) == count


def test_time_waits(lab, supervisor):
    """There is room for more of them where they are ended early; where connections find no port then, no more."""
    trouble = begin(lab, supervisor, sysctls={TIME_WAITS: "50", RANGE: "40000 40199", REUSE: "0"}, per_s=200)
    name = trouble.client.name
    wait_for(lambda: [change["to"] for change in supervisor.changes(name, TIME_WAITS)][-1:] == ["50"], 30, "the limit to go back")
    changes = supervisor.changes(name, TIME_WAITS)
    assert changes[0]["scenario"] == "time_waits_full" and changes[0]["to"] == "200"
    assert changes[-1]["scenario"] == "no_port_left"


# Has the few ports that it chooses from, and wants another one.
GREEDY = """
import socket, struct
server, held = socket.create_server(("127.0.0.1", 0)), []
while True:
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_IP, 51, struct.pack("=I", 40007 << 16 | 40000))     # IP_LOCAL_PORT_RANGE
    try:
        client.connect(server.getsockname())
    except OSError:
        break
    held.append(client)
"""


@pytest.mark.alone
def test_sharer_is_named(lab, supervisor):
    """A container in the host's namespace: in its log and the host's."""
    lab.enter_context(kept_sysctls(ALL))
    cgroup = lab.keep(Cgroup(f"/bt-ports/docker-{'5a' * 32}.scope"))
    lab.keep(Sleeper(cgroup, netns=Host.netns))
    name = supervisor.ready("5a" * 32)["name"]
    join = "sh", "-c", 'echo $$ >"$0" && exec "$@"', cgroup.directory / "cgroup.procs"
    run(*join, sys.executable, "-c", GREEDY)
    for where in "host", name:
        assert said(supervisor, where, "connections find no local port")["text"].endswith(f"; asked for by {name}")
