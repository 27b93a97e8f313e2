# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests and the demo are made of: containers, a long path, flows, and a supervisor.

Everything is made through a Lab, which takes it all away again in the opposite order, whatever happened.
"""
import contextlib
import ctypes
import fcntl
import functools
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time


def can_others_write(path):
    stat = os.stat(path)
    return stat.st_uid or stat.st_mode & 0o022


def as_roots(path, copies=[]):
    """A directory of tuners; a copy of it if it is not root's alone, as in a user's build tree: a supervisor opens no such."""
    if not path or not os.path.isdir(path):
        return path
    path = pathlib.Path(path).resolve()
    files = list(path.glob("*.so"))
    way = [parent for parent in path.parents if not parent.stat().st_mode & 0o1000 or parent.stat().st_uid]
    if not any(map(can_others_write, (path, *files, *way))):
        return str(path)
    copies.append(tempfile.TemporaryDirectory(prefix="bpftune-tuners-"))
    for file in files:
        shutil.copyfile(file, pathlib.Path(copies[-1].name, file.name))
    return copies[-1].name


BPFTUNE = os.environ.get("BPFTUNE", "bpftune")
TUNERS = as_roots(os.environ.get("BPFTUNE_TUNERS"))
POKE = as_roots(os.environ.get("BPFTUNE_POKE"))
LONGPATH = os.environ.get("LONGPATH", "longpath")
# Deadlines are for the program as it is shipped, on a real machine; one that is watched by a sanitizer or valgrind, or
# emulated, gets so much longer.
SLOWNESS = float(os.environ.get("TESTS_SLOWNESS") or 1)
# What a supervisor runs under, with its options: valgrind, or nothing.
VALGRIND = shlex.split(os.environ.get("TESTS_VALGRIND", ""))


def is_watched():
    """By valgrind or the sanitizers, which need files and memory of their own."""
    return bool(VALGRIND) or b"__asan_init" in pathlib.Path(BPFTUNE).read_bytes()


WMEM = "net.ipv4.tcp_wmem"
RMEM = "net.ipv4.tcp_rmem"
# For iperf3. A sender that is not paced may else have more in flight than its buffer's size: with Nagle's algorithm, and as
# the last write goes beyond it.
PLAIN = "-N", "-l", "16K"
SMALL_WMEM = {WMEM: "4096 16384 65536"}
SMALL_RMEM = {RMEM: "4096 65536 65536"}
# What the test tuner changes: see poke.c.
TTL, FIN_TIMEOUT, CONGESTION = "net.ipv4.ip_default_ttl", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_congestion_control"
BUDGET, QUEUE = "net.core.netdev_budget", "net.ipv4.neigh.lo.unres_qlen_bytes"
AMPLE = {WMEM: "4096 16384 67108864", RMEM: "4096 131072 67108864"}


class Lane:
    """Which process this is: see lanes.py. 0: the one of all tests that run alone."""
    number = 0


def number(counted=[0]):
    """From 11 to 249. No other lane gets it, and this one not until 23 others were asked for."""
    counted[0] = counted[0] % 24 + 1
    return 10 * counted[0] + Lane.number


def run(*command, check=True, timeout=30, **options):
    """Runs a command to its end; its output is text, and in the exception when it fails."""
    result = subprocess.run([str(word) for word in command], text=True, errors="surrogateescape",
                            timeout=timeout * SLOWNESS, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    if check and result.returncode:
        raise AssertionError(f"{' '.join(result.args)}: exit {result.returncode}: {result.stderr or result.stdout}")
    return result


def wait_for(predicate, deadline=5.0, what="it to become true"):
    """Waits until the predicate gives something true, which it returns; fails after the deadline (seconds).

    What a sleep takes too long is not counted: then the machine stands still, or is busy with others.
    """
    began, pause = time.monotonic(), 0.004
    end = began + deadline * SLOWNESS
    while True:
        last_try = time.monotonic() >= end
        value = predicate()
        if value:
            return value
        asleep = time.monotonic()
        assert not last_try, f"waited {asleep - began:.1f} s for {what}"
        time.sleep(pause)
        end += time.monotonic() - asleep - pause
        pause = min(2 * pause, 0.02)


class Findings:
    """What sanitizers and valgrind find in any process of ours: each writes a file into a directory. Workers have
    no standard error, no capability to pass a closed directory, and end without an exit status that anybody sees."""

    def __init__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="bpftune-findings-")
        self.directory = pathlib.Path(self.temporary.name)
        self.directory.chmod(0o1777)
        self.told, self.all = {}, ""
        # gcc's UBSan tells its own standard error only: it aborts, and ASan tells where.
        for sanitizer in "ASAN", "UBSAN":
            os.environ[f"{sanitizer}_OPTIONS"] = (f"log_path={self.directory}/{sanitizer}:print_stacktrace=1:"
                                                  "abort_on_error=1:handle_abort=1:quarantine_size_mb=4")
        if VALGRIND:
            VALGRIND.append(f"--log-file={self.directory}/valgrind.%p")

    def new(self):
        """What was written since the last time."""
        text = ""
        for path in sorted(self.directory.iterdir()):
            found = path.read_text(errors="replace")
            text += self.worth_telling(path, found[self.told.get(path, 0):])
            self.told[path] = len(found)
        self.all += text
        return text

    @staticmethod
    def worth_telling(path, text):
        """Valgrind's findings begin with ==; the rest is about valgrind, such as system calls that it does not know. Where
        LeakSanitizer cannot read a thread's registers, a test has killed the process while it ended."""
        lines = text.splitlines(keepends=True)
        if path.name.startswith("valgrind"):
            return "".join(line for line in lines if line.startswith("=="))
        return "".join(line for line in lines if not re.match(r"==\d+==Unable to get registers from thread", line))


def alone():
    """One of us at a time on a machine: waits for the others; ends with the process."""
    lock = os.open("/run/bpftune-tests.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for other tests of bpftune to end", file=sys.stderr, flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def children(pid):
    return {int(word) for word in run("ps", "-o", "pid=", "--ppid", pid, check=False).stdout.split()}


def netns_id(path):
    stat = os.stat(path)
    return stat.st_dev, stat.st_ino


def maximum(limits):
    """The last of the three values of tcp_wmem or tcp_rmem."""
    return int(limits.split()[2])


@functools.cache
def pokes():
    """A directory with the commands poke-N: see poke.h. It goes when we end."""
    directory = tempfile.TemporaryDirectory(prefix="bpftune-poke-")
    path = pathlib.Path(directory.name)
    path.chmod(0o755)
    for number in range(len(poke_numbers())):
        (path / f"poke-{number}").symlink_to("/bin/true")
    pokes.directory = directory
    return path


def tuner_names():
    """Of all there are: each is in a file of its name."""
    return {path.stem for path in pathlib.Path(TUNERS).glob("*.so")}


@functools.cache
def only_directory(*tuners):
    directory = tempfile.TemporaryDirectory(prefix="bpftune-only-")
    for tuner in tuners:
        pathlib.Path(directory.name, f"{tuner}.so").symlink_to(pathlib.Path(POKE if tuner == "poke" else TUNERS, f"{tuner}.so"))
    return directory


def only(*tuners):
    """A directory with these tuners alone, of ours or "poke", the one for tests. It goes when we end."""
    return only_directory(*tuners).name


@functools.cache
def poke_numbers():
    header = pathlib.Path(__file__).with_name("poke.h").read_text()
    return {name.lower(): number for number, name in enumerate(re.findall(r"^\tPOKE_(\w+)", header, re.M))}


def sysctl_path(name):
    """A slash in a name stands for a dot in an interface's name."""
    return pathlib.Path("/proc/sys", name.translate(str.maketrans("./", "/.")))


def bpf_ids(kind):
    """Without a descriptor of any: one of a program array, had and closed just after its owner's last was, makes the
    kernel keep the array for ever (kernel/bpf/arraymap.c: prog_array_map_clear() takes a reference for each time)."""
    libbpf, number = ctypes.CDLL("libbpf.so.1"), ctypes.c_uint32(0)
    while getattr(libbpf, f"bpf_{kind}_get_next_id")(number, ctypes.byref(number)) == 0:
        yield number.value


def bpf_objects():
    """Every BPF program, map and link of the machine, and every program that hangs on a cgroup."""
    objects = {(kind, number) for kind in ("prog", "map", "link") for number in bpf_ids(kind)}
    cgroups = json.loads(run("bpftool", "-j", "cgroup", "tree").stdout)
    return objects | {("attached", program["id"]) for cgroup in cgroups for program in cgroup["programs"]}


def bpf_objects_of(pid):
    """Those that a process holds."""
    info = ""
    for path in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):    # closed in the meantime
            info += path.read_text()
    held = {(kind, int(number)) for kind, number in re.findall(r"^(prog|map|link)_id:\s*(\d+)$", info, re.M)}
    return held | {("attached", number) for kind, number in held if kind == "prog"}


def cgroup2_mounts():
    """Where cgroup2 is mounted, innermost last."""
    lines = [line.split() for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
    return [fields[4] for fields in lines if fields[fields.index("-") + 1] == "cgroup2"]


@contextlib.contextmanager
def kept_sysctls(names=(WMEM, RMEM, TTL, FIN_TIMEOUT, CONGESTION, BUDGET, "net.ipv4.tcp_mem", "net.core.rmem_max",
                        "net.core.wmem_max")):
    """Puts the host's values back at the end; gives a function that lists what differs from the beginning."""
    before = {name: sysctl_path(name).read_text() for name in names}

    def changed():
        return [name for name in names if sysctl_path(name).read_text() != before[name]]

    try:
        yield changed
    finally:
        for name in changed():
            sysctl_path(name).write_text(before[name])


class Host:
    name = "host"
    netns = "/proc/self/ns/net"

    def command(self, *words):
        """The command that runs these words inside."""
        return words

    def cgroup_procs(self):
        """Where a process joins its cgroup."""
        return "/dev/null"

    def sysctl(self, name):
        return " ".join(run("nsenter", f"--net={self.netns}", "cat", sysctl_path(name)).stdout.split())

    def write(self, name, value):
        """An administrator's write from the host; gives the writer's process id."""
        script = f"echo $$ && echo '{value}' >{sysctl_path(name)}"
        return int(run("nsenter", f"--net={self.netns}", "sh", "-c", script).stdout)

    def poke(self, *scenarios):
        """Raises these scenarios of the test tuner here."""
        for scenario in scenarios:
            run("nsenter", f"--net={self.netns}", pokes() / f"poke-{poke_numbers()[scenario]}")

    def counters(self, group):
        """What nstat(8) shows of "Tcp", "TcpExt" and so on."""
        text = run(*self.command("cat", "/proc/net/snmp", "/proc/net/netstat")).stdout
        names, values = (line.split()[1:] for line in text.splitlines() if line.startswith(f"{group}: "))
        return dict(zip(names, map(int, values)))

    def limits(self):
        return {name: self.sysctl(name) for name in (WMEM, RMEM)}

    def cookie(self):
        """SO_NETNS_COOKIE, which is socket option 71."""
        code = "import socket, sys; print(*memoryview(socket.socket().getsockopt(socket.SOL_SOCKET, 71, 8)).cast('Q'))"
        return int(run("nsenter", f"--net={self.netns}", sys.executable, "-c", code).stdout)


class NetnsContainer(Host):
    """A namespace made by `ip netns add`."""

    def __init__(self, name, sysctls=None):
        self.name = self.link_target = name
        self.netns = f"/run/netns/{name}"
        run("ip", "netns", "add", name)
        for key, value in (sysctls or {}).items():
            run("nsenter", f"--net={self.netns}", "sysctl", "-qw", f"{key}={value}")
        run("ip", "-n", name, "link", "set", "lo", "up")

    def command(self, *words):
        return "nsenter", f"--net={self.netns}", *words

    @staticmethod
    def clear(name):
        run("ip", "netns", "del", name, check=False)

    def remove(self):
        self.clear(self.link_target)    # the name may have become what the supervisor calls it


class RuncContainer(Host):
    """A container made by runc, with namespaces and a cgroup of its own and the host's /usr; of a pod, with a `netns` that
    is another's.
    """

    def __init__(self, name, sysctls=None, memory=None, netns=None, annotations=None):
        self.name = name
        self.bundle = pathlib.Path(tempfile.mkdtemp(prefix="bpftune-bundle-"))
        root = self.bundle / "rootfs"
        (root / "usr").mkdir(parents=True)
        for directory in ("bin", "sbin", "lib", "lib64"):
            (root / directory).symlink_to(f"usr/{directory}")
        run("runc", "spec", "--bundle", self.bundle)
        spec = json.loads((self.bundle / "config.json").read_text())
        spec["process"].update(terminal=False, args=["sleep", "infinity"])
        spec["process"].pop("rlimits", None)    # raising one needs CAP_SYS_RESOURCE
        spec["linux"].update(cgroupsPath=f"/{name}", sysctl=sysctls or {})
        spec["annotations"] = annotations or {}
        if memory:
            spec["linux"].setdefault("resources", {})["memory"] = {"limit": memory}
        if netns:
            next(each for each in spec["linux"]["namespaces"] if each["type"] == "network")["path"] = netns
        spec["linux"]["readonlyPaths"].remove("/proc/sys")      # so that tests write from inside
        spec["mounts"] += [
            {"destination": "/usr", "source": "/usr", "type": "bind", "options": ["bind", "ro"]},
            {"destination": "/tmp", "source": "tmpfs", "type": "tmpfs"},
        ]
        (self.bundle / "config.json").write_text(json.dumps(spec))
        # The container inherits its standard streams: nothing of ours that it would hold open.
        subprocess.run(["runc", "run", "-d", "--bundle", self.bundle, name], check=True, timeout=30 * SLOWNESS,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self.link_target = json.loads(run("runc", "state", name).stdout)["pid"]
        self.netns = f"/proc/{self.pid}/ns/net"

    def command(self, *words):
        return "runc", "exec", self.name, *words

    def cgroup(self):
        """Path in cgroup2, and id."""
        lines = pathlib.Path(f"/proc/{self.pid}/cgroup").read_text().splitlines()
        path = next(line[3:] for line in lines if line.startswith("0::"))
        return path, os.stat(cgroup2_mounts()[-1] + path).st_ino

    def cgroup_procs(self):
        return f"{cgroup2_mounts()[-1]}{self.cgroup()[0]}/cgroup.procs"

    @staticmethod
    def clear(name):
        run("runc", "delete", "--force", name, check=False)

    def remove(self):
        self.clear(self.name)
        shutil.rmtree(self.bundle)


KINDS = {"netns": NetnsContainer, "runc": RuncContainer}


class Flow:
    """An iperf3 flow from a container to a server in another; -R turns the direction of the data around."""

    def __init__(self, client, server, address, port, seconds, *options):
        self.seconds, self.processes, self.ends, self.port = seconds, [], (client, server), port
        try:
            self.server = self.iperf3(server, "-s", "-1", "--forceflush", "-p", port)
            self.wait_for_server()
            self.client = self.iperf3(client, "-J", "-c", address, "-p", port, "-t", seconds, *options)
        except BaseException:
            self.remove()
            raise

    def iperf3(self, container, *words):
        process = subprocess.Popen(container.command("iperf3", *map(str, words)), text=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.processes.append(process)
        return process

    def wait_for_server(self):
        said = ""
        while "listening" not in said:
            line = self.server.stdout.readline()
            assert line, f"iperf3 -s failed: {said}"
            said += line

    def finish(self):
        """Waits for the end; gives the rate that arrived in Mbit/s."""
        result = json.loads(self.client.communicate(timeout=self.seconds + 15 * SLOWNESS)[0])
        self.server.wait(timeout=5 * SLOWNESS)
        assert "error" not in result, f"iperf3: {result['error']}"
        self.result = result
        return result["end"]["sum_received"]["bits_per_second"] / 1e6

    def remove(self):
        killed = [process for process in self.processes if process.poll() is None]
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()
        self.processes = []
        if killed:
            wait_for(lambda: not self.sockets(), 5, "the sockets of a flow to close: their namespaces live as long")

    def sockets(self):
        """Of both ends, what is not closed; an orphan among them may have data that it does not get rid of."""
        return "".join(run("nsenter", f"--net={end.netns}", "ss", "-Htn", "state", "connected", "exclude", "time-wait",
                           f"( sport = :{self.port} or dport = :{self.port} )", check=False).stdout for end in self.ends)


class LongPath:
    """A path with a 40 ms round trip between two containers: 10.199.NUMBER.1 and .2."""

    def __init__(self, lab, near, far, number, delay_ms=20):
        self.lab, self.near, self.far, self.number = lab, near, far, number
        ends = (f"{container.netns}:path{number}:10.199.{number}.{i}/24" for i, container in enumerate((near, far), 1))
        self.process = subprocess.Popen([LONGPATH, "--delay-ms", str(delay_ms), *ends], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if self.process.stdout.readline() != "ready\n":
            raise AssertionError(f"no long path: {self.process.communicate()[1]}")

    def start(self, seconds, *options):
        return self.lab.keep(Flow(self.near, self.far, f"10.199.{self.number}.2", 6000 + self.number,
                                  seconds, *options))

    def flow(self, seconds, *options):
        """Mbit/s from near to far, or with -R from far to near."""
        return self.start(seconds, *options).finish()

    def raise_limit(self):
        """By a flow that meets the send limit, until it is raised: the last step may be undone at the flow's end."""
        before = maximum(self.near.sysctl(WMEM))
        flow = self.start(60, *PLAIN, "-b", "60M")
        wait_for(lambda: maximum(self.near.sysctl(WMEM)) > before, 5, "a flow that meets the limit to raise it")
        flow.remove()

    def remove(self):
        self.process.communicate()      # ends its standard input, and so the relay


def heed_signals():
    """Whoever runs the tests may ignore these signals, as nohup(1) does, and what is ignored is inherited."""
    for number in signal.SIGHUP, signal.SIGINT, signal.SIGQUIT:
        signal.signal(number, signal.SIG_DFL)


class Supervisor:
    running = []        # for the report of a failed test

    def __init__(self, *options, wrap=(), tuners=TUNERS, run_dir=None):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="bpftune-run-"))
        self.run_dir, self.stderr_path = run_dir or self.directory / "run", self.directory / "stderr"
        self.wrap, self.options, self.tuners = wrap, options, tuners
        assert all(each.process.poll() is not None for each in self.running), \
            "each of two supervisors would tune what the other does"
        self.running.append(self)
        self.process, self.bpf = None, set()
        try:
            self.start()
        except BaseException:
            self.remove()
            raise

    def start(self):
        command = [*self.wrap, *VALGRIND, BPFTUNE, "run", "--stderr", "--run-dir", self.run_dir, *self.options]
        command += ["--plugin-dir", self.tuners] if self.tuners else []
        with self.stderr_path.open("ab") as stderr:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr,
                                            start_new_session=True,     # Ctrl-C is for us, who then stop it
                                            preexec_fn=heed_signals)
        # In valgrind libbpf reads the kernel's BTF for some 6 s for each tuner.
        wait_for(self.answers, 30 if VALGRIND else 10, "the supervisor to answer")
        self.bpf = bpf_objects_of(self.pid)

    @property
    def pid(self):
        return self.process.pid

    def stderr(self):
        return self.stderr_path.read_text()

    def answers(self):
        assert self.process.poll() is None, f"the supervisor exited with {self.process.returncode}:\n{self.stderr()}"
        return self.cli("status", "--json", "host", check=False).returncode == 0

    def command(self, command, *words):
        return [BPFTUNE, command, "--run-dir", str(self.run_dir), *map(str, words)]

    def cli(self, command, *words, check=True):
        return run(*self.command(command, *words), check=check)

    def status(self, *container):
        return json.loads(self.cli("status", "--json", *container).stdout)

    def instances(self):
        return {instance["name"]: instance for instance in self.status()["instances"]}

    def instance(self, name):
        return self.instances().get(name)

    def ready(self, *names, deadline=3.0):
        """Waits for the workers of these containers; gives the (last) instance."""
        def all_ready():
            instances = self.instances()
            return all(name in instances and instances[name]["worker"]["state"] == "ready" for name in names) \
                and instances[names[-1]]
        return wait_for(all_ready, deadline, f"the workers of {', '.join(names)}")

    def workers(self):
        """Process id of each worker, by instance name."""
        return {name: instance["worker"]["pid"] for name, instance in self.instances().items()
                if instance["worker"]["pid"]}

    def tunable(self, container, name):
        return next(t for t in self.instance(container)["tunables"] if t["name"] == name)

    def tuner(self, container, name):
        return next(t for t in self.instance(container)["tuners"] if t["name"] == name)

    def is_manual(self, container, name):
        """The tuner has stepped aside in this container: why."""
        tuner = self.tuner(container, name)
        return tuner["state"] == "manual" and tuner["why"]

    def resume(self, *words):
        return self.cli("resume", *words).stdout

    def owned(self):
        """The names of what its tuners own."""
        return {tunable["name"] for tunable in self.ready("host")["tunables"]}

    def give_back(self, container, sysctls=None, inode=None):
        """An administrator set the container up while we looked on: the tuners that stepped aside go on.

        It may have been before we looked. Then these sysctls are its initial values. The inode tells it from one of the
        same name that has not gone yet.
        """
        def stepped_aside():
            instance = next((instance for name, instance in self.instances().items()
                             if instance["netns"]["inode"] == inode or (inode is None and name == container)), None)
            if not instance:
                return None
            initial = {tunable["name"]: tunable["initial"] for tunable in instance["tunables"]}
            return instance["name"] if any(tuner["state"] == "manual" for tuner in instance["tuners"]) \
                or sysctls and all(initial.get(name) == value for name, value in sysctls.items()) else None
        def resumed():      # it may get another name in between
            name = stepped_aside()
            return name and self.cli("resume", name, check=False).returncode == 0
        wait_for(resumed, 5, f"the tuners to step aside in {container}")

    def let_go(self, name):
        """Waits until it knows nobody of this name any longer, who may have been removed just now."""
        wait_for(lambda: self.cli("status", name, check=False).returncode, 5, f"the supervisor to let go of {name}")

    def rollback(self, *words):
        """Of the container that the words name, or of all. The command says by its exit status whether values were left."""
        words = words if set(words) - {"--dry-run"} else ("--all", *words)
        done = self.cli("rollback", "--json", *words, check=False)
        assert done.returncode in (0, 1) and done.stdout, done.stderr
        result = json.loads(done.stdout)
        assert done.returncode == (1 if result["left"] else 0), done
        return result

    def kill(self):
        """An end without notice."""
        self.process.kill()
        self.process.wait()
        wait_for(lambda: not self.traces(), 5, "its workers and BPF objects to go")

    def log(self, *words):
        return [json.loads(line) for line in self.cli("log", "--json", *words).stdout.splitlines()]

    def changes(self, container, tunable=None):
        """The changes in a container's own log, oldest first."""
        return [record for record in self.log(container)
                if record.get("tunable") and tunable in (None, record["tunable"])]

    def wait_for_log(self, container, tunable, place):
        """Waits until a container's log ends with what is in place there: it is written a little later."""
        wait_for(lambda: [change["to"].split() for change in self.changes(container, tunable)][-1:] ==
                 [place.sysctl(tunable).split()], 3, f"{container}'s log to tell the last change of {tunable}")

    def traces(self):
        """What there is of it: processes (zombies are nobody's fault here) and BPF objects."""
        processes = run("pgrep", "-f", self.run_dir, check=False).stdout.split()
        return {("process", pid) for pid in processes if alive(pid)} | (self.bpf & bpf_objects())

    def stop(self, number=signal.SIGTERM, deadline=5):
        """An orderly end: exit code 0, and nothing of it is left."""
        workers = self.workers()
        self.process.send_signal(number)
        assert self.process.wait(timeout=deadline * SLOWNESS) == 0, self.stderr()
        assert not [name for name, pid in workers.items() if alive(pid)]
        wait_for(lambda: not self.traces(), 3, "its BPF objects to go")

    def remove(self):
        if self.process and self.process.poll() is None:
            try:
                self.stop()
            finally:
                self.process.kill()
                self.process.wait()
                self.forget()
        else:
            self.forget()

    def forget(self):
        self.running.remove(self)
        shutil.rmtree(self.directory)


def values(container):
    """What the test tuner changes in a container, to the byte."""
    inside = "nsenter", f"--net={container.netns}"
    return {name: run(*inside, "cat", sysctl_path(name)).stdout for name in (TTL, FIN_TIMEOUT, CONGESTION, QUEUE)}


def change(supervisor, container, *scenarios):
    """Pokes, and waits for each change, so that their order is known."""
    for scenario in scenarios:
        last = supervisor.changes(container.name)[-1:]
        container.poke(scenario)
        wait_for(lambda: supervisor.changes(container.name)[-1:] not in ([], last), 2, f"the change of {scenario}")


def names(rows):
    return [row["tunable"] for row in rows]


def said(supervisor, container, text, count=1):
    """Waits until a container's log has said it that often; gives the last such record."""
    def found():
        records = [record for record in supervisor.log(container) if text in record["text"]]
        return len(records) >= count and records[-1]
    return wait_for(found, 2, f"'{text}' in the log of {container}")


def assert_true_ledger(supervisor, container):
    """What it takes for the current value is what the kernel has."""
    for tunable in supervisor.instance(container.name)["tunables"]:
        if tunable["name"].startswith("net.ipv4."):
            assert tunable["current"] == container.sysctl(tunable["name"])


class Lab(contextlib.ExitStack):
    """Makes things and takes them away again."""

    def keep(self, thing):
        self.callback(thing.remove)
        return thing

    def container(self, kind, name, sysctls=None, **options):
        KINDS[kind].clear(name)     # a run that was killed may have left it
        for supervisor in Supervisor.running:
            supervisor.let_go(name)
        container = self.keep(KINDS[kind](name, sysctls, **options))
        for supervisor in Supervisor.running if sysctls else ():
            owned_names = supervisor.owned()
            owned = {key: value for key, value in sysctls.items() if key in owned_names}
            if owned:
                supervisor.give_back(name, owned, netns_id(container.netns)[1])
        return container

    def path(self, near, far, number, **options):
        return self.keep(LongPath(self, near, far, number, **options))

    def supervisor(self, *options, **keywords):
        return self.keep(Supervisor(*options, **keywords))

    def veth(self, container):
        """A veth whose other end, which is named, is the host's: it goes when the container's namespace goes."""
        name = f"v-{container.name}"[:15]
        run("ip", "link", "del", name, check=False)
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", container.link_target)
        self.callback(run, "ip", "link", "del", name, check=False)
        return name

    def addressed_veth(self, container, number):
        """A veth as above, with the addresses that it gives: the host's end has 10.198.NUMBER.1, the container's .2."""
        host, inside, name = f"10.198.{number}.1", f"10.198.{number}.2", self.veth(container)
        run("ip", "addr", "add", f"{host}/24", "dev", name)
        run("ip", "link", "set", name, "up")
        for words in ("addr", "add", f"{inside}/24", "dev", "eth0"), ("link", "set", "eth0", "up"):
            run("nsenter", f"--net={container.netns}", "ip", *words)
        return host, inside
