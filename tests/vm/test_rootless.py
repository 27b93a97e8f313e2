# SPDX-License-Identifier: GPL-2.0-or-later
"""Podman without root: a container in a user's session, called as the user calls it."""
import pathlib
import pwd
import subprocess

import pytest

from lab import SLOWNESS, TTL, Host, change, netns_id, only, run, wait_for
from test_podman import IMAGE, write_image

pytestmark = pytest.mark.last
USER = "bt-user"


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """Has a session, and Podman's image."""
    run("useradd", "--create-home", USER)
    uid = pwd.getpwnam(USER).pw_uid
    run("loginctl", "enable-linger", USER)
    wait_for(pathlib.Path(f"/run/user/{uid}/bus").exists, 30, "the user's session")
    image = tmp_path_factory.mktemp("image") / "image.tar"
    write_image(image)
    with image.open("rb") as archive:
        as_user("podman", "import", "-", IMAGE, stdin=archive)
    yield uid
    # Podman leaves a process that ignores SIGTERM: the session's end would wait for it for 90 s.
    run("loginctl", "disable-linger", USER)
    run("systemctl", "kill", "--kill-whom=all", "--signal=KILL", f"user@{uid}.service", check=False)
    wait_for(lambda: run("userdel", "--remove", USER, check=False).returncode == 0, 60, "the user's processes to end")


def as_user(*words, stdin=subprocess.DEVNULL):
    """In the user's session, not in the one of whoever tests. A process that Podman leaves there is left alone."""
    command = ["systemd-run", "--user", f"--machine={USER}@", "--quiet", "--wait", "--pipe", "--collect",
               "--property=KillMode=process", *map(str, words)]
    return subprocess.run(command, check=True, text=True, stdin=stdin, stdout=subprocess.PIPE, timeout=60 * SLOWNESS).stdout.strip()


class Rootless(Host):
    def __init__(self, name):
        self.name = name
        self.id = as_user("podman", "run", "--detach", "--name", name, "--network", "none", "--volume", "/usr:/usr:ro",
                          "--stop-timeout", 0, IMAGE, "sleep", "infinity")
        self.pid = as_user("podman", "inspect", "--format", "{{.State.Pid}}", name)
        self.netns = f"/proc/{self.pid}/ns/net"

    def command(self, *words):
        return "nsenter", f"--net={self.netns}", *words

    def remove(self):
        as_user("podman", "rm", "--force", "--time", 0, self.name)


def test_named_as_the_user_calls_it(lab, user):
    supervisor = lab.supervisor(tuners=only("poke"))
    supervisor.ready("host")
    container = lab.keep(Rootless("web"))
    name = f"uid {user}/web"
    instance = supervisor.ready(name, deadline=10)
    assert instance["netns"]["inode"] == netns_id(container.netns)[1]
    assert (instance["container_id"], instance["runtime"], instance["uid"]) == (container.id, "podman", user)
    assert supervisor.status(f"uid {user}/{container.id[:12]}")["instances"][0]["id"] == instance["id"]
    container.name = name
    change(supervisor, container, "step")
    assert supervisor.tunable(name, TTL)["current"] == container.sysctl(TTL)
