import io
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console

from stde_cli.objective.metrics import Errors
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.tracking.console import Progress, RunConsole, sparkline


def progress(**changes) -> Progress:
    figures = {
        "step": 50,
        "steps": 200,
        "loss": 1.5e-3,
        "learning_rate": 5e-4,
        "steps_per_second": 25.0,
        "peak_memory_mb": 1234.0,
        "errors": Errors(1e-3, 2e-3, 4e-3),
    }
    return Progress(**{**figures, **changes})


class Terminal(io.StringIO):
    """Standard output that says it is a terminal, and keeps what it is sent."""

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Take the place of standard output, in the test itself: pytest changes it before."""
    for variable in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    return shown


def run_a_little(console: RunConsole) -> None:
    with console:
        console.stage("compiling")
        console.update(progress(), [3e-3, 2e-3, 1.5e-3])
        console.stage("evaluating on 9 points")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_live_view_shows_every_figure_on_a_line_of_its_own(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    shown = io.StringIO()
    with RunConsole(RunDirectory(tmp_path), "a title") as console:
        for k in range(100):
            console.update(progress(), [10.0**-k])
        console.stage("evaluating on 9 points")
        Console(file=shown, width=width).print(console._render())
    top, *lines, bottom = shown.getvalue().splitlines()
    # The frame is whole: nothing is cropped and nothing is broken.
    inside = min(width, 78) - 4
    assert {len(line) for line in (top, *lines, bottom)} == {inside + 4}
    assert top.startswith("╭─ a title ")
    assert all(line.startswith("│ ") and line.endswith(" │") for line in lines)
    bar, *rows = [line[2:-2].rstrip() for line in lines]
    assert bar == (inside // 4) * "━" + (inside % 4 // 2) * "╸"
    assert [" ".join(row.split()) for row in rows if "loss" not in row] == [
        "stage evaluating on 9 points",
        "step 50 of 200",
        "speed 25 a second, 0:06 left",
        "rel. L2 error 2.000e-03 trivial baseline 4.000e-03",
        "learning rate 5.000e-04",
        "peak memory 1,234 MB",
    ]
    (loss,) = (row for row in rows if row.startswith("loss"))
    assert loss.split()[1] == "1.500e-03"
    assert loss.endswith("▁")
    assert len(loss) == inside


def test_a_terminal_shows_each_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    with RunConsole(RunDirectory(tmp_path), "a title") as console:
        console.stage("compiling")
    assert "│ stage  compiling  " in shown.text()
    with RunConsole(RunDirectory(tmp_path), "a title") as console:
        run_a_little(console)
    assert "│ stage          evaluating on 9 points  " in shown.text()


@pytest.mark.parametrize(
    ("variable", "value"), [("TERM", "dumb"), ("TTY_INTERACTIVE", "0"), ("TERM", "unknown")]
)
def test_a_terminal_that_cannot_be_drawn_over_is_told_in_lines(
    variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = terminal(monkeypatch)
    monkeypatch.setenv(variable, value)
    run_a_little(RunConsole(RunDirectory(tmp_path), "a title"))
    first, second, third = shown.getvalue().splitlines()
    assert (first, third) == ("compiling", "evaluating on 9 points")
    assert second.startswith("step 50/200  25 steps/s")


def test_colours_that_are_forced_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of colours is still a file; a terminal without them is still drawn over."""
    shown = terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    run_a_little(RunConsole(RunDirectory(tmp_path), "a title"))
    assert "│ stage          evaluating on 9 points  " in shown.text()
    assert "\x1b[32m" not in shown.getvalue()
    monkeypatch.setenv("FORCE_COLOR", "1")
    file = io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    run_a_little(RunConsole(RunDirectory(tmp_path), "a title"))
    assert file.getvalue().startswith("compiling\nstep 50/200")


def test_jobs_side_by_side_name_themselves_in_every_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them draws over the others; the log in the job's own directory needs no name."""
    shown = terminal(monkeypatch)
    run_a_little(RunConsole(RunDirectory(tmp_path), "a title", "#1 seed=7"))
    lines = shown.getvalue().splitlines()
    assert [line[:11] for line in lines] == 3 * ["#1 seed=7  "]
    assert (tmp_path / "console.log").read_text().startswith("compiling\nstep 50/200")


def test_plain_lines_where_the_output_is_no_terminal(tmp_path: Path, capsys) -> None:
    with RunConsole(RunDirectory(tmp_path), "a title") as console:
        console.stage("compiling")
        console.update(progress(evaluated=True), [1.5e-3])
    out = capsys.readouterr().out
    assert "compiling\nstep 50/200" in out
    assert "\x1b" not in out
    assert (tmp_path / "console.log").read_text() == out


def test_a_sparkline_falls_with_its_values() -> None:
    assert sparkline([], 40) == ""
    assert sparkline([float("nan"), -1.0], 40) == ""
    line = sparkline([10.0**-k for k in range(8)], 40)
    assert line == "█▇▆▅▄▃▂▁"
    assert len(sparkline([float(k) for k in range(1, 5000)], 40)) == 40
    assert sparkline([1.0], 0) == ""
