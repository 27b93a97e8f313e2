# SPDX-License-Identifier: GPL-2.0-or-later
"""A sender on a path of 40 ms, whose send buffer's limit lets it have 64 KiB in flight."""
import re

from lab import AMPLE, PLAIN, SMALL_WMEM, WMEM, run


class Trouble:
    """Milliseconds in which the sender waits for room in its buffer, by those in which it has something to send: ss(8)."""
    TUNER = "tcp_buffer"
    TUNABLES = [WMEM]

    def __init__(self, lab):
        self.near = lab.container("netns", "bt-sends", SMALL_WMEM)
        self.path = lab.path(self.near, lab.container("netns", "bt-takes", AMPLE), 249)
        self.flow, self.last = None, (0, 0)

    def start(self):
        self.flow = self.path.start(3600, *PLAIN)

    def stop(self):
        if self.flow:
            self.flow.remove()
        self.flow = None

    def counts(self):
        text = run(*self.near.command("ss", "-Htin", "state", "established")).stdout

        def most(name):
            return max(map(int, re.findall(rf"\b{name}:(\d+)ms", text)), default=0)
        self.last = max(self.last[0], most("sndbuf_limited")), max(self.last[1], most("busy"))
        return self.last

    def values(self):
        return {WMEM: self.near.sysctl(WMEM)}

    def close(self):
        self.stop()
