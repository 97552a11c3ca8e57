"""What a study has come to: the best of its trials, as a table and as study.json."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from stde_cli.runs.reporting.tables import NONE, Column, Table, figure
from stde_cli.system.files import json_text, write_atomically

FILE = "study.json"

_MOST_SHOWN = 5
FINISHED, PRUNED, FAILED, RUNNING, WAITING = "finished pruned failed running waiting".split()


@dataclass
class Trial:
    """One of a study, as study.json has it.

    Attributes:
        status: finished, pruned, failed, running or waiting.
        figures: each objective of a finished trial.
        on_the_way: step and objective, where it was reported.
    """

    number: int
    status: str
    values: dict[str, Any]
    figures: dict[str, float] = field(default_factory=dict)
    on_the_way: dict[int, float] = field(default_factory=dict)
    run_dir: str | None = None
    failure: str | None = None


@dataclass
class Outcome:
    """
    Attributes:
        best: numbers of the trials that no other beats: the best first, or the Pareto front.
        importances: of each key that was searched, their sum is 1; empty where too little is known.
    """

    name: str
    objectives: list[str]
    trials: list[Trial]
    best: list[int]
    importances: dict[str, dict[str, float]]
    command: str | None = None
    """That runs the best trial again."""

    def trial(self, number: int) -> Trial:
        return next(trial for trial in self.trials if trial.number == number)

    def finished(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.status == FINISHED]

    def counts(self) -> str:
        """As "12 finished, 6 pruned"."""
        found = Counter(trial.status for trial in self.trials)
        words = (FINISHED, PRUNED, FAILED, RUNNING, WAITING)
        return ", ".join(f"{found[word]} {word}" for word in words if found[word])

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "directions": ["minimize"] * len(self.objectives)}


def table(outcome: Outcome) -> Table:
    """The best trials of one objective; of several, all that no other beats."""
    several = len(outcome.objectives) > 1
    shown = outcome.best if several else outcome.best[:_MOST_SHOWN]
    trials = [outcome.trial(number) for number in shown]
    keys = list(dict.fromkeys(key for trial in trials for key in trial.values))
    texts = {key for key in keys if any(not _is_number(t.values.get(key)) for t in trials)}
    columns = [Column("trial"), *map(Column, outcome.objectives)]
    columns += [Column(key, numeric=key not in texts) for key in keys]
    columns.append(Column("run", numeric=False))
    rows = tuple(tuple(_cells(trial, outcome.objectives, keys)) for trial in trials)
    title = "Pareto front" if several else "Best trials"
    return Table(tuple(columns), rows, title=title, notes=tuple(_notes(outcome)))


def _cells(trial: Trial, objectives: Sequence[str], keys: Sequence[str]) -> Iterator[str]:
    yield figure(trial.number)
    for name in objectives:
        yield figure(trial.figures.get(name))
    for key in keys:
        value = trial.values.get(key)
        yield figure(value) if _is_number(value) else str(value)
    yield shown_place(trial.run_dir)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown_place(run_dir: str | None) -> str:
    """From where the command is given, if it lies below."""
    if run_dir is None:
        return NONE
    here = Path.cwd()
    return str(Path(run_dir).relative_to(here)) if Path(run_dir).is_relative_to(here) else run_dir


def _notes(outcome: Outcome) -> Iterator[str]:
    yield f"{len(outcome.trials)} trials: {outcome.counts()}."
    for name, found in outcome.importances.items():
        if found:
            parts = (f"{key} {share:.0%}" for key, share in found.items())
            of = f" of {name}" if len(outcome.objectives) > 1 else ""
            yield f"importance{of}: {', '.join(parts)}."


def write(outcome: Outcome, directory: Path) -> None:
    """study.json, as a whole.

    Raises:
        OSError: it cannot be written.
    """
    write_atomically(directory / FILE, json_text(outcome.as_dict(), indent=2) + "\n")


def read(directory: Path) -> Outcome | None:
    """What a sweep's directory says of its study; None where there is none that can be read."""
    try:
        found = json.loads((directory / FILE).read_text())
        found.pop("directions")
        return TypeAdapter(Outcome).validate_python(found)
    except (OSError, ValueError, LookupError, AttributeError, TypeError, ValidationError):
        return None
