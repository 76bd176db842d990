"""MLflow's pages of a sweep in a real browser: the numbers that are seen are those in the store.

    pytest -m browser

With ``SCREENSHOTS=<folder>`` the pages are kept as pictures there (``docs/images`` has them).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import tracking
from pipeline.config import Tracking
from pipeline.tracking import pages, sweeps

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BROWSER, DRIVER = "chromium", "chromedriver"
MISSING = "no chromium here: apt-get install chromium chromium-driver; pip install -e '.[browser]'"
PATIENCE = 60.0  # seconds that a page may take
SWEEP = (
    "-m",
    "+experiment=digits",
    "optimizer.learning_rate=1e-2,1e-3",
    "seed=0,1",
    "trainer.duration=5 epochs",
    "trainer.compile=off",
)
OBJECTIVE = "best/val/accuracy"
COLUMNS = (OBJECTIVE, "test/accuracy")


@pytest.fixture(scope="module")
def swept(
    command: Callable[..., Any], new_store: Callable[[Path], Path], tmp_path_factory: Any
) -> tuple[Any, str, str]:
    """A sweep of four trials: the store, the parent's id, the experiment's id."""
    folder = tmp_path_factory.mktemp("swept")
    new_store(folder)
    out, err = command("train", *SWEEP, cwd=folder).communicate(timeout=300)
    (parent,) = re.findall(r"^sweep=(\w{32}) status=FINISHED$", out, re.MULTILINE) or [err]
    store = tracking.open_store(Tracking(root=str(folder / "mlruns")))
    return store, parent, store.recorded(parent).experiment_id


@pytest.fixture(scope="module")
def said(swept: tuple[Any, str, str]) -> Iterator[list[str]]:
    """The lines with which ``pipeline.ui`` begins; it serves until the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [f"tracking.root={swept[0].location.root}", f"port={port}"]
    server = subprocess.Popen(
        [sys.executable, "-m", "pipeline.ui", *words], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        yield [server.stdout.readline().strip() for _ in range(5)]
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)


class Page:
    """A page of MLflow's, as a user sees it."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        self.address = address

    def open(self, address: str) -> None:
        """``address``: whole, or what follows the server's."""
        whole = address if address.startswith("http") else f"{self.address}/{address}"
        self.driver.get("about:blank")  # else only what follows the # would change
        self.driver.get(self.address)
        # Its assistant covers a third of the page when it is first seen.
        self.driver.execute_script(
            "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');"
            "localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');"
        )
        self.driver.get("about:blank")
        self.driver.get(whole)

    def wait_for(self, what: str, script: str) -> Any:
        """What ``script`` returns, as soon as it is something."""
        from selenium.common.exceptions import TimeoutException
        from selenium.webdriver.support.ui import WebDriverWait

        try:
            return WebDriverWait(self.driver, PATIENCE).until(
                lambda driver: driver.execute_script(script)
            )
        except TimeoutException:
            text = self.driver.execute_script("return document.body.innerText")
            raise AssertionError(f"the page does not show {what}, but\n{text[:2000]}") from None

    def rows(self, header: str) -> list[dict[str, str]]:
        """The table with this column: column -> text of each row, from top to bottom."""
        return self.wait_for(f"a table with {header}", ROWS % json.dumps(header))

    def keep(self, name: str) -> None:
        """A picture, where they are asked for."""
        if "SCREENSHOTS" in os.environ:
            folder = Path(os.environ["SCREENSHOTS"])
            folder.mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(folder / f"{name}.png"))


@pytest.fixture
def page(said: list[str]) -> Iterator[Page]:
    """A browser of its own for each test, without what an earlier page has remembered."""
    binary, driver = shutil.which(BROWSER), shutil.which(DRIVER)
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        pytest.fail(MISSING)
    if binary is None or driver is None:
        pytest.fail(MISSING)
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for word in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1440,1000"):
        options.add_argument(f"--{word}")
    browser = webdriver.Chrome(options, Service(driver))
    try:
        yield Page(browser, said[1].split()[0])
    finally:
        browser.quit()


def _address(said: list[str], name: str) -> str:
    return next(line for line in said if line.startswith(name)).split(": ", 1)[1]


def _best_first(store: Any, parent: str) -> list[sweeps.TrialRun]:
    trials = sweeps.one_each(sweeps.trials(store, parent))
    assert len(trials) == 4
    return sorted(trials, key=lambda trial: -trial.metrics[OBJECTIVE])


def test_the_table_opens_with_the_trials_ranked_by_the_objective(swept, said, page) -> None:
    store, parent, _ = swept
    page.open(_address(said, "newest sweep, best first"))
    rows = page.rows(f"metrics.`{OBJECTIVE}`")
    trials = _best_first(store, parent)
    assert len(rows) == 4
    for row, trial in zip(rows, trials, strict=True):
        run = store.recorded(trial.run_id)
        for metric in COLUMNS:
            assert float(row[f"metrics.`{metric}`"]) == run.metrics[metric]
        for param in ("optimizer.learning_rate", "seed"):
            assert row[f"params.`{param}`"] == run.params[param]
        assert row["attributes.`Run Name`"].endswith(run.name)
    page.keep("sweep-table")


def test_trials_nest_below_their_sweep(swept, said, page) -> None:
    store, parent, _ = swept
    page.open(_address(said, "experiment digits"))
    name = "attributes.`Run Name`"
    assert [row[name].splitlines()[-1] for row in page.rows(name)] == [
        "sweep digits: learning_rate, seed"
    ]
    page.wait_for("what opens the sweep", OPEN_SWEEP)
    names = page.wait_for("the trials below the sweep", NAMES_OF_FIVE)
    assert set(names[1:]) == {store.recorded(t.run_id).name for t in _best_first(store, parent)}
    page.keep("sweep-nested")


def test_the_charts_open_with_the_objective(swept, said, page) -> None:
    store, parent, _ = swept
    page.open(_address(said, "newest sweep, charts"))
    charts = page.wait_for("three charts of curves", CHARTS)
    trials = _best_first(store, parent)
    for chart, metric in zip(charts, ("val/accuracy", *COLUMNS), strict=True):
        assert chart["title"] == metric
        last = {store.recorded(t.run_id).name: t.metrics[metric] for t in trials}
        # MLflow draws a smoothed line beside each; here the two are one.
        assert set(map(tuple, chart["last"])) == set(last.items())
        lengths = {len(store.history(t.run_id, metric)) for t in trials}
        assert set(chart["points"]) == lengths
    page.keep("sweep-charts")


def test_the_sweep_s_own_page_has_the_table_and_leads_to_the_others(swept, said, page) -> None:
    store, parent, experiment_id = swept
    page.open(f"#/experiments/{experiment_id}/runs/{parent}?{pages.TRAINING}")
    trials = _best_first(store, parent)
    links = page.wait_for("the links of the note", LINKS)
    assert links["the trials, best first"] == _address(said, "newest sweep, best first")
    assert links["charts"] == _address(said, "newest sweep, charts")
    table = page.wait_for("the note's table", TABLE)
    assert table[0] == ["learning_rate", "seed", OBJECTIVE, "status", "run"]
    assert [row[-1] for row in table[1:]] == [trial.run_id[:8] for trial in trials]
    assert [row[2] for row in table[1:]] == [f"{t.metrics[OBJECTIVE]:.6g}" for t in trials]
    shown = page.wait_for("the sweep's metric", METRIC_OF_RUN % json.dumps(OBJECTIVE))
    assert float(shown) == max(t.metrics[OBJECTIVE] for t in trials)
    page.keep("sweep-note")


def test_the_page_that_compares_has_the_numbers_of_all_trials(swept, said, page) -> None:
    store, parent, experiment_id = swept
    trials = _best_first(store, parent)
    page.open(pages.side_by_side(experiment_id, [trial.run_id for trial in trials]))
    shown = page.wait_for("the objective of four runs", METRIC_ROW % json.dumps(OBJECTIVE))
    assert [float(text) for text in shown] == pytest.approx(
        [trial.metrics[OBJECTIVE] for trial in trials],
        abs=5e-4,  # MLflow rounds here
    )
    page.driver.execute_script(
        "[...document.querySelectorAll('[role=grid]')].at(-2).scrollIntoView({block: 'center'})"
    )
    page.keep("sweep-compare")


# What the page's own script finds in it; nothing, until it is there.
ROWS = """
const rows = {};
for (const cell of document.querySelectorAll('.ag-row [role=gridcell]')) {
  const row = cell.closest('.ag-row').getAttribute('row-index');
  (rows[row] ??= {})[cell.getAttribute('col-id')] = cell.innerText.trim();
}
const found = Object.keys(rows).sort((a, b) => a - b).map((i) => rows[i]);
return found.length && Object.keys(found[0]).includes(%s) ? found : null;
"""
OPEN_SWEEP = """
const name = [...document.querySelectorAll('.ag-row [role=gridcell]')]
  .find((cell) => cell.getAttribute('col-id') === 'attributes.`Run Name`');
const button = name && name.querySelector('button');
if (button) button.click();
return Boolean(button);
"""
NAMES_OF_FIVE = """
const names = [...document.querySelectorAll('.ag-row [role=gridcell]')]
  .filter((cell) => cell.getAttribute('col-id') === 'attributes.`Run Name`')
  .map((cell) => cell.innerText.trim().split('\\n').pop());
return names.length === 5 ? names : null;
"""
CHARTS = """
const charts = [...document.querySelectorAll('[data-testid=experiment-view-compare-runs-card]')]
  .map((card) => [card, card.querySelector('.js-plotly-plot')])
  .filter(([card, plot]) => plot && plot.data && plot.data.length)
  .map(([card, plot]) => ({
    title: card.innerText.trim().split('\\n')[0],
    last: plot.data.map((line) => [line.name, [...line.y].pop()]),
    points: plot.data.map((line) => line.y.length),
  }));
return charts.length === 3 ? charts : null;
"""
LINKS = """
const links = [...document.querySelectorAll('a')].map((link) => [link.innerText, link.href]);
const found = Object.fromEntries(links);
return found['side by side'] ? found : null;
"""
TABLE = """
const table = [...document.querySelectorAll('table')]
  .find((table) => table.innerText.includes('FINISHED'));
const more = [...document.querySelectorAll('button')]
  .find((button) => button.innerText === 'Show more');
if (more) more.click();
return table && [...table.rows].map((row) => [...row.cells].map((cell) => cell.innerText.trim()));
"""
METRIC_OF_RUN = """
const links = [...document.querySelectorAll('a')].filter((link) => link.innerText === %s);
const row = links.length && links[0].closest('[role=row]');
return row && row.innerText.split('\\n').pop();
"""
METRIC_ROW = """
const metric = %s;
const boxes = [...document.querySelectorAll('[role=grid]')].map((grid) => grid.innerText);
const names = boxes.find((text) => text.split('\\n').includes(metric));
if (!names) return null;
const row = names.split('\\n').indexOf(metric);
const texts = boxes[boxes.indexOf(names) + 1].split('\\n').filter((text) => text.trim());
return texts.slice(4 * row, 4 * row + 4);
"""
