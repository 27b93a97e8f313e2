# SPDX-License-Identifier: GPL-2.0-or-later
"""The completions, in the shells that they are for, with a running supervisor to ask."""
import fcntl
import os
import pty
import re
import select
import shlex
import shutil
import signal
import struct
import subprocess
import termios
import time

import pytest

from lab import BPFTUNE, SLOWNESS, run, tuner_names, wait_for

COMPLETIONS = os.environ["COMPLETIONS"]
BASH, ZSH, FISH = (f"{COMPLETIONS}/{name}" for name in ("bpftune.bash", "_bpftune", "bpftune.fish"))
# What bash makes of a line, by its default COMP_WORDBREAKS.
WORDS = re.compile(r"[:=@]+|[^\s:=@]+")
SCRIPT = """
source "$1"; COMP_LINE=$2; COMP_POINT=${#2}; _bpftune bpftune "$3"
(($? == 0)) && printf '%s\\n' "${COMPREPLY[@]}"
"""
SHELLS = ["bash", "zsh", "fish"]


def need(shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")


def bash_offers(line, **options):
    """What the tabulator key would offer at the end of this line."""
    words = WORDS.findall(line)
    word = "" if line[-1] in " :=@" else words[-1]
    return set(run("bash", "-c", SCRIPT, "bash", BASH, line, word, **options).stdout.split())


def fish_offers(line):
    """The same; fish shows short options, too, only where there is but a dash."""
    said = run("fish", "--no-config", "-c", 'source $argv[1]; complete -C $argv[2]', FISH, line).stdout
    return {text.partition("\t")[0] for text in said.splitlines()}


OFFERS = {"bash": bash_offers, "fish": fish_offers}


def test_is_registered():
    said = run("bash", "-c", f"source {shlex.quote(BASH)} && complete -p bpftune").stdout
    assert said.split() == ["complete", "-F", "_bpftune", "bpftune"]


@pytest.mark.parametrize("line, offered", [
    ("bpftune ", {"run", "status", "watch", "log", "report", "metrics", "rollback", "resume", "off", "on", "tuners", "advise",
                  "probe"}),
    ("bpftune r", {"run", "report", "rollback", "resume"}),
    ("bpftune run ", set()),
    ("bpftune run --d", {"--debug", "--dry-run"}),
    ("bpftune rollback --d", {"--dry-run"}),
    ("bpftune rollback --a", {"--all"}),
    ("bpftune status --a", {"--all"}),
    ("bpftune rollback --all ", set()),
    ("bpftune o", {"off", "on"}),
    ("bpftune off --", {"--all", "--run-dir", "--help"}),
    ("bpftune log --", {"--follow", "--lines", "--json", "--run-dir", "--help"}),
    ("bpftune log -n ", set()),
    ("bpftune report --", {"--output", "--run-dir", "--help"}),
    ("bpftune metrics --", {"--output", "--listen", "--run-dir", "--help"}),
    ("bpftune report -o /sys/kernel/btf/vmlinu", {"/sys/kernel/btf/vmlinux"}),
    ("bpftune --", {"--run-dir", "--help", "--version"}),
    ("bpftune --run-dir /nowhere sta", {"status"}),
    ("bpftune status --run-dir /sys/kernel/bt", {"/sys/kernel/btf"}),
    ("bpftune status --run-dir /nowhere ", set()),      # nobody answers: nothing, and no message
    ("bpftune nonsense ", set()),
    ("bpftune advise --", {"--apply-hints", "--run-dir", "--help"}),
    ("bpftune advise /sys/kernel/btf/vml", {"/sys/kernel/btf/vmlinux"}),
    ("bpftune advise /nowhere /sys/kernel/btf/vml", {"/sys/kernel/btf/vmlinux"}),
])
@pytest.mark.parametrize("shell", OFFERS)
def test_words(shell, line, offered):
    need(shell)
    assert {word.rstrip("/=") for word in OFFERS[shell](line)} == offered


@pytest.mark.parametrize("shell", OFFERS)
def test_options_are_those_of_the_program(shell):
    """Each one that is offered is taken: what is wrong is then that there are too many arguments, or too few."""
    need(shell)
    offers = OFFERS[shell]
    for command in offers(f"{BPFTUNE} "):
        for option in offers(f"bpftune {command} -"):
            if command == "advise" and option in ("--run-dir", "--run-dir="):
                continue    # it takes any number of arguments
            value = ["1"] if option.rstrip("=") in ("-n", "--lines", "--run-dir", "--plugin-dir", "--apply-hints", "-o", "--output") else []
            said = run(BPFTUNE, command, option.rstrip("="), *value, "a", "b", "c", check=False)
            assert option in ("--help", "-h") or "one argument too many" in said.stderr, (command, option)


@pytest.fixture(scope="module")
def supervisor(shared):
    shared.container("netns", "bt-tab")
    shared.container("netns", "bt-tab@2")
    supervisor = shared.supervisor()
    supervisor.ready("host", "bt-tab", "bt-tab@2")
    return supervisor


def test_names(supervisor):
    ask = f"{BPFTUNE} --run-dir {supervisor.run_dir}"
    names = set(supervisor.instances())
    for command in "status", "watch", "log -f", "report", "report -o page.html", "rollback", "resume", "off", "on", "advise --apply-hints":
        assert bash_offers(f"{ask} {command} ") == names
    assert bash_offers(f"{ask} status bt-t") == {"bt-tab", "bt-tab@2"}
    assert bash_offers(f"{ask} status bt-tab@") == {"2"}       # bash has cut the word there
    assert bash_offers(f"{BPFTUNE} log --run-dir={supervisor.run_dir} ho") == {"host"}
    assert bash_offers(f"{ask} resume host ") == tuner_names()
    assert bash_offers(f"{ask} resume host tcp_buffer ") == set()
    assert bash_offers(f"{ask} off host ") == bash_offers(f"{ask} on --all ") == tuner_names()
    assert bash_offers(f"{ask} off --all tcp_buffer ") == set()
    assert bash_offers(f"{ask} tuners ") == set()


# A person at the keyboard

class Terminal:
    """A shell with the completion. `bpftune status --json` asks the supervisor; any other `bpftune` writes down its arguments."""

    STARTED = {
        "bash": ["bash", "--noprofile", "--norc", "-i"],
        "zsh": ["zsh", "-f", "-i"],
        "fish": ["fish", "--no-config", "--private", "--interactive"],
    }
    # PROMPT is written once for each line that is read, when the shell no longer leaves the keys to the kernel.
    TOLD = {
        "bash": f"source {shlex.quote(BASH)}; PS1='re''ady> '",
        "zsh": f"fpath=({shlex.quote(COMPLETIONS)} $fpath); autoload -Uz compinit; compinit -u -D; "
               "zle-line-init() { print -n 're''ady> '; }; zle -N zle-line-init",
        "fish": f"source {shlex.quote(FISH)}; function say_ready --on-event fish_prompt; echo -n 're''ady> '; end",
    }
    PROMPT = b"ready> "

    def __init__(self, shell, directory, supervisor):
        self.directory, self.arguments = directory, directory / "arguments"
        tools = directory / "tools"
        tools.mkdir()
        program = tools / "bpftune"
        program.write_text(f"""#!/bin/sh
case "$*" in
"status --json") exec {shlex.quote(str(BPFTUNE))} --run-dir {shlex.quote(str(supervisor.run_dir))} "$@" ;;
esac
printf '%s\\0' "$@" >{shlex.quote(str(directory))}/new && mv {shlex.quote(str(directory))}/new {shlex.quote(str(self.arguments))}
""")
        program.chmod(0o755)
        self.home = directory / "home"      # where what a name might run would leave its trace
        self.home.mkdir()
        environment = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(self.home), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        self.fd, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 400, 0, 0))
        self.shell = subprocess.Popen(["setsid", "--ctty", *self.STARTED[shell]], stdin=slave, stdout=slave, stderr=slave,
                                      cwd=self.home, env=environment)
        os.close(slave)
        self.type(self.TOLD[shell] + "\r", self.PROMPT)

    def type(self, text, answer=None):
        os.write(self.fd, text.encode())
        seen, end = b"", time.monotonic() + 10 * SLOWNESS
        while answer and answer not in seen:
            ready = select.select([self.fd], [], [], max(end - time.monotonic(), 0))[0]
            assert ready, f"the shell did not answer {text!r} with {answer!r}, but with {seen!r}"
            seen += os.read(self.fd, 65536)

    def complete(self, line):
        """The arguments that a command gets if its line ends with the tabulator key."""
        self.arguments.unlink(missing_ok=True)
        self.type(line + "\t\r", self.PROMPT)
        wait_for(self.arguments.exists, 5, f"{line!r} to be a command")
        return os.fsdecode(self.arguments.read_bytes()).split("\0")[:-1]

    def close(self):
        os.close(self.fd)       # hangs up
        self.shell.send_signal(signal.SIGKILL)
        self.shell.wait()


@pytest.fixture
def terminal(request, tmp_path, supervisor):
    need(request.param)
    terminal = Terminal(request.param, tmp_path, supervisor)
    yield terminal
    terminal.close()


@pytest.mark.parametrize("terminal", SHELLS, indirect=True)
def test_typed(terminal):
    for line, arguments in (
            ("bpftune tu", ["tuners"]),
            ("bpftune roll", ["rollback"]),
            ("bpftune rollback --off", ["rollback", "--offline"]),
            ("bpftune off --a", ["off", "--all"]),
            ("bpftune status hos", ["status", "host"]),
            ("bpftune watch hos", ["watch", "host"]),
            ("bpftune log -f hos", ["log", "-f", "host"]),
            ("bpftune report -o page.html hos", ["report", "-o", "page.html", "host"]),
            ("bpftune advise --apply-hints hos", ["advise", "--apply-hints", "host"]),
            ("bpftune log -n 3 hos", ["log", "-n", "3", "host"]),
            ("bpftune status bt-tab@", ["status", "bt-tab@2"]),
            ("bpftune resume host tcp_b", ["resume", "host", "tcp_buffer"]),
            ("bpftune off --all tcp_b", ["off", "--all", "tcp_buffer"]),
            ("bpftune off hos", ["off", "host"]),
            ("bpftune --run-dir /nowhere status hos", ["--run-dir", "/nowhere", "status", "hos"])):
        assert terminal.complete(line) == arguments, line


ATTACKS = ["a $(touch run)", "b`touch run`", "c'd\"e f;touch run", "d\\$HOME", "e &touch run", "f*", "g{1,2}", "h#~", "i\\'$(touch run)",
           "j|touch run>run", "k\n;touch run", "l!touch run!!", "m'", 'n"']


@pytest.mark.parametrize("terminal", SHELLS, indirect=True)
def test_names_that_attack(lab, supervisor, terminal):
    """Whoever names a container runs nothing in the shell of who completes its name, and it is one word, the right one."""
    for name in ATTACKS:
        lab.container("netns", f"bt-{name}")
    names = [f"bt-{name}".replace("\n", "\\x0a") for name in ATTACKS]
    supervisor.ready(*names)
    for name in names:
        for quote in "", "'", '"':
            assert terminal.complete(f"bpftune status {quote}{name[:4]}") == ["status", name]
    assert not list(terminal.home.glob("*run*"))
