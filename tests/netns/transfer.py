# SPDX-License-Identifier: GPL-2.0-or-later
"""Short transfers between two containers, each on a connection of its own, with the windows that it started with."""
import json
import subprocess
import sys

from lab import run

# A client sends a line "d BYTES" or "u BYTES": the data then comes down to it, or goes up; with "r BYTES" it goes up when
# it has been told how much room there is for it at first.
SERVER = """
import socket, struct, sys, threading
MOST = b'x' * (1 << 20)
def info(connection, offset):   # struct tcp_info; 0 in a kernel that does not tell
    known = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return struct.unpack_from('I', known.ljust(256, b'\\0'), offset)[0]
def serve(connection):
    with connection, connection.makefile('rb') as lines:
        window = info(connection, 80)       # tcpi_snd_cwnd
        direction, left = lines.readline().split()
        left = int(left)
        if direction == b'd':
            connection.sendall(struct.pack('!I', window))
            while left:
                left -= connection.send(MOST[:left])
            connection.shutdown(socket.SHUT_WR)
        else:
            if direction == b'r':
                connection.sendall(struct.pack('!I', info(connection, 232)))    # tcpi_rcv_wnd
            while left:
                left -= len(lines.read1(min(left, 1 << 20)))
            connection.sendall(b'done')
        lines.read()
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
server = socket.create_server((sys.argv[1], int(sys.argv[2])), family=family, backlog=64,
                              dualstack_ipv6=sys.argv[1] == '::')
print('listening', flush=True)
while True:
    threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()
"""

CLIENT = """
import json, socket, struct, sys, time
address, port, direction, size, count = sys.argv[1], *sys.argv[2:]
def max_rate(connection):       # SO_MAX_PACING_RATE, bytes a second
    return struct.unpack('=Q', connection.getsockopt(socket.SOL_SOCKET, 47, 8))[0]
size, done = int(size), []
for _ in range(int(count)):
    begin = time.monotonic()
    with socket.create_connection((address, int(port)), timeout=20) as connection:
        window = struct.unpack_from('I', connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 80)[0]
        rate, line, room = max_rate(connection), f'{direction} {size}\\n'.encode(), 0
        if direction != 'd':
            if direction == 'r':
                connection.sendall(line)
                room, = struct.unpack('!I', connection.recv(4, socket.MSG_WAITALL))
                line = b''
            connection.sendall(line + b'x' * size)
            connection.recv(4, socket.MSG_WAITALL)
        else:
            connection.sendall(line)
            got = bytearray()
            while len(got) < size + 4:
                more = connection.recv(1 << 20)
                assert more, 'ended early'
                got += more
            window = struct.unpack_from('!I', got)[0]
        ssthresh, = struct.unpack_from('I', connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 76)
        done.append({'ms': 1000 * (time.monotonic() - begin), 'cwnd': window, 'room': room, 'ssthresh': ssthresh,
                     'rates': [rate, max_rate(connection)]})
        time.sleep(0.1)     # till it is told what of it was sent again for nothing, by a machine that stalled
print(json.dumps(done))
"""

# To a server's "u": with pauses, each until all of it is acknowledged.
BURSTS = """
import fcntl, json, socket, struct, sys, termios, time
address, port, size, count, pause = sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5])
def unacknowledged(connection):     # SIOCOUTQ: tcp(7)
    return struct.unpack('i', fcntl.ioctl(connection, termios.TIOCOUTQ, b'1234'))[0]
ms = []
with socket.create_connection((address, port), timeout=20) as connection:
    connection.sendall(f'u {size * count}\\n'.encode())
    for _ in range(count):
        time.sleep(pause)
        begin = time.monotonic()
        connection.sendall(bytes(size))
        while unacknowledged(connection):
            time.sleep(0.002)
        ms.append(1000 * (time.monotonic() - begin))
print(json.dumps(ms))
"""


# To a server's "u": so much at once, and a pause after each, however long it had to wait: what was late is not made up for.
PACED = """
import socket, sys, time
address, port, size, count, pause = sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5])
with socket.create_connection((address, port), timeout=20) as connection:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(f'u {size * count}\\n'.encode())
    for _ in range(count):
        connection.sendall(bytes(size))
        time.sleep(pause)
"""


class Server:
    """In a container; one more client is one more thread."""

    def __init__(self, container, port, address="0.0.0.0"):
        self.port = port
        self.process = subprocess.Popen(container.command(sys.executable, "-c", SERVER, address, str(port)), text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = self.process.stdout.readline()
        assert said == "listening\n", said + self.process.stdout.read()

    def remove(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def transfers(client, address, port, direction, size, count=1):
    """Of each in turn: its milliseconds from connect to the last byte; the initial windows of the sender, in segments,
    and, with "r", of an accepted receiver, in bytes; the client's slow start threshold at the end; the rates that it was
    held to at the start and at the end.
    """
    words = sys.executable, "-c", CLIENT, address, str(port), direction, str(size), str(count)
    return json.loads(run(*client.command(*words), timeout=60).stdout)


def bursts(client, address, port, size, count, pause_s):
    """Of each message, with pauses before them, on one connection: its milliseconds until all of it has arrived."""
    words = sys.executable, "-c", BURSTS, address, str(port), str(size), str(count), str(pause_s)
    return json.loads(run(*client.command(*words), timeout=60).stdout)


def paced(client, address, port, size, count, pause_s):
    """So many writes, with pauses after them, on one connection."""
    words = sys.executable, "-c", PACED, address, str(port), str(size), str(count), str(pause_s)
    run(*client.command(*words), timeout=60)
