# SPDX-License-Identifier: GPL-2.0-or-later
"""Sockets of a container that hold more of TCP's memory, again and again, than tcp_mem allows before the kernel presses them."""
import contextlib
import threading

from lab import Host, kept_sysctls, sysctl_path
from test_tcp_mem import SMALL, STEPS_PER_S, TCP_MEM, Load

STEPS = 24  # of 2 MiB each: half as much again as where pressure begins


class Trouble:
    """How often the kernel comes to press for memory, by the sockets that were filled."""
    TUNER = "tcp_mem"
    TUNABLES = [TCP_MEM]

    def __init__(self, lab):
        self.kept = contextlib.ExitStack()
        self.kept.enter_context(kept_sysctls((TCP_MEM,)))
        sysctl_path(TCP_MEM).write_text(SMALL)
        self.container = lab.container("netns", "bt-fills")
        self.stopped, self.thread, self.filled = threading.Event(), None, 0

    def fill(self, load):
        while not self.stopped.is_set():
            for _ in range(STEPS):
                load.fill()
                self.filled += 1
                self.stopped.wait(1 / STEPS_PER_S)
            load.tell("drop")
        load.remove()

    def start(self):
        self.stopped.clear()
        self.thread = threading.Thread(target=self.fill, args=(Load(self.container),))
        self.thread.start()

    def stop(self):
        self.stopped.set()
        if self.thread:
            self.thread.join()
        self.thread = None

    def counts(self):
        return self.container.counters("TcpExt")["TCPMemoryPressures"], self.filled

    def values(self):
        return {TCP_MEM: Host().sysctl(TCP_MEM)}

    def close(self):
        self.stop()
        self.kept.close()
