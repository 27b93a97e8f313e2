# SPDX-License-Identifier: GPL-2.0-or-later
"""`bpftune metrics`: printed, in a file, and served; read by a real Prometheus."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest

from flooded import Flooded
from lab import BPFTUNE, SLOWNESS, TTL, change, number, only, run, wait_for
from observers import GROUP_ID, with_group

MONITORING = pathlib.Path(__file__).resolve().parents[2] / "monitoring"
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
NAME = re.compile(r"\bbpftune_[a-z_]+")
RSS_MAX_KIB = 8 * 1024
CLIENT_S = 5            # see supervisor/cli/metrics_server.c

for tool in "prometheus", "promtool":
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed", allow_module_level=True)


def field(pid, name):
    return re.search(rf"^{name}:[ \t]*(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1]


class Exporter:
    def __init__(self, run_dir, wrap):
        self.process = subprocess.Popen([*wrap, BPFTUNE, "metrics", "--listen", "127.0.0.1:0", "--run-dir", str(run_dir)],
                                        text=True, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        line = self.process.stderr.readline()
        match = re.fullmatch(r"bpftune: metrics are at (http://127\.0\.0\.1:(\d+)/metrics)\n", line)
        if not match:
            self.remove()
            raise AssertionError(f"no address: {line!r}")
        self.url, self.port = match[1], int(match[2])

    @property
    def pid(self):
        return self.process.pid

    def get(self, headers=OPENMETRICS, url=None, **options):
        request = urllib.request.Request(url or self.url, headers=headers, **options)
        with urllib.request.urlopen(request, timeout=20 * SLOWNESS) as answer:
            return answer.read().decode(), answer.headers

    def text(self):
        return self.get()[0]

    def samples(self):
        """Of an answer of the supervisor's: it has three seconds for that, in which a busy machine may stand still."""
        def found():
            these = samples(self.text())
            return these if these["bpftune_up"] else None
        return wait_for(found, 60, "the supervisor to answer in time")

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=20 * SLOWNESS)

    def remove(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


@pytest.fixture(scope="module")
def supervisor(shared):
    supervisor = shared.supervisor(tuners=only("poke"), wrap=with_group(shared))
    supervisor.directory.chmod(0o711)
    supervisor.ready("host")
    return supervisor


@pytest.fixture(scope="module")
def exporter(shared, supervisor):
    return shared.keep(Exporter(supervisor.run_dir, supervisor.wrap))


@pytest.fixture(scope="module")
def container(shared, supervisor):
    """In which something was changed."""
    container = shared.container("netns", f"bt-metrics{number()}", {TTL: "64"})
    supervisor.ready(container.name)
    change(supervisor, container, "step")
    return container


@pytest.fixture(scope="module")
def slow_client(exporter):
    """It says a byte now and then, and so is never idle."""
    with exporter.connect() as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n")
        yield client


def samples(text):
    """Name and labels -> value. Of two samples of one name and labels, a scrape would be refused."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            key, _, value = line.rpartition(" ")
            assert key not in found, key
            found[key] = float(value)
    return found


def families(text):
    """Names of samples that there may be."""
    suffix = {"counter": "_total", "info": "_info", "gauge": ""}
    return {name + suffix[kind] for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)}


def promtool(*words, text=None):
    return subprocess.run(["promtool", *map(str, words)], input=text, text=True, timeout=60 * SLOWNESS,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


# --- the command ----------------------------------------------------------------------------------

def test_printed(supervisor, container):
    text = supervisor.cli("metrics").stdout
    assert text.endswith("# EOF\n")
    found, name = samples(text), container.name
    assert found["bpftune_up"] == 1 and found[f'bpftune_worker_ready{{container="{name}"}}'] == 1
    assert found[f'bpftune_tunable_initial_value{{container="{name}",tunable="{TTL}",index="0"}}'] == 64
    assert found[f'bpftune_tunable_value{{container="{name}",tunable="{TTL}",index="0"}}'] == 65
    assert sum(value for key, value in found.items() if key.startswith(f'bpftune_changes_total{{container="{name}",tuner="poke"')) == 1
    assert found['bpftune_tuners{state="active"}'] == 1
    assert any(key.startswith('bpftune_bpf_attached{tuner="poke"') for key in found)
    assert set(map(lambda key: key.split("{")[0], found)) <= families(text)


def test_file(supervisor, container, tmp_path):
    """For the node_exporter: whole at any time, and readable for it."""
    path = tmp_path / "bpftune.prom"
    path.write_text("old")
    with path.open() as old:
        supervisor.cli("metrics", "-o", path)
        assert old.read() == "old"
    assert path.stat().st_mode & 0o777 == 0o644 and os.listdir(tmp_path) == ["bpftune.prom"]
    checked = promtool("check", "metrics", text=path.read_text())
    assert not checked.returncode and not checked.stdout, checked.stdout
    failed = supervisor.cli("metrics", "-o", tmp_path / "none" / "x.prom", check=False)
    assert failed.returncode == 1 and "No such file" in failed.stderr


def test_what_is_no_file_stays(supervisor, tmp_path):
    """A device or a pipe is written to; what a link leads to is replaced, not the link."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("file")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        supervisor.cli("metrics", "-o", pipe)
        assert os.read(reader, 1 << 16).startswith(b"# HELP bpftune_up")
    finally:
        os.close(reader)
    (tmp_path / "file").write_text("old")
    supervisor.cli("metrics", "-o", link)
    assert pipe.is_fifo() and link.is_symlink() and link.read_text().startswith("# HELP bpftune_up")


def test_no_supervisor(lab, supervisor, tmp_path):
    tmp_path.chmod(0o711)
    printed = run(BPFTUNE, "metrics", "--run-dir", tmp_path, check=False)
    assert (printed.returncode, samples(printed.stdout)) == (4, {"bpftune_up": 0})
    assert "no supervisor" in printed.stderr
    exporter = lab.keep(Exporter(tmp_path, supervisor.wrap))
    assert samples(exporter.text()) == {"bpftune_up": 0}


def test_wrong_usage(supervisor):
    for where in "9815", "127.0.0.1", "127.0.0.1:http", "localhost:9815", "127.0.0.1:", ":9815", "[::1:9815", "":
        failed = supervisor.cli("metrics", "--listen", where, check=False)
        assert failed.returncode == 2 and "ADDRESS:PORT" in failed.stderr, where


def test_no_group(lab, supervisor):
    """root that cannot become somebody who may read does not serve."""
    failed = run(*with_group(lab, None), *supervisor.command("metrics", "--listen", "127.0.0.1:0"), check=False)
    assert failed.returncode == 1 and "groupadd" in failed.stderr


# --- served ---------------------------------------------------------------------------------------

def test_ordinary_user(exporter):
    assert field(exporter.pid, "Uid").split() == ["65534"] * 4 and field(exporter.pid, "Gid").split() == [str(GROUP_ID)] * 4
    assert (field(exporter.pid, "Groups"), field(exporter.pid, "CapEff"), field(exporter.pid, "NoNewPrivs")) == ("", "0" * 16, "1")


def test_formats(exporter, container, slow_client):
    text, headers = exporter.get()
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0") and text.endswith("# EOF\n")
    text, headers = exporter.get({"Accept": "*/*"})
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    checked = promtool("check", "metrics", text=text)
    assert not checked.returncode and not checked.stdout, checked.stdout


def test_other_requests(exporter):
    assert "/metrics" in exporter.get(url=exporter.url.removesuffix("metrics"))[0]
    assert not exporter.get(method="HEAD")[0]
    for url, options, status in (exporter.url + "/x", {}, 404), (exporter.url, {"data": b"x" * 100000}, 405), \
            (exporter.url, {"method": "DELETE"}, 405):
        with pytest.raises(urllib.error.HTTPError) as failed:
            exporter.get(url=url, **options)
        assert failed.value.code == status


def test_asked_often(exporter):
    """The supervisor is not asked again for each: some answers in a row are the same, and then there is a new one."""
    first = exporter.samples()
    wait_for(lambda: exporter.text() == exporter.text(), 30, "two that are the same")
    wait_for(lambda: exporter.samples()["bpftune_uptime_seconds"] > first["bpftune_uptime_seconds"], 30, "a new one")


def test_limits(lab, supervisor, exporter, container):
    """Those that nobody has asked for otherwise: workers read them for the answer."""
    lab.keep(Flooded(container, 4096)).open()
    wait_for(lambda: container.counters("Udp")["RcvbufErrors"] > 100, 10, "datagrams to be dropped")
    key = f'bpftune_limits_met_total{{container="{container.name}",limit="UdpRcvbufErrors"}}'
    wait_for(lambda: exporter.samples().get(key, 0) > 100, 60, "the counter")
    wait_for(lambda: samples(supervisor.cli("metrics").stdout).get(key, 0) > 100, 60, "a worker that answers within a second")


def test_hung_worker(lab, supervisor, exporter, container):
    """The others' limits are told all the same, and what was last read of its own."""
    other = lab.container("netns", f"bt-metrics{number()}")
    pid = supervisor.ready(other.name)["worker"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        key = f'bpftune_limits_met_total{{container="{container.name}",limit="UdpRcvbufErrors"}}'
        first = exporter.samples().get(key, 0)
        lab.keep(Flooded(container, 4096)).open()
        wait_for(lambda: exporter.samples().get(key, 0) > first, 60, "the counter to go on")
        assert samples(supervisor.cli("metrics").stdout)[key] > first
    finally:
        os.kill(pid, signal.SIGCONT)


def connect_all(path):
    """So that the next one who connects would wait."""
    clients = []
    with contextlib.suppress(BlockingIOError):
        while True:
            clients.append(socket.socket(socket.AF_UNIX))
            clients[-1].setblocking(False)
            clients[-1].connect(str(path))
    return clients


def test_hung_supervisor(lab, supervisor, exporter):
    """Nobody waits for it for ever, not even to be accepted."""
    os.kill(supervisor.pid, signal.SIGSTOP)
    try:
        for client in connect_all(supervisor.run_dir / "observe.sock"):
            lab.callback(client.close)
        wait_for(lambda: samples(exporter.text()) == {"bpftune_up": 0}, 30, "an answer without it")
    finally:
        os.kill(supervisor.pid, signal.SIGCONT)
    lab.close()
    exporter.samples()


def test_names_are_data(lab, supervisor, exporter):
    name = f'bt-"}} 1\nbpftune_up 0\\{number()}'
    lab.container("netns", name)
    shown = wait_for(lambda: next((each for each in supervisor.instances() if each.startswith('bt-"')), None), 30, "its name")
    label = shown.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    wait_for(lambda: f'bpftune_worker_ready{{container="{label}"}}' in exporter.samples(), 30, "its metrics")
    text = exporter.get({})[0]
    assert "bpftune_up" in samples(text) and not promtool("check", "metrics", text=text).returncode


def test_ended_containers_go(lab, supervisor, exporter):
    """However many there were."""
    names = [f"bt-ended{number()}-{i}" for i in range(40)]
    containers = [lab.container("netns", name) for name in names]
    wait_for(lambda: all(f'container="{name}"' in exporter.text() for name in names), 60, "their metrics")
    for container in containers:
        container.remove()
    wait_for(lambda: not any("bt-ended" in key for key in exporter.samples()), 60, "their metrics to go")


def test_owner(lab, supervisor, container):
    """By whom the number of series is limited."""
    other = lab.container("runc", f"bt-metrics{number()}")
    supervisor.ready(other.name)
    assert supervisor.instance(other.name)["owner"].endswith(f"/{other.name}")
    assert supervisor.instance(container.name)["owner"] == "root of the host"


# --- attacks --------------------------------------------------------------------------------------

def test_clients_that_say_nothing(exporter):
    """They make room, oldest first, and nobody else waits for them."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(150):
            clients.append(stack.enter_context(exporter.connect()))
        assert exporter.samples()
        assert clients[0].recv(1) == b""
    wait_for(lambda: len(os.listdir(f"/proc/{exporter.pid}/fd")) < 20, 10, "the connections to be closed")


def test_clients_that_do_not_read(exporter):
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(exporter.connect()).sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert exporter.process.poll() is None
        assert exporter.samples()


def test_nonsense(exporter):
    for data in b"\0" * 100000, b"GET " + b"/" * 100000, b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 20000:
        with exporter.connect() as client, contextlib.suppress(OSError):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
    assert exporter.samples()


def test_memory(exporter):
    """After all of that. What sanitizers take is theirs."""
    if SLOWNESS == 1:
        assert int(field(exporter.pid, "VmHWM").split()[0]) <= RSS_MAX_KIB


# --- Prometheus and Grafana -----------------------------------------------------------------------

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def prometheus(lab, exporter, tmp_path):
    """Gives a function that asks it."""
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(json.dumps({   # which is YAML, too
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(MONITORING / "bpftune.rules.yml")],
        "scrape_configs": [{"job_name": "bpftune", "static_configs": [{"targets": [f"127.0.0.1:{exporter.port}"]}]}]}))
    log = lab.enter_context((tmp_path / "log").open("w"))
    process = subprocess.Popen(["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--web.listen-address=127.0.0.1:{port}",
                                f"--storage.tsdb.path={tmp_path}/data"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    lab.callback(process.wait)
    lab.callback(process.kill)

    def ask(expression):
        assert process.poll() is None, (tmp_path / "log").read_text()
        query = urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{query}", timeout=20 * SLOWNESS) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.URLError:
            return []       # it has just started
    return ask


def test_prometheus(prometheus, container):
    """A scrape with anything wrong is refused as a whole."""
    name = container.name
    rows = wait_for(lambda: prometheus(f'bpftune_tunable_value{{container="{name}",tunable="{TTL}"}}'), 60, "a scrape")
    assert [row["value"][1] for row in rows] == ["65"]
    rows = wait_for(lambda: prometheus(f'sum(bpftune_changes_total{{container="{name}"}})'), 60, "a scrape")
    assert rows[0]["value"][1] == "1"


def test_rules():
    checked = promtool("check", "rules", MONITORING / "bpftune.rules.yml")
    assert not checked.returncode and "SUCCESS" in checked.stdout, checked.stdout
    tested = promtool("test", "rules", MONITORING / "bpftune.rules.test.yml")
    assert not tested.returncode, tested.stdout


def test_dashboard_and_rules_name_what_there_is(supervisor):
    there_are = families(supervisor.cli("metrics").stdout)
    rules = (MONITORING / "bpftune.rules.yml").read_text()
    dashboard = json.loads((MONITORING / "bpftune.dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [variable["query"]["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    used = {name for text in (*expressions, *re.findall("expr: (.*)", rules)) for name in NAME.findall(text)}
    assert used and used <= there_are, used - there_are
    manual = (MONITORING.parent / "doc/bpftune.8.rst").read_text()
    assert there_are <= set(NAME.findall(manual)), there_are - set(NAME.findall(manual))


def test_slow_client_is_hung_up_on(slow_client):
    """However busy it seems."""
    def gone():
        try:
            slow_client.sendall(b"X")
            slow_client.settimeout(0.2)
            return slow_client.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True
    wait_for(gone, 4 * CLIENT_S, "the connection to be closed")
