"""The report in a real browser: it shows, opens, prints, in the light and in the dark; and what models say never runs."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from partsong_cluster.report import Report, page
from playwright.sync_api import Browser, Page, sync_playwright
from report_builders import hostile_report, proved, report, section, way

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"), reason="no Chromium here: scripts/install-system-packages installs one"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()


class Opened:
    """A report in a page, with everything that it asked for from elsewhere and every error."""

    def __init__(self, browser: Browser, folder: Path, shown: Report, **options: object) -> None:
        path = folder / "report.html"
        path.write_text(page(shown))
        self.page: Page = browser.new_page(**options)  # type: ignore[arg-type]
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.goto(path.as_uri())
        self.own = path.as_uri()


def two_ways() -> Report:
    return report(section(way("solo", "++-" * 20, single=True), way("duet", "+++" * 20, cost_usd=0.01)))


def test_it_asks_for_nothing_but_itself(browser, tmp_path):
    opened = Opened(browser, tmp_path, two_ways())
    assert opened.asked == [opened.own]
    assert opened.errors == []


def test_the_plot_stands_within_the_page(browser, tmp_path):
    box = Opened(browser, tmp_path, two_ways()).page.locator("svg.plot").bounding_box()
    assert box is not None
    assert box["width"] > 500
    assert box["height"] > 200


def test_names_on_the_plot_do_not_lie_on_each_other(browser, tmp_path):
    ways = [way(f"model-{n}", "+" * (30 + n) + "-" * (10 - n), cost_usd=0.01 + n / 1e4, single=True) for n in range(8)]
    labels = Opened(browser, tmp_path, report(section(*ways))).page.locator("svg.plot text.label").all()
    boxes = [box for label in labels if (box := label.bounding_box())]
    assert len(boxes) == 8
    for place, a in enumerate(boxes):
        for b in boxes[place + 1 :]:
            apart = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"] or abs(a["y"] - b["y"]) >= 0.6 * a["height"]
            assert apart


def test_an_answer_opens_to_its_path_and_bill(browser, tmp_path):
    shown = Opened(browser, tmp_path, two_ways()).page
    row = shown.locator("section > details").first
    row.locator("summary").first.click()
    way_of_it = row.locator("details").first
    way_of_it.locator("summary").click()
    assert way_of_it.get_by_text("logprob 0.90 >= 0.85").is_visible()
    assert way_of_it.get_by_text("answered").is_visible()


def test_a_proof_draws_its_curves_within_the_plot_and_says_its_verdict_first(browser, tmp_path):
    opened = Opened(browser, tmp_path, report(proofs=(proved(),)))
    plot, curve = opened.page.locator("svg.plot").bounding_box(), opened.page.locator("svg.plot .curve.mix").bounding_box()
    assert plot is not None
    assert curve is not None
    assert plot["x"] <= curve["x"] < curve["x"] + curve["width"] <= plot["x"] + plot["width"]
    assert plot["y"] <= curve["y"] < curve["y"] + curve["height"] <= plot["y"] + plot["height"]
    assert (
        opened.page.locator(".says p")
        .first.inner_text()
        .startswith("Combining pays: duet is right more often than a single model or a random mix")
    )
    assert opened.page.get_by_text("<script>").is_visible()
    assert (opened.asked, opened.errors) == ([opened.own], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_paper(browser, tmp_path, scheme):
    shown = Opened(browser, tmp_path, two_ways(), color_scheme=scheme).page
    ink, paper = (shown.evaluate(f"getComputedStyle(document.body).{what}") for what in ("color", "backgroundColor"))
    assert abs(_brightness(ink) - _brightness(paper)) > 150
    assert (_brightness(paper) > 128) == (scheme == "light")


def test_a_narrow_window_scrolls_only_the_table(browser, tmp_path):
    shown = Opened(browser, tmp_path, two_ways(), viewport={"width": 390, "height": 800}).page
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390


def test_it_prints(browser, tmp_path):
    assert Opened(browser, tmp_path, two_ways()).page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize(
    "text",
    [
        "<script>document.title = 'taken over'</script>",
        "<img src=x onerror=\"document.title='taken over'\">",
        "</pre></details></style></title><svg onload=\"document.title='taken over'\">",
        '" onmouseover="document.title=\'taken over\'" x="',
        "{{ 7 * 7 }}{% raw %}<iframe src=\"javascript:parent.document.title='taken over'\"></iframe>",
    ],
)
def test_what_a_model_says_never_runs(browser, tmp_path, text):
    opened = Opened(browser, tmp_path, hostile_report(text))
    for details in opened.page.locator("details").all():
        details.evaluate("one => one.open = true")
    opened.page.locator("pre").first.hover()
    assert opened.page.title() == "A report · Partsong"
    assert opened.page.locator("script, img, iframe, svg[onload], [onmouseover], [onerror]").count() == 0
    assert opened.asked == [opened.own]
    assert opened.page.locator("pre").first.inner_text().strip().startswith(text[:20].strip())


MESH = """\
version: 1
models:
  a: {adapter: python, target: "hostile:answers"}
  b: {adapter: python, target: "hostile:fails", retries: 0}
plans: {vote: {ensemble: {members: [a, a], merge: majority}}}
routes: [{when: {metadata: {kind: bad}}, use: b}, {use: vote}]
"""
SCRIPT = "document.title='taken over'"
ATTACK = f'<script>{SCRIPT}</script><img src=http://127.0.0.1:9/x onerror="{SCRIPT}">\u202e\u2066</pre>'
WORKERS = f"""\
from partsong import Failure, FailureCode
def answers(task): return {ATTACK!r} + task.id + "\\ud800"
def fails(task): return Failure(code=FailureCode.WORKER_ERROR, message={ATTACK!r}, where="b")
"""


def test_the_report_of_a_run_over_hostile_rows_and_answers_runs_no_script(browser, tmp_path):
    rows = [{"id": f"{ATTACK}{n}", "prompt": ATTACK, "expected": ATTACK, ATTACK: ATTACK} for n in range(4)]
    rows += [{"id": f"bad {ATTACK}", "prompt": ATTACK, "kind": "bad"}]
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "hostile.py").write_text(WORKERS)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = "<script>document.title='taken over'<script>"
    command = [Path(sys.executable).with_name("partsong"), "run", "mesh.yaml", "in.jsonl", "-o", out, "--engine", "inline", "--quiet"]
    assert subprocess.run(command, cwd=tmp_path, check=False, timeout=60).returncode == 3

    shown = browser.new_page()
    asked: list[str] = []
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto((tmp_path / out / "report.html").as_uri())
    for details in shown.locator("details").all():
        details.evaluate("one => one.open = true")
    shown.wait_for_timeout(200)
    assert "taken over'" in shown.content()
    assert shown.title() != "taken over"
    assert shown.locator("script, img, iframe, [onerror]").count() == 0
    assert asked == [(tmp_path / out / "report.html").as_uri()]


def _brightness(colour: str) -> float:
    red, green, blue = (float(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")[:3])
    return 0.299 * red + 0.587 * green + 0.114 * blue
