# SPDX-License-Identifier: GPL-2.0-or-later
"""A tuner that was built outside of the tree, with the installed headers: a copy of tuners/frag, as doc/example shows."""
import os
import pathlib
import tempfile

from lab import as_roots, wait_for
from trouble_frag import HIGH, SMALL, Trouble

EXAMPLE = pathlib.Path(os.environ["BPFTUNE_EXAMPLE"])      # the copy, and what was made there


def lines(*names):
    return sum(len((EXAMPLE / "tuners" / name).read_text().splitlines()) for name in names)


def test_small():
    """As CONTRIBUTING.md says of it."""
    assert lines("frag.bpf.c") <= 80
    assert lines("frag.c", "frag.h") <= 150


def test_at_work(lab):
    """In the place of the one that is shipped."""
    directory = lab.enter_context(tempfile.TemporaryDirectory(prefix="bpftune-example-"))
    pathlib.Path(directory, "frag.so").symlink_to(pathlib.Path(as_roots(str(EXAMPLE)), "frag.so"))
    trouble = Trouble(lab, "bt-example", families=(4,))
    supervisor = lab.supervisor(tuners=directory)
    supervisor.ready("host", trouble.container.name)
    trouble.start()
    wait_for(lambda: int(trouble.container.sysctl(HIGH[4])) > SMALL, 10, f"{HIGH[4]} to rise")
