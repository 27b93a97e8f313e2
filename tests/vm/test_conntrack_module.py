# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of connections belongs to a module, which may come late; and the host has a table, as containers have."""
import pathlib

import pytest

from lab import Host, kept_sysctls, only, run, said, sysctl_path, wait_for
from trouble_conntrack import BUCKETS, LOAD, MAX, Program, table, track

pytestmark = pytest.mark.last


@pytest.fixture
def without_module():
    run("nft", "delete", "table", "inet", "tracks", check=False)
    run("modprobe", "-r", "nft_ct", "nf_conntrack", check=False)
    assert not pathlib.Path(sysctl_path(MAX)).exists()
    yield
    run("nft", "delete", "table", "inet", "tracks")
    run("modprobe", "-r", "nft_ct", "nf_conntrack")     # and the connections that it tracks


def test_module_comes_late(lab, without_module):
    """Nothing is said of what cannot be read, and the host's own table is raised when it is there and full."""
    supervisor = lab.supervisor(tuners=only("conntrack"))
    supervisor.ready("host")
    said(supervisor, "host", "the kernel tracks no connections")
    assert "cannot read" not in supervisor.stderr()
    run("modprobe", "nf_conntrack", "hashsize=512")     # of which the kernel makes eight times as many connections
    track(Host())
    with kept_sysctls((BUCKETS,)):
        sysctl_path(BUCKETS).write_text("4096")
        load = lab.keep(Program(Host(), LOAD, 6000))
        wait_for(lambda: table(Host())[0] > 6000, 60, "all to be tracked")
        load.remove()
    change, = supervisor.changes("host", MAX)
    assert (change["from"], change["to"], change["scenario"]) == ("4096", "16384", "table_full")
    assert "asked for by" not in change["text"]
