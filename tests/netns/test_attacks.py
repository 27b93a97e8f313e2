# SPDX-License-Identifier: GPL-2.0-or-later
"""What somebody without root's rights, or inside a container, tries: a section for each place."""
import os
import pathlib
import pwd
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading

import pytest

from crowd import Cgroup, Sleeper, wait_for_instance
from flooded import Flooded
from lab import (BPFTUNE, CONGESTION, KINDS, POKE, QUEUE, TTL, Host, Lab, alive, change, is_watched, kept_sysctls, only, run, said,
                 sysctl_path, wait_for)
from test_completion import bash_offers

pytestmark = pytest.mark.alone
USER = 1234

# --- files that run as root ------------------------------------------------------------------------

POKE_FILE = pathlib.Path(POKE, "poke.so")
NOTE = struct.pack("<III8s", 8, 32, 1, b"bpftune")      # what a tuner's note begins with: tuners/tuner.h


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """A file that exists once a supervisor has run code of poke.so: see poke.c."""
    path = tmp_path / "loaded"
    monkeypatch.setenv("POKE_LOADED", str(path))
    return path


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "tuners"
    path.mkdir(mode=0o755)
    return path


def with_note(**fields):
    """poke.so with another note."""
    content = bytearray(POKE_FILE.read_bytes())
    at = content.index(NOTE)
    places = {"owner_bytes": (0, "<I"), "bytes": (4, "<I"), "type": (8, "<I"), "owner": (12, "8s"), "abi": (20, "<I"),
              "name": (24, "28s")}
    for field, value in fields.items():
        offset, form = places[field]
        struct.pack_into(form, content, at + offset, value)
    return bytes(content)


def note_segments():
    """Where the program headers are that describe notes (struct Elf64_Phdr), and what is in each."""
    content = POKE_FILE.read_bytes()
    start, (size, n) = struct.unpack_from("<Q", content, 0x20)[0], struct.unpack_from("<HH", content, 0x36)
    for at in range(start, start + n * size, size):
        fields = struct.unpack_from("<IIQQQQQQ", content, at)
        if fields[0] == 4:      # PT_NOTE
            yield at, content[fields[2]:fields[2] + fields[5]]


def with_segment(offset, form, value):
    """poke.so with a field changed in the program header of its note."""
    content = bytearray(POKE_FILE.read_bytes())
    at, = (at for at, notes in note_segments() if NOTE in notes)
    struct.pack_into(form, content, at + offset, value)
    return bytes(content)


def why_refused(directory):
    """What a supervisor's own command says of the only file in the directory, which it opens in the same way."""
    return run(BPFTUNE, "probe", "--plugin-dir", directory, check=False).stderr


def test_tuner_is_loaded(lab, directory, loaded):
    """What the following tests keep from happening."""
    shutil.copy(POKE_FILE, directory)
    lab.supervisor(tuners=directory).ready("host")
    assert loaded.exists()


@pytest.mark.parametrize("content, why", [
    (lambda: with_note(abi=2), "built for another version of bpftune"),
    (lambda: with_note(owner=b"bpftuna"), "no note"),
    (lambda: with_note(owner_bytes=0xffffffff), "no note"),
    (lambda: with_note(bytes=0xfffffff0), "no note"),
    (lambda: with_note(bytes=4), "no note"),
    (lambda: with_note(type=2), "no note"),
    (lambda: with_note(name=28 * b"x"), "no note"),
    (lambda: with_segment(0, "<I", 0x6fffffff), "no note"),
    (lambda: with_segment(8, "<Q", 1 << 62), "no whole shared object"),
    (lambda: with_segment(8, "<Q", 2 ** 64 - 8), "no whole shared object"),
    (lambda: with_segment(32, "<Q", 2 ** 64 - 8), "no whole shared object"),
    (lambda: POKE_FILE.read_bytes()[:5000], "no whole shared object"),
    (lambda: POKE_FILE.read_bytes()[:64], "no whole shared object"),
    (lambda: b"\x7fELF" + 4096 * b"\xff", "no whole shared object"),
    (lambda: b"", "no whole shared object"),
], ids=["abi", "owner", "owner's length", "length", "too short", "type", "name without end", "no segment", "segment far away",
        "segment that wraps", "endless segment", "half", "header alone", "garbage", "empty"])
def test_no_code_runs_of_what_is_no_tuner(directory, loaded, content, why):
    """Not even a constructor's."""
    (directory / "poke.so").write_bytes(content())
    assert f"{directory}/poke.so: " in why_refused(directory) and why in why_refused(directory)
    assert not loaded.exists()


def test_name_that_is_not_the_notes(directory):
    """Said after the file's own code could run: whoever wrote it is root."""
    (directory / "poke.so").write_bytes(with_note(name=b"tcp_buffer"))
    assert "the tuner has another name than its note says" in why_refused(directory)


def writable_file(directory):
    (directory / "poke.so").chmod(0o666)
    return f"others may write {directory}/poke.so (chmod o-w)"


def writable_directory(directory):
    directory.chmod(0o777)
    return f"others may write {directory} (chmod o-w)"


def sticky_directory(directory):
    directory.chmod(0o1777)     # others may put theirs beside it
    return f"others may write {directory} (chmod o-w)"


def access_control_list(directory):
    """What `setfacl -m u:1234:rw` writes: linux/posix_acl_xattr.h."""
    entries = (1, 6, 0xffffffff), (2, 6, USER), (4, 4, 0xffffffff), (0x10, 6, 0xffffffff), (0x20, 4, 0xffffffff)
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(directory / "poke.so", "system.posix_acl_access", acl)
    except OSError as error:
        pytest.skip(f"no access control lists here: {error}")
    return f"may write {directory}/poke.so (chmod g-w)"


def group(directory):
    (directory / "poke.so").chmod(0o664)
    return f"group 0, or who is in an access control list, may write {directory}/poke.so (chmod g-w)"


def file_of_a_user(directory):
    os.chown(directory / "poke.so", USER, USER)
    return f"{directory}/poke.so belongs to user {USER}, not to root (chown root)"


def writable_way(directory):
    """A directory above is a user's, who could put another in place of what is below."""
    os.chown(directory.parent, USER, USER)
    return f"{directory.parent} belongs to user {USER}, not to root (chown root)"


def link_of_a_user(directory):
    real = directory.with_name("real")
    directory.rename(real)
    directory.symlink_to(real)
    os.chown(directory, USER, USER, follow_symlinks=False)
    return f"{directory} belongs to user {USER}, not to root (chown root)"


def link_into_a_users(directory):
    theirs = directory.with_name("theirs")
    theirs.mkdir()
    (directory / "poke.so").rename(theirs / "poke.so")
    (directory / "poke.so").symlink_to(theirs / "poke.so")
    os.chown(theirs, USER, USER)
    return f"{theirs} belongs to user {USER}, not to root (chown root)"


def odd_name(directory):
    """That an operator's terminal, or JSON, does not take."""
    odd = directory.with_name("odd\udcff\x1b[31m")
    odd.mkdir()
    (directory / "poke.so").rename(odd / "poke.so")
    (directory / "poke.so").symlink_to(odd / "poke.so")
    os.chown(odd, USER, USER)
    return rf"{directory.parent}/odd\xff\x1b[31m belongs to user {USER}, not to root (chown root)"


def circle(directory):
    (directory / "poke.so").unlink()
    (directory / "poke.so").symlink_to("poke.so")
    return "Too many levels of symbolic links"


def pipe(directory):
    (directory / "poke.so").unlink()
    os.mkfifo(directory / "poke.so", 0o644)
    return "it is no regular file"


@pytest.mark.parametrize("plant", [
    writable_file, writable_directory, sticky_directory, access_control_list, group, file_of_a_user, writable_way,
    link_of_a_user, link_into_a_users, odd_name, circle, pipe])
def test_tuner_that_others_can_change(directory, loaded, plant):
    shutil.copy(POKE_FILE, directory)
    (directory / "poke.so").chmod(0o644)
    why = plant(directory)
    said = why_refused(directory)
    assert f"cannot use tuner {directory}/poke.so: " in said and why in said
    assert not loaded.exists()


def test_links_of_roots_are_followed(lab, directory, loaded):
    """As distributions have them, also into a directory with a sticky bit; and relative ones."""
    shutil.copy(POKE_FILE, directory / "real")
    (directory / "again").symlink_to(".")
    (directory / "poke.so").symlink_to(f"../{directory.name}/again/./again/real")
    lab.supervisor(tuners=directory / "again" / "again").ready("host")
    assert loaded.exists()


def test_swapped_while_it_is_loaded(tmp_path, directory, loaded, monkeypatch):
    """The file that is checked is the one that is loaded, whichever of two has the name at any moment."""
    stolen = tmp_path / "stolen"
    monkeypatch.setenv("POKE_STOLEN", str(stolen))
    good, bad = tmp_path / "good", tmp_path / "bad"
    shutil.copy(POKE_FILE, good)
    bad.write_bytes(with_note(abi=2).replace(b"POKE_LOADED", b"POKE_STOLEN"))
    new, tuner, enough = tmp_path / "new", directory / "poke.so", threading.Event()

    def swap():
        while not enough.is_set():
            for file in good, bad:
                os.link(file, new)
                new.rename(tuner)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        said = [why_refused(directory) for _ in range(6)]
    finally:
        enough.set()
        swapper.join()
    assert not stolen.exists()
    assert loaded.exists() or all("built for another version" in text for text in said)


# --- the run directory -----------------------------------------------------------------------------

def fails_to_run(run_dir):
    result = run(BPFTUNE, "run", "--stderr", "--plugin-dir", only("poke"), "--run-dir", run_dir, check=False)
    assert result.returncode == 1
    return result.stderr


@pytest.fixture
def run_dir(tmp_path):
    path = tmp_path / "run"
    path.mkdir(mode=0o755)
    return path


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim"
    path.write_text("precious\n")
    yield path
    assert path.read_text() == "precious\n"


def test_run_directory_that_others_can_change(tmp_path, run_dir):
    """Nothing is made in there."""
    cases = [
        (lambda: run_dir.chmod(0o777), f"others may write {run_dir} (chmod o-w)"),
        (lambda: run_dir.chmod(0o1777), f"others may write {run_dir} (chmod o-w)"),
        (lambda: run_dir.chmod(0o775), f"may write {run_dir} (chmod g-w)"),
        (lambda: (run_dir.chmod(0o755), os.chown(run_dir, USER, 0)), f"{run_dir} belongs to user {USER}, not to root"),
        (lambda: (os.chown(run_dir, 0, 0), os.chown(tmp_path, USER, 0)), f"{tmp_path} belongs to user {USER}, not to root"),
    ]
    for spoil, why in cases:
        spoil()
        said = fails_to_run(run_dir)
        assert f"cannot use the run directory {run_dir}: " in said and why in said and "--run-dir names another" in said
        assert not list(run_dir.iterdir())
    said = fails_to_run(tmp_path / "new")
    assert f"{tmp_path} belongs to user {USER}, not to root" in said and not (tmp_path / "new").exists()


def test_planted_run_directory(tmp_path, run_dir):
    """By somebody who was first in a directory like /tmp: a link to where root should write."""
    tmp_path.chmod(0o1777)
    planted = tmp_path / "planted"
    planted.symlink_to(run_dir)
    os.chown(planted, USER, USER, follow_symlinks=False)
    for path in planted, planted / "new":
        assert f"{planted} belongs to user {USER}, not to root" in fails_to_run(path)
    assert not list(run_dir.iterdir())


@pytest.mark.parametrize("plant", [
    lambda lock, victim: lock.symlink_to(victim), lambda lock, victim: os.link(victim, lock),
    lambda lock, victim: (lock.touch(), os.chown(lock, USER, USER)), lambda lock, victim: os.mkfifo(lock),
], ids=["symbolic link", "hard link", "of a user", "pipe"])
def test_planted_lock(run_dir, victim, plant):
    """From when others could write there."""
    plant(run_dir / "lock", victim)
    assert "its file lock is a link, or not root's (remove it)" in fails_to_run(run_dir)


@pytest.mark.parametrize("plant", [lambda new, victim: new.symlink_to(victim), lambda new, victim: os.link(victim, new),
                                   lambda new, victim: os.mkfifo(new)], ids=["symbolic link", "hard link", "pipe"])
def test_planted_new_ledger(lab, run_dir, victim, plant):
    """It is replaced; nothing is written through it."""
    plant(run_dir / "ledger.new", victim)
    container = lab.container("netns", "bt-planted")
    supervisor = lab.supervisor(tuners=only("poke"), run_dir=run_dir)
    supervisor.ready("host", container.name)
    change(supervisor, container, "step")
    assert (run_dir / "ledger").stat().st_nlink == 1 and not (run_dir / "ledger").is_symlink()
    assert TTL in (run_dir / "ledger").read_text()


@pytest.mark.parametrize("plant", [
    lambda ledger: os.chown(ledger, USER, USER), lambda ledger: ledger.chmod(0o666), lambda ledger: ledger.chmod(0o620),
], ids=["of a user", "others", "group"])
def test_planted_ledger(lab, run_dir, plant):
    """Initial values that somebody else has written are not rolled back to."""
    supervisor = lab.supervisor(tuners=only("poke"), run_dir=run_dir)
    supervisor.ready("host")
    supervisor.stop()
    plant(run_dir / "ledger")
    supervisor.start()
    supervisor.ready("host")
    assert len(list(run_dir.glob("ledger.not-ours-*"))) == 1
    assert "the ledger was of no use (not-ours)" in supervisor.stderr()
    assert (run_dir / "ledger").stat().st_uid == 0


# --- a worker that somebody has taken over -----------------------------------------------------------

# They write files of their own, which a worker may not: it is an ordinary user then, and no more.
WATCHED = is_watched()
FILE = pathlib.Path("/tmp/bpftune-attack")
NET_ADMIN = 1 << 12


class Sandbox(Host):
    """A network namespace that a user namespace owns, made by a user."""

    def __init__(self, uid):
        self.process = subprocess.Popen(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "unshare", "--user",
                                         "--map-root-user", "--net", "sh", "-c", "echo ready; exec sleep infinity"],
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"
        self.name, self.netns = f"pid:{self.process.pid}", f"/proc/{self.process.pid}/ns/net"

    def remove(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def ids_of_workers():
    try:
        user = pwd.getpwnam("bpftune-worker")
    except KeyError:
        return 65534, 65534
    return user.pw_uid, user.pw_gid


def assert_ordinary(pid):
    status = dict(re.findall(r"^(\w+):[\t ]*(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M))
    uid, gid = ids_of_workers()
    assert status["Uid"].split() == [str(uid)] * 4 and status["Gid"].split() == [str(gid)] * 4
    assert status["Groups"].split() == []
    assert {name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} \
        == {"CapEff": NET_ADMIN, "CapPrm": NET_ADMIN, "CapInh": 0, "CapAmb": 0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "0" if WATCHED else "2")
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0      # not dumpable: only root looks into it


def memory_of(pid):
    """What root reads of a process's memory, a mapping each."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            start, end = (int(address, 16) for address in line.split()[0].split("-"))
            if line.split()[1].startswith("r") and not line.endswith(("[vvar]", "[vvar_vclock]", "[vsyscall]")):
                memory.seek(start)
                yield memory.read(end - start)


def contexts(memory, text):
    """Each place where the text is, with what is around it."""
    return [memory[max(0, found.start() - 100):found.end() + 100] for found in re.finditer(re.escape(text.encode()), memory)]


class TestWorker:
    @pytest.fixture(scope="class")
    def scene(self):
        with Lab() as lab:
            yield lab

    @pytest.fixture(scope="class")
    def roots(self, scene):
        """A process of root's, in namespaces of its own."""
        return scene.keep(Sandbox(0))

    @pytest.fixture(scope="class")
    def victim(self, scene):
        return scene.container("netns", "bt-victim")

    @pytest.fixture(scope="class")
    def supervisor(self, scene, roots, victim, tmp_path_factory):
        run_dir = tmp_path_factory.mktemp("attacks") / "run"
        targets = {"ATTACK_RUN_DIR": run_dir, "ATTACK_NETNS": victim.netns, "ATTACK_PID": roots.process.pid}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in targets.items():
                patch.setenv(name, str(value))
            supervisor = scene.supervisor(tuners=only("poke"), run_dir=run_dir)
        supervisor.ready("host", victim.name)
        return supervisor

    @pytest.mark.parametrize("kind", [*KINDS, "host"])
    def test_ordinary_user(self, lab, supervisor, kind):
        name = "host" if kind == "host" else lab.container(kind, f"bt-user-{kind}").name
        assert_ordinary(supervisor.ready(name)["worker"]["pid"])

    @pytest.mark.parametrize("uid", [0, USER])
    def test_in_a_user_namespace(self, lab, supervisor, uid):
        """One that owns the network namespace: its sysctls are written there all the same."""
        sandbox = lab.keep(Sandbox(uid))
        before = int(sandbox.sysctl(TTL))
        sandbox.poke("step")
        wait_for(lambda: int(sandbox.sysctl(TTL)) == before + 1, 5, "the value to be written")
        instance, = supervisor.status(sandbox.name)["instances"]
        assert_ordinary(instance["worker"]["pid"])

    @pytest.mark.skipif(WATCHED, reason="neither a filter of system calls nor landlock, so that findings can be written")
    def test_taken_over(self, supervisor, roots, victim, request):
        """A tuner tries it all: each is refused, and the worker goes on."""
        request.addfinalizer(lambda: FILE.unlink(missing_ok=True))
        worker, ttl = supervisor.ready(victim.name)["worker"], int(victim.sysctl(TTL))
        victim.poke("attack")
        said(supervisor, victim.name, "attack: no more")
        texts = [record["text"] for record in supervisor.log(victim.name)]
        tried = [text.split(": ")[1:] for text in texts if text.startswith("attack: ")][:-1]
        assert len(tried) == 32
        assert not [attempt for attempt in tried if attempt[1] not in ("Operation not permitted", "Permission denied")]
        assert alive(roots.process.pid) and not FILE.exists()
        victim.poke("step")
        wait_for(lambda: int(victim.sysctl(TTL)) == ttl + 1, 3, "a change after all that")
        assert supervisor.ready(victim.name)["worker"] == {**worker, "events": worker["events"] + 2}

    @pytest.mark.skipif(WATCHED, reason="what a worker inherits of malloc()'s memory is then found in it")
    @pytest.mark.parametrize("heir", ["new", "restarted"])
    def test_memory_has_nothing_of_others(self, lab, supervisor, heir):
        """Neither what the supervisor knows of other containers, nor what it has said, written or freed of them."""
        one, two, last = (lab.container(kind, f"bt-{os.urandom(4).hex()}") for kind in ("netns", "runc", "netns"))
        value, writer = str(int.from_bytes(os.urandom(3), "big") + 10**9), f"w{os.urandom(4).hex()}"
        supervisor.ready(*(each.name for each in (one, two, last)))
        before = supervisor.ready(last.name)["worker"]["pid"]
        for each in one, two:
            change(supervisor, each, "step", "queue")
            each.poke("remember", "repeat")
            said(supervisor, each.name, "the same")
        run("nsenter", f"--net={one.netns}", sys.executable, "-c", f"""if True:
            open("/proc/self/comm", "w").write("{writer}")
            open("{sysctl_path(QUEUE)}", "w").write("{value}")""")
        said(supervisor, one.name, writer)
        wait_for(lambda: supervisor.tunable(one.name, QUEUE)["current"] == value, 2, "the value to be read")
        wait_for(lambda: supervisor.instance(two.name)["learnt"], 2, "what was learnt")
        for words in ("status",), ("status", two.name), ("log", one.name), ("rollback", "--all", "--dry-run"):
            supervisor.cli(*words)
        if heir == "new":
            last = lab.container("netns", f"bt-{os.urandom(4).hex()}")
        else:
            os.kill(before, signal.SIGKILL)
            wait_for(lambda: supervisor.instance(last.name)["worker"]["pid"] != before, 5, "another worker")
        memory = b"".join(memory_of(supervisor.ready(last.name)["worker"]["pid"]))
        assert last.name.encode() in memory
        assert not [context for secret in (one.name, two.name, value, writer) for context in contexts(memory, secret)]

    def test_hung_worker_is_killed(self, lab, supervisor):
        """It is another user's process, and does not end by itself."""
        container = lab.container("netns", "bt-hung")
        worker = supervisor.ready(container.name)["worker"]["pid"]
        os.kill(worker, signal.SIGSTOP)
        container.remove()
        wait_for(lambda: not alive(worker), 10, "the worker to be killed")

    def test_hung_workers_end_with_the_supervisor(self, supervisor):
        """The kernel kills them. The supervisor does not come back: this is the last of the class."""
        workers = supervisor.workers().values()
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        supervisor.kill()
        assert not [worker for worker in workers if alive(worker)]


# --- limits of the host's that a container's applications ask for -----------------------------------

SOCKET_LIMITS = "net.core.wmem_max", "net.core.rmem_max"
RMEM_MAX = "net.core.rmem_max"
LIMIT = 300000
MIB = 1 << 20
MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
SOCKET_CAP = 16 * MIB if MEMORY > 64 << 30 else 4 * MIB     # tuners/decide_sock_buf.c
SOCKET_WHOLE = MEMORY // os.sysconf("SC_PAGESIZE") // 1024 * os.sysconf("SC_PAGESIZE")

# Asks for all that there is, in sockets of each kind, and keeps them until its standard input ends.
GREEDY = """
import socket, sys
sockets = [socket.socket(family, kind) for family in (socket.AF_INET, socket.AF_INET6)
           for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
for each in sockets:
    for option in socket.SO_SNDBUF, socket.SO_RCVBUF:
        each.setsockopt(socket.SOL_SOCKET, option, 2**31 - 1)
print("asked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def limited(lab):
    """A supervisor, and the host with small limits, which are put back at the end, whatever happens."""
    with kept_sysctls(SOCKET_LIMITS):
        for name in SOCKET_LIMITS:
            sysctl_path(name).write_text(str(LIMIT))
        supervisor = lab.supervisor(tuners=only("sock_buf"))
        supervisor.ready("host")
        yield supervisor


@pytest.mark.parametrize("kind", ["netns", "runc"])
def test_wish_for_all_there_is(lab, limited, kind):
    """INT_MAX on idle sockets: it is told, and the host's limits stay to the byte."""
    container = lab.container(kind, "bt-greedy")
    limited.ready(container.name)
    greedy = subprocess.Popen(container.command(sys.executable, "-c", GREEDY), text=True, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    lab.callback(greedy.communicate)
    assert greedy.stdout.readline() == "asked\n"
    for option in "SO_SNDBUF", "SO_RCVBUF":
        said(limited, container.name, f"asked for {2**31 - 1} bytes by {option}")
    assert [Host().sysctl(name) for name in SOCKET_LIMITS] == [str(LIMIT)] * 2
    assert not limited.changes("host")


# Asks for more each time, under another name each time, and tells how often it did.
WISHES = """
import socket, time
asker, n, end = socket.socket(), 0, time.monotonic() + 1
while time.monotonic() < end:
    n += 1
    open("/proc/self/comm", "w").write(f"wish{n}")
    asker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1000000 + n)
print(n)
"""


def test_wishes_that_grow(lab, limited):
    """Each is larger than the one before: they are told of at a bounded rate, and so are the lines in the host's log."""
    container = lab.container("netns", "bt-growing")
    limited.ready(container.name)
    before = limited.status()["events"]
    n = int(subprocess.run(container.command(sys.executable, "-c", WISHES), check=True, stdout=subprocess.PIPE, text=True).stdout)
    said(limited, "host", "asked for 1000001 bytes")
    after = limited.status()["events"]
    assert n > 1000 and after["lost"] == before["lost"]
    assert after["received"] - before["received"] < 200     # 8 at once, and 4 a second; others live on this machine
    assert len([record for record in limited.log("host") if " asked for " in record["text"]]) < 50


def test_flooding_oneself(lab, limited):
    """Whoever drops its own datagrams gets its budget, and no more; and the end of its container gives that back."""
    n = min(max(3, SOCKET_WHOLE // (SOCKET_CAP - LIMIT) + 1), 20)     # so that a share is less than the cap
    containers = [lab.container("netns", f"bt-flood{number}") for number in range(n)]
    limited.ready(*(container.name for container in containers))
    n_askers = sum(instance["worker"]["state"] == "ready" for instance in limited.status()["instances"]) - 1
    budget = min(SOCKET_CAP, LIMIT + SOCKET_WHOLE // n_askers)
    flooded, granted = lab.keep(Flooded(containers[0], 2**31 - 1)), LIMIT
    while granted < budget:
        assert flooded.open() == granted
        wait_for(lambda: int(Host().sysctl(RMEM_MAX)) > granted, 20, f"the limit to go past {granted}")
        granted = int(Host().sysctl(RMEM_MAX))
        if budget - granted < granted // 8:
            break       # a smaller step is none
    assert flooded.open() == granted <= budget
    told = len(limited.log(containers[0].name))
    dropped = containers[0].counters("Udp")["RcvbufErrors"]
    wait_for(lambda: containers[0].counters("Udp")["RcvbufErrors"] > dropped + 1000, 20, "the budget to be too small, too")
    subprocess.run(containers[0].command(sys.executable, "-c", GREEDY), check=True, input="",
                   stdout=subprocess.DEVNULL, text=True)    # the mark that what was before it has been seen
    wait_for(lambda: len(limited.log(containers[0].name)) > told, 20, "the mark")
    assert int(Host().sysctl(RMEM_MAX)) == granted
    assert Host().sysctl("net.core.wmem_max") == str(LIMIT)

    flooded.remove()
    containers[0].clear(containers[0].name)
    wait_for(lambda: Host().sysctl(RMEM_MAX) == str(LIMIT), 30, "the limit to go back")
    limited.wait_for_log("host", RMEM_MAX, Host())
    assert not [change for each in containers[1:] for change in limited.changes(each.name)]


# --- names ------------------------------------------------------------------------------------------

SESSION = f"/user.slice/user-{USER}.slice/user@{USER}.service"


@pytest.fixture(scope="module")
def namer(shared):
    supervisor = shared.supervisor(tuners=only("poke"))
    supervisor.ready("host")
    return supervisor


def named(lab, supervisor, path):
    """What the container in that cgroup is called."""
    cgroup = lab.keep(Cgroup(path))
    return wait_for_instance(supervisor, lab.keep(Sleeper(cgroup)), lambda instance: instance["cgroup"]["id"] == cgroup.id)


def test_user_calls_his_as_another_is_called(lab, namer):
    """It was "bt-db", before or after root's: then two were, or root's was bt-db@ID."""
    theirs = named(lab, namer, f"{SESSION}/lxc.payload.bt-db")
    ours = named(lab, namer, "/lxc.payload.bt-db")
    assert (ours["name"], ours["uid"]) == ("bt-db", None)
    assert (theirs["name"], theirs["uid"], theirs["container_id"]) == (f"uid {USER}/bt-db", USER, "bt-db")
    for container, instance in ("bt-db", ours), ("bt-d", ours), (theirs["name"], theirs), (f"uid {USER}/bt-d", theirs):
        assert [i["id"] for i in namer.status(container)["instances"]] == [instance["id"]], container
    namer.ready("bt-db", theirs["name"])
    assert {record["container"] for record in namer.log("bt-db")} == {"bt-db"}


@pytest.mark.parametrize("path, name", [
    (f"{SESSION}/user.slice/user-0.slice/lxc.payload.bt-a", f"uid {USER}/bt-a"),
    (f"{SESSION}/lxc.payload.uid 0/lxc.payload.bt-a", f"uid {USER}/uid 0/bt-a"),
    (f"{SESSION}/lxc.payload.uid 0\\x2fbt-a", f"uid {USER}/uid 0\\x2fbt-a"),
    (f"{SESSION}/docker/{'ab' * 32}", f"uid {USER}/{'ab' * 32}"),
    ("/lxc.payload.uid 7/lxc.payload.bt-a", "uid\\x207/bt-a"),
    ("/lxc.payload.instance:1", "instance\\x3a1"),
    ("/lxc.payload.pid:1", "pid\\x3a1"),
    ("/lxc.payload.bt-b/user@0.service/lxc.payload.bt-a", "bt-b/bt-a"),
    ("/system.slice/bt-a.service/user@0.service/lxc.payload.bt-a", "bt-a"),
    ("/lxc.payload.bt-\u202egnp\u2066\u200b\U000e0061\u2028x",
     "bt-\\xe2\\x80\\xaegnp\\xe2\\x81\\xa6\\xe2\\x80\\x8b\\xf3\\xa0\\x81\\xa1\\xe2\\x80\\xa8x"),
], ids=["slices", "nested", "slash", "docker", "root's", "an instance's", "a process's", "in a container", "in a service", "formats"])
def test_name_that_deceives(lab, namer, path, name):
    instance = named(lab, namer, path)
    assert instance["name"] == name
    assert name in namer.ready(name)["name"] and f" {name} worker" in namer.stderr()
    text = namer.cli("status", name).stdout
    assert name[:32] in text and text.isascii()


def test_wide_name(lab, namer):
    """A column is as wide as what it shows, and ends with a whole character."""
    wide, plain = named(lab, namer, f"/lxc.payload.bt-{'漢' * 20}"), named(lab, namer, "/lxc.payload.bt-plain")
    lines = namer.cli("status", "--all").stdout.splitlines()
    shown, ours = (next(line for line in lines if line.startswith(f"{instance['id']:4}  ")) for instance in (wide, plain))
    assert shown.startswith(f"{wide['id']:4}  bt-{'漢' * 14}  lxc ")     # 3 + 28 of 32 columns
    assert ours.startswith(f"{plain['id']:4}  {'bt-plain':32} lxc ")


def test_name_that_is_a_command(lab, namer, tmp_path):
    """Root's shell ran it when bpftune's completion offered it."""
    evil = named(lab, namer, f"{SESSION}/lxc.payload.$(touch${{IFS}}ran)")
    named(lab, namer, "/lxc.payload.bt-good")
    assert evil["name"] == f"uid {USER}/$(touch${{IFS}}ran)"
    assert {"host", "bt-good"} <= bash_offers(f"{BPFTUNE} --run-dir {namer.run_dir} status ", cwd=tmp_path)
    assert not list(tmp_path.iterdir())


def test_value_that_is_a_command(lab, namer):
    """Written in a container, before the kernel has refused it: `status` showed it as a command for root's shell."""
    container = lab.container("netns", "bt-quotes")
    worker = namer.ready(container.name)["worker"]["pid"]
    change(namer, container, "text")
    assert f"sysctl -w {CONGESTION}=" in namer.cli("status", container.name).stdout
    os.kill(worker, signal.SIGSTOP)     # it would look at once, and find that nothing came of it
    lab.callback(lambda: alive(worker) and os.kill(worker, signal.SIGCONT))
    run(*container.command("sh", "-c", f'echo "$0" >{sysctl_path(CONGESTION)}', "';reboot;'"), check=False)
    wait_for(lambda: namer.tunable(container.name, CONGESTION)["current"] == "';reboot;'", 3, "the write to be told")
    text = namer.cli("status", container.name).stdout
    assert "';reboot;'" in text and "sysctl -w" not in text
    os.kill(worker, signal.SIGCONT)
    wait_for(lambda: f"sysctl -w {CONGESTION}=" in namer.cli("status", container.name).stdout, 3, "the kernel's value")


# A process that makes namespaces and keeps them by a descriptor.
HOARD = """
import ctypes, os, resource, socket, sys

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
for _ in range(int(sys.argv[1])):
    assert ctypes.CDLL(None, use_errno=True).unshare(0x40000000) == 0    # CLONE_NEWNET
    os.open("/proc/self/ns/net", os.O_RDONLY)
    socket.socket().close()
print("done", flush=True)
sys.stdin.read()
"""


class Hoarder:
    def __init__(self, cgroup, number):
        self.process = subprocess.Popen(["sh", "-c", 'echo $$ >"$0" && exec "$@"', cgroup.directory / "cgroup.procs",
                                         sys.executable, "-c", HOARD, str(number)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def wait(self):
        assert self.process.stdout.readline() == "done\n"

    def remove(self):
        self.process.kill()
        self.process.communicate()


def test_namespaces_of_one_user(lab, namer):
    """He had all 10,240 places of those that can be known, and others had none."""
    limit, cgroup = 1024, lab.keep(Cgroup(SESSION))
    hoarder = lab.keep(Hoarder(cgroup, limit + 100))
    hoarder.wait()
    said = f"no more namespaces of /user.slice/user-{USER}.slice are tuned"
    wait_for(lambda: said in namer.stderr(), 10, "it to be said")
    instances = wait_for(lambda: (found := len(namer.status()["instances"])) and found >= limit and found, 10, "the first to be known")
    assert instances < limit + 50
    wait_for_instance(namer, lab.keep(Sleeper(lab.keep(Cgroup("/bt-other")))),
                      lambda instance: instance["worker"]["state"] == "ready", 10, "another's worker")
    hoarder.remove()
    wait_for(lambda: len(namer.status()["instances"]) < 50, 30, "them to go")
    wait_for_instance(namer, lab.keep(Sleeper(cgroup)))     # there is room again
    assert namer.stderr().count(said) == 1
