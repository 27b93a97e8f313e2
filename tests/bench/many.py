# SPDX-License-Identifier: GPL-2.0-or-later
"""Thousands of network namespaces: makes and deletes them, asks a supervisor for their instances, and sends those events."""
import contextlib
import ctypes
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import tempfile
import time

from figures import EventTrace
from crowd import forge, tuner_number
from lab import poke_numbers, run, wait_for

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET, MS_BIND, MNT_DETACH = 0x40000000, ctypes.c_ulong(4096), 2     # linux/sched.h, linux/mount.h, sys/mount.h

ANSWER_S = 30


# --- namespaces -----------------------------------------------------------------------------------

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def make(directory, first, number):
    """Makes namespaces as `ip netns add` does. The calling process stays in the last one."""
    for i in range(first, first + number):
        path = pathlib.Path(directory, f"bt-many{i}")
        path.touch(exist_ok=False)
        checked(LIBC.unshare(CLONE_NEWNET))
        checked(LIBC.mount(b"/proc/self/ns/net", os.fsencode(path), None, MS_BIND, None))


class Namespaces:
    """Namespaces with names, on a tmpfs of their own: the end of the tmpfs is the end of all of them."""

    def __init__(self):
        self.directory, self.number = pathlib.Path(tempfile.mkdtemp(prefix="bpftune-many-")), 0
        try:
            run("mount", "-t", "tmpfs", "-o", "mode=700", "bpftune-many", self.directory)
        except BaseException:
            self.directory.rmdir()
            raise
        run("mount", "--make-private", self.directory)      # no other mount namespace keeps copies

    def add(self, number):
        """Their names. Another process makes them: this one stays in its namespace."""
        first = self.number
        subprocess.run([sys.executable, __file__, self.directory, str(first), str(number)], check=True)
        self.number += number
        return [f"bt-many{i}" for i in range(first, self.number)]

    def ready(self, instances):
        """Those of these instances that are of our namespaces and have a worker that is ready."""
        inodes = {path.stat().st_ino for path in self.directory.iterdir()}
        return [instance for instance in instances
                if instance["netns"]["inode"] in inodes and instance["worker"]["state"] == "ready"]

    def delete(self):
        """One after the other, as fast as possible."""
        for path in list(self.directory.iterdir()):
            checked(LIBC.umount2(os.fsencode(path), MNT_DETACH))
            path.unlink()

    def remove(self):
        checked(LIBC.umount2(os.fsencode(self.directory), MNT_DETACH))
        self.directory.rmdir()


@contextlib.contextmanager
def named_namespaces(number):
    namespaces = Namespaces()
    try:
        yield namespaces.add(number)
    finally:
        namespaces.remove()


# --- what the supervisor says of them -------------------------------------------------------------

def within(seconds, predicate, pause=0.2):
    """The last answer, which is true or came after so long: a figure tells what did not become true."""
    end = time.monotonic() + seconds
    while True:
        last_try = time.monotonic() >= end
        answer = predicate()
        if answer or last_try:
            return answer
        time.sleep(pause)


def replies(supervisor, method, **options):
    """Each reply that the control socket gives to a call, undecoded, and when the last byte of the reply was there."""
    message, continues = bytearray(), True
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(ANSWER_S)
        control.connect(str(supervisor.run_dir / "control.sock"))
        control.sendall(json.dumps({"method": method, **options}).encode() + b"\0")
        while continues:
            try:
                part = control.recv(1 << 18)
            except TimeoutError as error:
                raise TimeoutError(f"no answer to {method} within {ANSWER_S} s") from error
            now = time.monotonic()
            if not part:
                raise ConnectionError(f"the supervisor ended the connection during {method}")
            *ends, rest = part.split(b"\0")
            for end in ends:
                message += end
                yield bytes(message), now
                continues = re.search(rb'"continues":\s*true', message)
                message.clear()
            message += rest


class Listing:
    """All instances, and seconds until the reply with the first and the last of them had come.

    A supervisor without io.bpftune.ListInstances tells all of them in one reply to io.bpftune.GetStatus.
    """

    def __init__(self, supervisor):
        start = time.monotonic()
        came = list(replies(supervisor, "io.bpftune.ListInstances", more=True))
        if b"MethodNotFound" in came[0][0]:
            start = time.monotonic()
            came = list(replies(supervisor, "io.bpftune.GetStatus"))
        self.instances, times = [], []
        for message, now in came:
            reply = json.loads(message)
            assert "error" not in reply, f"the supervisor answered {reply}"
            parameters = reply["parameters"]
            found = parameters.get("instances") or [parameters[key] for key in parameters if key == "instance"]
            self.instances += found
            times += [now - start] * len(found)
        self.first_s, self.last_s = times[0], times[-1]


def wait_for_named(supervisor, names):
    """Their instances."""
    def found():
        instances = {instance["name"]: instance for instance in Listing(supervisor).instances}
        return all(name in instances for name in names) and [instances[name] for name in names]
    return wait_for(found, 60, f"{len(names)} instances")


def workers_ready(supervisor):
    """Since its start. Asks nothing: of what the supervisor writes to between two forks, each worker keeps a copy."""
    return supervisor.stderr().count(" is ready")


def wait_for_workers(supervisor, number, deadline=120):
    wait_for(lambda: workers_ready(supervisor) >= number, deadline, f"{number} workers")


# --- events for them ------------------------------------------------------------------------------

class EventTimes:
    """What events for the test tuner take, in nanoseconds from the BPF program's timestamp: until the worker has read the
    event, and until the worker has written the sysctl. Each goes to one of these instances, which have workers.

    missing: events without a change.
    """
    INTERVAL_US = 10000     # one after the other: what a single event takes

    def __init__(self, lab, supervisor, instances, number):
        tuner, pokes = tuner_number(supervisor, "poke"), poke_numbers()
        cookies = {instance["worker"]["pid"]: instance["netns"]["cookie"] for instance in instances}
        forge(supervisor, *((cookie, 0, tuner, pokes["nothing"]) for cookie in cookies.values()), interval_us=2000)
        workers = random.choices(list(cookies), k=number)
        before = self.changes(supervisor)
        trace = lab.keep(EventTrace(cookies))
        trace.start()
        times = forge(supervisor, *((cookies[pid], 0, tuner, pokes["step"]) for pid in workers),
                      interval_us=self.INTERVAL_US)
        within(10, lambda: self.changes(supervisor) - before >= number)
        read, written = trace.stop()
        self.missing = number - (self.changes(supervisor) - before)
        self.delivered_ns, self.written_ns = (self.delays(workers, times, seen) for seen in (read, written))

    @staticmethod
    def changes(supervisor):
        """By the log: the answer to a question would delay what is on its way."""
        return supervisor.stderr().count(" (step)")

    @staticmethod
    def delays(workers, times, seen):
        after = [[at - time_ns for at in seen[pid] if at > time_ns] for pid, time_ns in zip(workers, times)]
        return [min(delays) for delays in after if delays]


if __name__ == "__main__":
    make(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
