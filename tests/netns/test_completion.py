# SPDX-License-Identifier: GPL-2.0-or-later
"""The completion, in bash, with a running supervisor to ask."""
import os
import re
import shlex

import pytest

from lab import BPFTUNE, run, tuner_names

COMPLETION = os.environ["COMPLETION"]
# What bash makes of a line, by its default COMP_WORDBREAKS.
WORDS = re.compile(r"[:=@]+|[^\s:=@]+")
SCRIPT = """
source "$1"; COMP_LINE=$2; COMP_POINT=${#2}; shift 2; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bpftune
(($? == 0)) && printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete(line, **options):
    """What the tabulator key would offer at the end of this line."""
    words = WORDS.findall(line) + ([""] if line.endswith(" ") else [])
    return set(run("bash", "-c", SCRIPT, "bash", COMPLETION, line, *words, **options).stdout.split())


def test_is_registered():
    said = run("bash", "-c", f"source {shlex.quote(COMPLETION)} && complete -p bpftune").stdout
    assert said.split() == ["complete", "-F", "_bpftune", "bpftune"]


@pytest.mark.parametrize("line, offered", [
    ("bpftune ", {"run", "status", "log", "report", "rollback", "resume", "off", "on", "tuners", "advise", "probe"}),
    ("bpftune r", {"run", "report", "rollback", "resume"}),
    ("bpftune run ", set()),
    ("bpftune run --d", {"--debug", "--dry-run"}),
    ("bpftune rollback --d", {"--dry-run"}),
    ("bpftune rollback --a", {"--all"}),
    ("bpftune rollback --all ", set()),
    ("bpftune o", {"off", "on"}),
    ("bpftune off -", {"--all", "--run-dir", "--help"}),
    ("bpftune log -", {"-f", "-n", "--follow", "--lines", "--json", "--run-dir", "--help"}),
    ("bpftune log -n ", set()),
    ("bpftune report -", {"-o", "--output", "--run-dir", "--help"}),
    ("bpftune report -o /sys/kernel/btf/vmlinu", {"/sys/kernel/btf/vmlinux"}),
    ("bpftune -", {"--run-dir", "--help", "--version"}),
    ("bpftune --run-dir /nowhere sta", {"status"}),
    ("bpftune status --run-dir /sys/kernel/bt", {"/sys/kernel/btf"}),
    ("bpftune status --run-dir /nowhere ", set()),      # nobody answers: nothing, and no message
    ("bpftune nonsense ", set()),
    ("bpftune advise -", {"--apply-hints", "--run-dir", "--help"}),
    ("bpftune advise /sys/kernel/btf/vml", {"/sys/kernel/btf/vmlinux"}),
    ("bpftune advise /nowhere /sys/kernel/btf/vml", {"/sys/kernel/btf/vmlinux"}),
])
def test_words(line, offered):
    assert complete(line) == offered


def test_options_are_those_of_the_program():
    """Each one that is offered is taken: what is wrong is then that there are too many arguments, or too few."""
    for command in complete(f"{BPFTUNE} "):
        for option in complete(f"{BPFTUNE} {command} -"):
            if command == "advise" and option == "--run-dir":
                continue    # it takes any number of arguments
            value = ["1"] if option in ("-n", "--lines", "--run-dir", "--plugin-dir", "--apply-hints", "-o", "--output") else []
            said = run(BPFTUNE, command, option, *value, "a", "b", "c", check=False)
            assert option == "--help" or "one argument too many" in said.stderr, (command, option)


def test_names(lab):
    lab.container("netns", "bt-tab")
    lab.container("netns", "bt-tab@2")
    supervisor = lab.supervisor()
    ask = f"{BPFTUNE} --run-dir {supervisor.run_dir}"
    supervisor.ready("host", "bt-tab", "bt-tab@2")
    names = set(supervisor.instances())
    for command in "status", "log -f", "report", "report -o page.html", "rollback", "resume", "off", "on", "advise --apply-hints":
        assert complete(f"{ask} {command} ") == names
    assert complete(f"{ask} status bt-t") == {"bt-tab", "bt-tab@2"}
    assert complete(f"{ask} status bt-tab@") == {"2"}       # bash has cut the word there
    assert complete(f"{BPFTUNE} log --run-dir={supervisor.run_dir} ho") == {"host"}
    assert complete(f"{ask} resume host ") == tuner_names()
    assert complete(f"{ask} resume host tcp_buffer ") == set()
    assert complete(f"{ask} off host ") == complete(f"{ask} on --all ") == tuner_names()
    assert complete(f"{ask} off --all tcp_buffer ") == set()
    assert complete(f"{ask} tuners ") == set()
