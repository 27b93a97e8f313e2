# SPDX-License-Identifier: GPL-2.0-or-later
"""The group bpftune, whose members read what a supervisor does: for one supervisor, whatever groups this machine has."""
import os
import pathlib
import tempfile

from lab import number, run

GROUP_ID = 64123
MEMBER = "setpriv", "--reuid=65534", "--regid=65534", f"--groups={GROUP_ID}"


def with_group(lab, group_id=GROUP_ID):
    """The beginning of a command that sees another /etc/group, in which bpftune has this id; None: no such group is there.
    Names of namespaces (ip netns) come and go in that mount namespace as they do here."""
    # The first `ip netns add` of a machine mounts /run/netns, of which that mount namespace would not hear where / is private.
    name = f"bt-observers{number()}"
    run("ip", "netns", "add", name)
    run("ip", "netns", "del", name)
    descriptor, path = tempfile.mkstemp(prefix="bpftune-group-")
    lab.callback(os.unlink, path)
    lines = [line for line in pathlib.Path("/etc/group").read_text().splitlines() if not line.startswith("bpftune:")]
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join([*lines, *([f"bpftune:x:{group_id}:"] if group_id else [])]) + "\n")
    os.chmod(path, 0o644)
    return "unshare", "--mount", "--propagation", "slave", "sh", "-c", f"mount --bind {path} /etc/group && exec \"$@\"", "sh"
