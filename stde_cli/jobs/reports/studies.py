"""Studies on the page: the best trials, their course, what mattered, the Pareto front."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from stde_cli.jobs.tuning import outcome as outcomes
from stde_cli.jobs.tuning.outcome import FINISHED, PRUNED, Outcome
from stde_cli.runs.reporting import pictures
from stde_cli.runs.reporting.pages import Picture, Section
from stde_cli.runs.reporting.pictures import Trials


def gather(places: Sequence[Path]) -> dict[str, Outcome]:
    """The studies that sweeps in and below the places belong to, by the sweep's directory."""
    found = {}
    for place in places:
        for directory, below, files in os.walk(place):
            if {"config.yaml", "summary.json"} <= set(files):
                below.clear()
            if outcomes.FILE in files and (outcome := outcomes.read(Path(directory))):
                found[directory] = outcome
    return found


def sections(studies: dict[str, Outcome]) -> Iterator[Section]:
    for number, (place, outcome) in enumerate(studies.items()):
        texts = [f"Again, the best trial: {outcome.command}"] if outcome.command else []
        yield Section(
            f"Study {place}",
            texts,
            [outcomes.table(outcome)] if outcome.best else [],
            list(_pictures(outcome, f"study{number}")),
        )


def _pictures(outcome: Outcome, name: str) -> Iterator[Picture]:
    for place, objective in enumerate(outcome.objectives):
        trials = _course(outcome, objective)
        if trials.number:
            caption = f"{objective}, trial by trial"
            caption += (
                "; of a pruned one as it was last reported." if PRUNED in trials.status else "."
            )
            yield Picture(pictures.history(trials, objective, f"{name}history{place}"), caption)
    if len(outcome.objectives) == 2:
        trials = outcome.finished()
        points = [
            (each.figures[(a := outcome.objectives)[0]], each.figures[a[1]]) for each in trials
        ]
        best = [place for place, each in enumerate(trials) if each.number in outcome.best]
        first, second = outcome.objectives
        if best:
            svg = pictures.front(points, best, (first, second), f"{name}front")
            yield Picture(svg, "The Pareto front: each other trial is beaten in both by one of it.")
    if known := {key: shares for key, shares in outcome.importances.items() if shares}:
        caption = "What mattered for being among the best, by PED-ANOVA."
        yield Picture(pictures.importances(known, f"{name}importances"), caption)


def _course(outcome: Outcome, objective: str) -> Trials:
    """Trials with a figure that a logarithmic scale can show."""
    rows = []
    best = None
    for trial in outcome.trials:
        value = trial.figures.get(objective)
        if trial.status == PRUNED and trial.on_the_way:
            value = trial.on_the_way[max(trial.on_the_way)]
        if value is None or value <= 0:
            continue
        if trial.status == FINISHED:
            best = value if best is None else min(best, value)
        rows.append((trial.number, value, trial.status, best))
    return Trials(*([row[k] for row in rows] for k in range(4)))
