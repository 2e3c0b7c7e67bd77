"""The measured table, and a line for each connection that is not as it must be."""

from __future__ import annotations

from tests.chaos.judge import Struck
from tests.chaos.steps import Fault, Server, Step

Results = dict[tuple[Server, Fault], list[Struck]]


def markdown(results: Results, seconds: float) -> str:
    """One row a step, one column a run."""
    columns = list(results)
    total = sum(len(struck) for struck in results.values())
    lines = [
        f"{total} connections struck in {seconds:.0f} s. Each cell: struck / active / `refresh_outcome_unknown`.",
        "",
        "| worker struck at | " + " | ".join(f"{server}, {fault}" for server, fault in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for step in Step:
        lines.append(f"| {step.words} | " + " | ".join(_cell(results[column], step) for column in columns) + " |")
    return "\n".join(lines) + "\n"


def offending(results: Results) -> list[str]:
    return [
        f"{server}, {fault} at {one.step.words!r}: {one.connection_id} {_words(one)}: {'; '.join(one.problems)}"
        for (server, fault), struck in results.items()
        for one in struck
        if one.problems
    ]


def _cell(struck: list[Struck], step: Step) -> str:
    here = [one for one in struck if one.step is step]
    return f"{len(here)} / {sum(one.is_active for one in here)} / {sum(one.is_unknown for one in here)}"


def _words(one: Struck) -> str:
    if one.view is None:
        return "(its workflow never answered)"
    return f"({one.view.status}, {one.view.reason}, generation {one.view.generation}, {one.view.last_failure})"
