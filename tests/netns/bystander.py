# SPDX-License-Identifier: GPL-2.0-or-later
"""What another container notices of a flood."""
import datetime
import subprocess
import sys

from lab import pokes, wait_for

# In a container: executes the test tuner's scenario, and tells when.
POKE = """if True:
    import os, sys, time
    for line in sys.stdin:
        began = time.time()
        os.waitpid(os.posix_spawn(line.strip(), [line.strip()], os.environ), 0)
        print(began, flush=True)"""


def delays(world, n, deadline):
    """From what the victim's tuner notices to the line that tells of the change, n times. All in seconds."""
    result, name = [], world.victim.name
    with subprocess.Popen(world.victim.command(sys.executable, "-c", POKE), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as poker:
        for _ in range(n):
            last = world.supervisor.changes(name)[-1:]
            poker.stdin.write(f"{pokes() / 'poke-0'}\n")
            poker.stdin.flush()
            began = float(poker.stdout.readline())
            record = wait_for(lambda: (now := world.supervisor.changes(name)[-1:]) not in ([], last) and now[0], deadline,
                              "the change")
            result.append(datetime.datetime.fromisoformat(record["time"]).timestamp() - began)
        poker.stdin.close()
    return result
