# SPDX-License-Identifier: GPL-2.0-or-later
"""A table of connections that is full, of such that have traffic both ways, has the host's limit raised: as far as that helps,
as long as it is needed, and not for a flood."""
import itertools
import time

import pytest

from lab import Host, only, run, said, wait_for
from trouble_conntrack import BUCKETS, MAX, Program, Trouble, small_table, table, track

# Datagrams that nobody answers, each to another address.
UNANSWERED = """
import itertools, socket, sys, threading, time
sink, sender = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
sink.bind(("0.0.0.0", 5502))
def flood():
    for n in itertools.count():
        try:
            sender.sendto(b"", (f"127.{1 + n // 65536 % 250}.{n // 256 % 256}.{n % 256}", 5502))
        except OSError:
            pass
        if n % 20 == 0:
            time.sleep(0.002)
threading.Thread(target=flood, daemon=True).start()
sys.stdin.read()
"""

# Connections that are over at once, and stay in the table.
GREEDY = """
import itertools, socket, struct, sys, threading
server = socket.create_server(("0.0.0.0", 5503), backlog=4096)
def accept():
    while True:
        server.accept()[0].close()
def flood():
    for n in itertools.count():
        with socket.socket() as client:
            client.settimeout(0.001)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            try:
                client.connect((f"127.{1 + n // 65536 % 250}.{n // 256 % 256}.{n % 256}", 5503))
            except OSError:
                pass
for each in accept, flood:
    threading.Thread(target=each, daemon=True).start()
sys.stdin.read()
"""

numbers = itertools.count()


@pytest.fixture(scope="module")
def supervisor(shared):
    run("modprobe", "nf_conntrack", check=False)    # where it is no module, the kernel has it
    supervisor = shared.supervisor(tuners=only("conntrack"))
    supervisor.ready("host")
    return supervisor


def make(lab, supervisor, kind="netns"):
    container = lab.container(kind, f"bt-tracked{next(numbers)}")
    track(container)
    supervisor.ready(container.name)
    return container


def limit():
    return int(Host().sysctl(MAX))


def everything(container):
    """The sysctls of its namespace, but for those that are the host's."""
    text = run("nsenter", f"--net={container.netns}", "sysctl", "-a", "--pattern", "^net\\.").stdout
    return [line for line in text.splitlines() if not line.startswith("net.netfilter.nf_conntrack_")]


@pytest.fixture
def trouble(lab, supervisor):
    trouble = Trouble(lab, name=f"bt-tracked{next(numbers)}")
    lab.callback(trouble.close)
    supervisor.give_back("host")
    supervisor.ready(trouble.container.name)
    return trouble


def test_raised_until_there_is_room(lab, supervisor, trouble):
    """Nobody is refused any more, and who caused it is named. With the container's end the limit goes back."""
    bystander, container = make(lab, supervisor), trouble.container
    before, others, told = trouble.values()[MAX], everything(bystander), len(supervisor.changes("host", MAX))
    began = time.monotonic()
    trouble.start()
    wait_for(lambda: trouble.counts()[0], 10, "the table to be full")
    wait_for(lambda: table(container)[0] > trouble.n_clients, 20, "all to be tracked")
    seconds, (refused, begun) = time.monotonic() - began, trouble.counts()
    wait_for(lambda: trouble.counts()[1] > begun + 50, 5, "more to come")
    changes = supervisor.changes("host", MAX)[told:]
    print(f"{refused} of {begun} were refused in {seconds:.1f} s; then {trouble.counts()[0] - refused} were refused;"
          f" {[change['to'] for change in changes]}")
    assert trouble.counts()[0] == refused
    assert changes[0]["from"] == before and 1 <= len(changes) <= 6
    assert {(change["tuner"], change["scenario"]) for change in changes} == {("conntrack", "table_full")}
    assert changes[0]["text"].endswith(f"; asked for by {container.name}")
    assert [change["to"] for change in supervisor.changes(container.name)] == [change["to"] for change in changes]
    assert "packets of new ones refused" in supervisor.cli("status", container.name).stdout
    assert everything(bystander) == others and not supervisor.changes(bystander.name)
    trouble.stop()
    container.clear(container.name)
    wait_for(lambda: Host().sysctl(MAX) == before, 10, "the limit to go back")
    supervisor.wait_for_log("host", MAX, Host())
    assert supervisor.changes("host", MAX)[-1]["scenario"] == "not_needed"


def test_flood(lab, supervisor):
    """Entries of datagrams that nobody answers make room for each other: it is told, and the limit stays."""
    container = make(lab, supervisor)
    with small_table() as small:
        supervisor.give_back("host")
        flood = lab.keep(Program(container, UNANSWERED))
        record = wait_for(lambda: next((record for record in supervisor.log(container.name)
                                        if "as in a flood or a scan" in record["text"]), None), 10, "it to be told")
        assert (record["tuner"], record["container"]) == ("conntrack", container.name)
        print(record["text"])
        refused = table(container)[1]
        wait_for(lambda: table(container)[1] > refused, 10, "more to be refused")
        assert limit() == small
        flood.remove()


def test_greedy(lab, supervisor):
    """Whoever fills the table on purpose gets as far as there are buckets, and the last step, which is of no use, is undone. What
    a share of the memory comes to is more, on this machine."""
    container = make(lab, supervisor)
    container.write("net.netfilter.nf_conntrack_tcp_timeout_close", "3600")
    with small_table(409, 512) as small:
        most = 4 * int(Host().sysctl(BUCKETS))
        supervisor.give_back("host")
        told = len(supervisor.changes("host", MAX))
        greedy = lab.keep(Program(container, GREEDY))
        changes = wait_for(lambda: len(now := supervisor.changes("host", MAX)[told:]) > 2 and now, 10, "a step to be undone")
        assert [int(change["to"]) for change in changes[:3]] == [4 * small, most, 4 * small]
        assert "the last step was of no use" in changes[2]["text"] and "of 1000 new connections refused" in changes[2]["text"]
        assert all(change["text"].endswith(f"; asked for by {container.name}") for change in changes)
        greedy.remove()


def test_administrator(lab, supervisor, trouble):
    """A higher value is a base, which the tuner goes on from; a lower one makes it step aside. Rollback restores the base."""
    small = limit()
    base = 2 * small
    wait_for(lambda: supervisor.tunable("host", MAX)["initial"] == str(small), 3, "what is resumed to be read")
    Host().write(MAX, base)
    said(supervisor, "host", f"set {MAX} to {base}, which is higher than it was")
    assert not supervisor.is_manual("host", "conntrack")
    trouble.start()
    wait_for(lambda: limit() > base, 10, "the limit to be raised")
    supervisor.wait_for_log("host", MAX, Host())
    assert supervisor.tunable("host", MAX)["initial"] == str(base)
    wait_for(lambda: table(trouble.container)[0] > trouble.n_clients, 20, "all to be tracked")
    trouble.stop()
    assert not supervisor.rollback("host")["left"]
    assert limit() == base
    supervisor.resume("host")
    pid = Host().write(MAX, base - 1)
    why = wait_for(lambda: supervisor.is_manual("host", "conntrack"), 3, "the tuner to step aside")
    assert why == f"{MAX} was set to {base - 1} by sh (pid {pid})"
    trouble.start()
    refused = trouble.counts()[0]
    wait_for(lambda: trouble.counts()[0] > refused + 100, 10, "the table to be full")
    assert limit() == base - 1
