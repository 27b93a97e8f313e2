# SPDX-License-Identifier: GPL-2.0-or-later
"""`status CONTAINER` shows which limits the container's namespace has met: the kernel's counters, read by its worker for the answer."""
import os
import signal

import pytest

from flooded import Flooded
from lab import number, only, run, wait_for
from sharer import FULL_QUEUE, Program, Sharer
from test_control import Client

OVERFLOWS, UDP = "TcpExtListenOverflows", "UdpRcvbufErrors"
OF_THE_HOST = {"arp_cache_table_fulls", "softnet_dropped", "softnet_time_squeeze", "sockstat_orphan"}
SMALL_QUEUE = {"net.core.somaxconn": "16"}


@pytest.fixture(scope="module")
def supervisor(shared):
    supervisor = shared.supervisor(tuners=only("listen"))
    supervisor.ready("host")
    return supervisor


@pytest.fixture
def container(lab, supervisor):
    container = lab.container("netns", f"bt-limits{number()}", SMALL_QUEUE)
    supervisor.ready(container.name)
    return container


def instance_of(supervisor, container):
    instance, = supervisor.status(container.name if hasattr(container, "name") else container)["instances"]
    return instance


def limits_of(supervisor, container):
    """By name, once its worker has answered: a slow machine may take longer than the supervisor waits."""
    met = wait_for(lambda: instance_of(supervisor, container)["limits_met"], 15, "its worker's answer")
    return {limit["name"]: limit for limit in met}


def test_counts(lab, supervisor, container):
    """They are the kernel's counters, of this namespace only; with a tuner's name where one has to do with the limit."""
    other = lab.container("netns", f"bt-limits{number()}")
    supervisor.ready(other.name)
    lab.keep(Program(container, FULL_QUEUE, 1000, 100))

    def counted():
        before = container.counters("TcpExt")["ListenOverflows"]
        limit = limits_of(supervisor, container)[OVERFLOWS]
        return before and before == limit["count"] and limit
    limit = wait_for(counted, 20, "the count to be the kernel's")
    assert (limit["scope"], limit["since"], limit["tuner"]) == ("namespace", "namespace", "listen")
    others = limits_of(supervisor, other)
    assert others[OVERFLOWS]["count"] == 0 and others[UDP]["count"] == 0
    assert others[UDP]["tuner"] is None     # it is not among this supervisor's
    assert not OF_THE_HOST & set(others)
    wait_for(lambda: "limits met" not in supervisor.cli("status", other.name).stdout, 10, "a status without any")


def test_rates(lab, supervisor, container):
    """Against an answer before this one, a second ago or more. The text has them at once, as it asks twice."""
    lab.keep(Flooded(container, 4096)).open()
    wait_for(lambda: container.counters("Udp")["RcvbufErrors"] > 1000, 10, "datagrams to be dropped")
    first = limits_of(supervisor, container)[UDP]
    assert first["count"] > 0
    limit = wait_for(lambda: (limit := limits_of(supervisor, container)[UDP])["per_second"] and limit, 10, "a rate")
    assert limit["over_s"] >= 1 and limit["count"] > first["count"]
    lines = wait_for(lambda: [line for line in supervisor.cli("status", container.name).stdout.splitlines() if UDP in line],
                     10, "the text")
    assert lines[0].endswith(" a second")


DROPS_IPV6 = """
import socket, sys
receiver, sender = (socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
receiver.bind(("::1", 0))
for _ in range(100):
    sender.sendto(bytes(1400), receiver.getsockname())
sys.stdin.read()
"""


def test_ipv6(lab, supervisor, container):
    """Its counters are in a file of their own."""
    lab.keep(Program(container, DROPS_IPV6))

    def dropped():
        lines = run(*container.command("cat", "/proc/net/snmp6")).stdout.splitlines()
        return int(dict(line.split() for line in lines)["Udp6RcvbufErrors"])
    wait_for(lambda: dropped() > 50 and limits_of(supervisor, container)["Udp6RcvbufErrors"]["count"] == dropped(), 10,
             "the count to be the kernel's")


def test_host(supervisor):
    limits = limits_of(supervisor, "host")
    assert OF_THE_HOST <= set(limits)
    assert {limit["scope"] for limit in limits.values()} == {"host"}
    assert {limit["since"] for limit in limits.values()} == {"boot", "now"}


def test_list_of_all(supervisor, container):
    """Nobody has asked about one: no worker reads anything."""
    assert all("limits_met" not in instance for instance in supervisor.status()["instances"])


def test_shares_the_hosts_namespace(lab, supervisor):
    """It has the host's counters, and says so."""
    sharer = Sharer(lab, 0x6d)
    supervisor.ready(sharer.name)
    assert OF_THE_HOST <= set(limits_of(supervisor, sharer))
    lab.keep(Program(sharer, FULL_QUEUE, 5, 100))
    wait_for(lambda: limits_of(supervisor, sharer)[OVERFLOWS]["count"], 10, "an overflow")
    text = "the host's counters: the container shares its namespace"
    wait_for(lambda: text in supervisor.cli("status", sharer.name).stdout, 10, "that to be said")


def test_worker_that_does_not_answer(lab, supervisor, container):
    """The answer comes without the counters; that about others as ever."""
    other = lab.container("netns", f"bt-limits{number()}")
    supervisor.ready(other.name)
    pid = supervisor.workers()[container.name]
    os.kill(pid, signal.SIGSTOP)
    lab.callback(lambda: supervisor.workers().get(container.name) == pid and os.kill(pid, signal.SIGCONT))
    with Client(supervisor) as gone, Client(supervisor) as waiting:
        gone.send("io.bpftune.ListInstances", parameters={"container": container.name})
        waiting.send("io.bpftune.ListInstances", parameters={"container": container.name})
        gone.socket.close()
        assert limits_of(supervisor, other)
        instance = waiting.receive()["parameters"]["instance"]
        assert instance["name"] == container.name
        assert (instance["limits_met"], instance["limits_met_why"]) == (None, "its worker does not answer")
        # A connection goes on after that.
        assert waiting.call("org.varlink.service.GetInfo")["parameters"]["product"] == "bpftune"
    assert "limits met: not known: its worker does not answer" in supervisor.cli("status", container.name).stdout
    os.kill(pid, signal.SIGKILL)
    assert limits_of(supervisor, container)     # the next worker answers


def test_no_worker(supervisor, container):
    supervisor.cli("off", container.name)
    wait_for(lambda: instance_of(supervisor, container)["limits_met_why"] == "it has no worker that is ready", 5, "its end")
    supervisor.cli("on", container.name)
    assert limits_of(supervisor, container)


def test_ends_while_somebody_waits(lab, supervisor, container):
    pid = supervisor.workers()[container.name]
    with Client(supervisor) as client:
        os.kill(pid, signal.SIGSTOP)
        client.send("io.bpftune.ListInstances", parameters={"container": container.name})
        container.remove()
        os.kill(pid, signal.SIGKILL)
        assert "instance" in client.receive()["parameters"]
