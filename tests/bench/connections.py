# SPDX-License-Identifier: GPL-2.0-or-later
"""Thousands of connections that are only open, or on which some data was moved."""
import ctypes
import os
import resource
import socket
import struct
import subprocess
import sys

PORT = 16381
CLONE_NEWNET = 0x40000000       # linux/sched.h


class Connections:
    """Both ends are in one process: the server's in the named namespace, the client's in ours."""

    def __init__(self, netns, address, number):
        self.number = number
        self.process = subprocess.Popen([sys.executable, __file__, netns, address, str(number)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.wait("open")

    @staticmethod
    def most(number):
        """As many of these as a process may have: two descriptors each, and some for what else it needs."""
        return min(number, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 64) // 2)

    def wait(self, word):
        said = self.process.stdout.readline()
        assert said == f"{word}\n", f"connections: {said or self.process.wait()}"

    def move(self, number, size):
        """So many bytes on each of the first connections, from the server's end to the client's."""
        self.process.stdin.write(f"{number} {size}\n")
        self.process.stdin.flush()
        self.wait("moved")

    def remove(self):
        self.process.communicate()


def listener_in(netns, address):
    """A socket stays in the namespace that it was made in."""
    libc = ctypes.CDLL(None, use_errno=True)
    own, other = (os.open(path, os.O_RDONLY) for path in ("/proc/self/ns/net", netns))
    assert libc.setns(other, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    listener = socket.create_server((address, PORT))
    assert libc.setns(own, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    return listener


def connected(listener, address):
    client = socket.create_connection((address, PORT))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))     # ends without TIME_WAIT
    return listener.accept()[0], client


def move(server, client, size, block=b"x" * 65536):
    """A block at a time, as one process has both ends."""
    while size:
        sent = server.send(block[:size])
        size -= sent
        while sent:
            sent -= len(client.recv(sent))


def hold(netns, address, number):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    listener = listener_in(netns, address)
    ends = [connected(listener, address) for _ in range(number)]
    print("open", flush=True)
    for line in sys.stdin:
        some, size = map(int, line.split())
        for server, client in ends[:some]:
            move(server, client, size)
        print("moved", flush=True)
    for _, client in ends:      # first, so that no server's end waits
        client.close()


if __name__ == "__main__":
    hold(sys.argv[1], sys.argv[2], int(sys.argv[3]))
