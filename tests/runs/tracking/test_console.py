import io
from pathlib import Path

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


def test_the_live_view_shows_every_figure(tmp_path: Path) -> None:
    shown = io.StringIO()
    with RunConsole(RunDirectory(tmp_path), "a title") as console:
        console.update(progress(), [3e-3, 2e-3, 1.5e-3])
        Console(file=shown, width=100).print(console._render())
    text = shown.getvalue()
    for part in (
        "a title",
        "50 of 200",
        "25 a second",
        "0:06 left",
        "1.500e-03",
        "2.000e-03",
        "trivial baseline 4.000e-03",
        "5.000e-04",
        "1,234 MB",
    ):
        assert part in text


def test_plain_lines_where_the_output_is_no_terminal(tmp_path: Path, capsys) -> None:
    with RunConsole(RunDirectory(tmp_path), "a title") as console:
        console.stage("compiling")
        console.update(progress(evaluated=True), [1.5e-3])
    out = capsys.readouterr().out
    assert "compiling\nstep 50/200" in out
    assert "\x1b" not in out
    assert (tmp_path / "console.log").read_text() == out


def test_a_sparkline_falls_with_its_values() -> None:
    assert sparkline([]) == ""
    assert sparkline([float("nan"), -1.0]) == ""
    line = sparkline([10.0**-k for k in range(8)])
    assert line == "█▇▆▅▄▃▂▁"
    assert len(sparkline([float(k) for k in range(1, 5000)])) == 40
