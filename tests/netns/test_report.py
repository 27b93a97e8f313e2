# SPDX-License-Identifier: GPL-2.0-or-later
"""`bpftune report`: one page, which anybody may open, whatever containers are called and reasons say."""
import re
import shutil
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from lab import AMPLE, BPFTUNE, SMALL_WMEM, WMEM, run
from test_cli import FAILED, NO_SUPERVISOR, fails, info, pretended, version

HTML, SVG = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/2000/svg}"
ELEMENTS = {HTML + name for name in """html head meta style title body header p h1 h2 h3 main div b span section table thead tbody
    tr th td figure figcaption details summary ul li pre code footer""".split()} | \
    {SVG + name for name in "svg g line text path circle title".split()}
ATTRIBUTES = """lang charset http-equiv content name class open viewBox role aria-label x1 y1 x2 y2 x y text-anchor d cx cy
    r""".split()
ATTACK = "</title></style></svg>\"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;&#60;\x07\x1b[2J\u202e"


class Markup(HTMLParser):
    """What a browser that knows nothing of XML finds."""
    def __init__(self):
        super().__init__()
        self.tags, self.attributes = set(), set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, value in attrs}


def check(page):
    """Well-formed, of known elements and attributes alone, by an XML parser and by an HTML parser. The root element."""
    root = ElementTree.fromstring(page.replace("<!DOCTYPE html>", "", 1))
    assert page.startswith("<!DOCTYPE html>") and root.tag == HTML + "html"
    assert {element.tag for element in root.iter()} <= ELEMENTS
    assert {name for element in root.iter() for name in element.attrib} <= set(ATTRIBUTES)
    markup = Markup()
    markup.feed(page)
    markup.close()
    assert markup.tags <= {name.partition("}")[2] for name in ELEMENTS}
    assert markup.attributes <= {name.lower() for name in ATTRIBUTES} | {"xmlns"}
    assert not re.search(r"url\(|@import|expression", page) and "default-src 'none'" in page
    assert not [element for element in root.iter() if re.search(r"nan|inf", element.get("d", "") + element.get("cy", ""))]
    return root


def text_of(element):
    return "".join(element.itertext())


def plots(root):
    return root.findall(f".//{SVG}svg")


@pytest.fixture(scope="module")
def container(shared):
    return shared.container("netns", "bt-report", SMALL_WMEM)


@pytest.fixture(scope="module")
def supervisor(shared, container):
    """One whose container has had changes."""
    path = shared.path(container, shared.container("netns", "bt-far", AMPLE), 1)
    supervisor = shared.supervisor()
    supervisor.ready("host", "bt-far", "bt-report")
    path.raise_limit()
    supervisor.wait_for_log("bt-report", WMEM, container)
    return supervisor


def test_page(supervisor, container, tmp_path):
    """Each change that the log has, from which value to which, a plot of the limit and one of the rate, and the line."""
    file = tmp_path / "page.html"
    changes = supervisor.changes("bt-report", WMEM)
    result = supervisor.cli("report", "bt-report", "-o", file)
    assert not result.stdout and not result.stderr
    root = check(file.read_text(encoding="utf-8"))
    text = text_of(root)
    assert changes
    for change in changes:
        assert change["to"] in text and change["text"] in text
    assert changes[0]["from"] in text and WMEM in text and "bt-far" not in text
    labels = [plot.get("aria-label") for plot in plots(root)]
    place = labels.index(WMEM)
    limit, measure = plots(root)[place:place + 2]
    assert measure.get("aria-label") == "Mbit/s"
    ticks = [text_of(tick) for tick in limit.findall(f"{SVG}text")]
    assert len([tick for tick in ticks if ":" in tick]) >= 2, ticks     # also right after the first change
    assert len(limit.findall(f".//{SVG}circle")) >= len(changes) and measure.findall(f".//{SVG}circle")
    assert re.search(rf"^{re.escape(WMEM)} = \d+ \d+ \d+$", text_of(root.find(f".//{HTML}pre")), re.M)


def test_page_of_all(supervisor):
    """To standard output."""
    root = check(supervisor.cli("report").stdout)
    names = [text_of(heading) for heading in root.findall(f".//{HTML}h2")]
    assert "bt-report" in names and plots(root)


def test_page_of_an_idle_container(supervisor):
    for name in "bt-far", str(supervisor.instance("bt-far")["id"]):
        root = check(supervisor.cli("report", name).stdout)
        assert [text_of(heading) for level in ("h1", "h2") for heading in root.findall(f".//{HTML}{level}")] == 2 * ["bt-far"]


def test_failures(supervisor, tmp_path):
    assert "bt-nobody" in fails(FAILED, BPFTUNE, "report", "--run-dir", supervisor.run_dir, "bt-nobody")
    message = fails(FAILED, BPFTUNE, "report", "--run-dir", supervisor.run_dir, "-o", tmp_path / "no" / "page.html")
    assert f"cannot write {tmp_path}/no/page.html: No such file" in message
    assert "cannot write /dev/full" in fails(FAILED, BPFTUNE, "report", "--run-dir", supervisor.run_dir, "-o", "/dev/full")
    full = run("sh", "-c", 'exec "$@" >/dev/full', "sh", BPFTUNE, "report", "--run-dir", supervisor.run_dir, check=False)
    assert full.returncode == FAILED and "cannot write to standard output: No space" in full.stderr
    fails(NO_SUPERVISOR, BPFTUNE, "report", "--run-dir", tmp_path)


def change(second, value, text, **more):
    return {"time": f"2026-11-27T23:59:{second:02}.250+01:00", "instance": 2, "container": "web", "tuner": "frag",
            "scenario": "ipv4_memory_full", "severity": 5, "text": text, "tunable": "net.ipv4.ipfrag_high_thresh",
            "from": "262144", "to": value, **more}


def tunable(changes, current, **more):
    return {"name": "net.ipv4.ipfrag_high_thresh", "tuner": "frag", "initial": "262144", "current": current,
            "changes": changes, "last_scenario": "ipv4_memory_full", "scenarios": {}, **more}


def reported(tmp_path, instance, records, *words, **status):
    """The page of a supervisor that says this."""
    instance = {"id": 2, "name": "web", "runtime": None, "netns": {"shared": False}, "tuners": [], "learnt": [], **instance}
    replies = {**info(version()), "io.bpftune.GetStatus": [{"parameters": {"kernel": "6.18", "version": "0", **status}}],
               "io.bpftune.ListInstances": [{"parameters": {"instance": instance}}],
               "io.bpftune.GetLog": [{"parameters": {"records": records, "missed": 0}}]}
    with pretended(tmp_path, replies):
        page = run(BPFTUNE, "report", *words, "--run-dir", tmp_path).stdout
    (tmp_path / "control.sock").unlink()
    return page


@pytest.mark.parametrize("words", [["report"], ["advise", "--apply-hints"]], ids=" ".join)
def test_container_that_has_just_ended(tmp_path, words):
    """There is nothing to tell of it: a page of nothing would be taken for good news."""
    replies = {**info(version()), "io.bpftune.GetStatus": [{"parameters": {"version": "0"}}],
               "io.bpftune.ListInstances": [{"parameters": {"instance": None}}]}
    with pretended(tmp_path, replies):
        assert "web has just ended" in fails(FAILED, BPFTUNE, *words, "web", "--run-dir", tmp_path)


def test_what_is_not_known(tmp_path):
    """The page says what the log does not have."""
    def said(changes, current, *records, **status):
        return text_of(check(reported(tmp_path, {"tunables": [tunable(changes, current)]}, records, "web", **status)))

    whole = said(1, "1048576", change(5, "1048576", "12 ReasmFails per 48 ReasmReqds in 2 s"))
    assert "ReasmFails per 100 ReasmReqds" in whole and re.search(r"\d\d:\d\d:05: 25\b", whole)
    assert "No change since" in whole and "The log has kept" not in whole and "Somebody else" not in whole
    assert "The log has kept 1 of 7 changes" in said(7, "1048576", change(5, "1048576", "because"))
    assert "name no rate" in said(1, "1048576", change(5, "1048576", "because"))
    assert "Somebody else has written it since" in said(1, "5", change(5, "1048576", "because"))
    assert "not in the log any more" in said(1, "1048576")
    dry = said(0, "262144", change(5, "1048576", "would change: because"), dry_run=True)
    assert "A dry run" in dry and "would change: because" in dry and "Somebody else" not in dry


def test_dry_run_of_all(tmp_path):
    """The tunables are as they were: which containers are told of is known from their logs alone."""
    instance = {"tunables": [tunable(0, "262144")]}
    would = reported(tmp_path, instance, [change(5, "1048576", "would change: because")], dry_run=True)
    assert "would change: because" in text_of(check(would)) and plots(check(would))
    nothing = check(reported(tmp_path, instance, [], dry_run=True))
    assert "Nothing was changed" in text_of(nothing) and not nothing.findall(f".//{HTML}h2")


def test_limits_met(tmp_path):
    """Those that were met, and since when they count."""
    limits = [{"name": "A", "count": 3, "since": "namespace", "tuner": "listen"}, {"name": "D", "count": 0, "since": "boot"},
              {"name": "B", "count": 4, "since": "boot", "tuner": None}, {"name": "C", "count": 5, "since": "now"}]
    root = check(reported(tmp_path, {"tunables": [], "limits_met": limits}, [], "web"))
    assert [[text_of(cell) for cell in row] for row in root.findall(f".//{HTML}tbody/{HTML}tr")] == \
        [["A", "3", "the namespace was made", "listen"], ["B", "4", "the machine's start", ""]]
    unknown = check(reported(tmp_path, {"tunables": [], "limits_met": None, "limits_met_why": "it is asleep"}, [], "web"))
    assert "not known: it is asleep" in text_of(unknown)


@pytest.mark.parametrize("words", [[], [ATTACK.replace("\x07", "").replace("\x1b", "")]], ids=["all", "one"])
def test_attack(tmp_path, words):
    """Whatever anybody could have chosen, and some of what nobody can, is text."""
    instance = {
        "name": ATTACK, "runtime": ATTACK, "tuners": [{"name": ATTACK, "state": ATTACK, "why": ATTACK}],
        "tunables": [tunable(2, "2" + ATTACK, name=ATTACK, tuner=ATTACK, initial="1" + ATTACK),
                     tunable(1, "1'; reboot '"), tunable(1, "1\nkernel.panic = 1", name="net.two"), tunable(1, "2", name="net.three"),
                     tunable(2, "262144", name="net.four"), tunable(0, "3", name="net.five")],
        "learnt": [{"tuner": ATTACK, "about": ATTACK, "text": ATTACK, "in_effect": True}],
        "limits_met": [{"name": ATTACK, "count": 3, "since": ATTACK, "tuner": ATTACK}], "limits_met_why": ATTACK,
    }
    records = [change(5, "1" + ATTACK, ATTACK, tunable=ATTACK, scenario=ATTACK),
               change(6, "99999999999999999999999999999999999", f"1.5 Mbit/s {ATTACK}"),
               change(7, "0", "3 <script>alert(1)</script> per 0 <b>x</b> in 2 s"),
               change(8, "-1", "nan Mbit/s", time=ATTACK), change(9, "1e400", "inf Mbit/s", time="2026-13-45T99:99:99Z"),
               change(10, "5", "4 x per 7 y", time="9999-12-31T23:59:59.999+00:00"),
               change(11, "5", "4 x per 7 y", tunable="net.other" + ATTACK, time="0001-01-01T00:00:00.000-23:59")]
    page = reported(tmp_path, instance, records, *words, kernel=ATTACK, version=ATTACK)
    root = check(page)
    assert "<script>alert(1)</script>" in text_of(root) and "<script" not in page and "<img" not in page
    kept = [text_of(element) for element in root.findall(f".//{HTML}pre")]
    assert kept == ["net.three = 2\n"]


@pytest.mark.figures
def test_in_a_browser(supervisor, tmp_path):
    """Chromium shows it, in light and dark, and prints it; it finds nothing to complain of."""
    browser = shutil.which("chromium") or pytest.skip("chromium is not installed")
    page = tmp_path / "page.html"
    supervisor.cli("report", "bt-report", "-o", page)
    common = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
              f"--user-data-dir={tmp_path}/profile", "--window-size=1000,1400"]
    pictures = set()
    for name, options in ("light", []), ("dark", ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"]):
        picture = tmp_path / f"{name}.png"
        said = run(*common, *options, f"--screenshot={picture}", f"file://{page}", timeout=120).stderr
        assert "CONSOLE" not in said
        pictures.add(picture.read_bytes())
    assert len(pictures) == 2
    run(*common, "--no-pdf-header-footer", f"--print-to-pdf={tmp_path}/page.pdf", f"file://{page}", timeout=120)
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
