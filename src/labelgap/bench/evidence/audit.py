"""The audit that precedes every figure: are these runs what a paired comparison needs?

Each check looks at what the runs recorded while they ran and at what their queries say, never at
their accuracies. A finding names the cells; one is enough to stop the report.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from labelgap.bench.evidence.comparable import (
    arm_of,
    claimed_twice,
    method_of,
    needed_settings,
    shared_settings,
    table_of,
)
from labelgap.bench.evidence.results import AUDITED, Result
from labelgap.bench.running.execute import first_round
from labelgap.core.config import canonical
from labelgap.core.errors import LabelgapError
from labelgap.loop.result import schedule

_MOST_NAMED = 8


@dataclass(frozen=True)
class Finding:
    """What is wrong, and with which cells (names of folders)."""

    check: str
    what: str
    cells: tuple[str, ...]

    def __str__(self) -> str:
        named = ", ".join(self.cells[:_MOST_NAMED])
        more = len(self.cells) - _MOST_NAMED
        return f"{self.check}: {self.what}: {named}{f' and {more} more' if more > 0 else ''}"


class AuditError(LabelgapError):
    """Results that must not be compared."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings: tuple[Finding, ...] = tuple(findings)
        listed = "\n".join(f"- {finding}" for finding in findings)
        super().__init__(
            f"The audit found {len(findings)} faults; no figure is drawn.\n{listed}",
            "`labelgap bench … --repair` runs damaged cells again. Cells that do not belong "
            "together go into folders of their own: repeat each command with another `--out`, and "
            "`--reuse` this folder for what fits.",
        )


def audit(results: Sequence[Result]) -> list[Finding]:
    """Every check on every cell, in the order of the page's list."""
    found: list[Finding] = []
    for check in CHECKS:
        found += check(results)
    return found


def require(results: Sequence[Result]) -> None:
    """Raise `AuditError` naming the cells if anything is found."""
    found = audit(results)
    if found:
        raise AuditError(found)


# ---------------------------------------------------------------------- the checks


def labels_are_distinct(results: Sequence[Result]) -> list[Finding]:
    """As many different items were labelled as the curve and the configuration claim."""
    found = []
    for r in results:
        wanted = {r.recorded[k] for k in ("claimed_labels", "distinct_labels", "queried_distinct")}
        settings = r.cell.config.loop
        planned = schedule(settings, len(r.classes))[: len(r.labels)]
        known = r.counts.sum(axis=1)  # of an open set's query some are of no class
        what = None
        if len(wanted) > 1 or int(r.labels[-1]) not in wanted:
            what = (
                f"{r.recorded['claimed_labels']} labels claimed, "
                f"{min(wanted)} distinct, {r.labels[-1]} on the curve"
            )
        elif r.labels.tolist() != planned.tolist():
            what = f"the curve is at {r.labels.tolist()} labels, not at {planned.tolist()}"
        elif (known > np.diff(r.labels, prepend=0)).any() or (
            r.cell.config.data.open_set == 0 and known.sum() != r.labels[-1]
        ):
            what = f"the queries' classes count {known.tolist()} items"
        if what:
            found.append(Finding("distinct labels", what, (r.cell.folder,)))
    return found


def all_is_recorded(results: Sequence[Result]) -> list[Finding]:
    """Nothing that the other checks compare is missing: two unknowns would be equal."""
    found: dict[str, list[str]] = defaultdict(list)
    for r in results:
        for name in AUDITED:
            if r.recorded[name] is None:
                found[name].append(r.cell.folder)
    return [
        Finding("all is recorded", f"{name} is missing", tuple(cells))
        for name, cells in found.items()
    ]


def seeds_are_independent(results: Sequence[Result]) -> list[Finding]:
    """Two seeds have neither their initial set nor their initial weights in common."""
    found = []
    for what in ("initial_set_sha256", "initial_weights_sha256"):
        seeds: dict[Hashable, dict[int, str]] = defaultdict(dict)
        for r in results:
            key = (canonical(r.config["data"]), canonical(r.config["network"]), r.cell.development,
                   r.recorded[what])  # fmt: skip
            seeds[key].setdefault(r.config["seed"], r.cell.folder)
        found += [
            Finding("independent seeds", f"one {what} for several", tuple(cells.values()))
            for cells in seeds.values()
            if len(cells) > 1
        ]
    return found


def one_data_set(results: Sequence[Result]) -> list[Finding]:
    """Cells on one data set had the same images, labels and classes."""
    return _equal(
        results,
        "same data",
        "the fingerprints of the data differ",
        lambda r: (canonical(r.config["data"]), _backbone(r), r.cell.development, _open(r)),
        lambda r: (r.recorded["task_fingerprint"], r.classes),
    )


def one_initial_set(results: Sequence[Result]) -> list[Finding]:
    """Cells of one seed began with the same labelled items, and queried what they recorded."""
    found = _equal(
        results,
        "same initial set",
        "the initial sets differ",
        lambda r: (
            canonical(r.config["data"]), r.cell.development, r.config["loop"]["initial"],
            r.config["loop"]["initial_per_class"], r.config["loop"]["pool_subset"],
            r.config["seed"],
        ),
        lambda r: r.recorded["initial_set_sha256"],
    )  # fmt: skip
    wrong = [
        r.cell.folder
        for r in results
        if r.recorded["initial_set_sha256"] != r.recorded["queried_initial_sha256"]
    ]
    if wrong:
        found.append(
            Finding("same initial set", "queries.jsonl has another than recorded", tuple(wrong))
        )
    return found


def one_start(results: Sequence[Result]) -> list[Finding]:
    """Cells of one network and seed began training from the same weights."""
    return _equal(
        results,
        "same initial weights",
        "the initial weights differ",
        lambda r: (
            canonical(r.config["data"]), r.cell.development, canonical(r.config["network"]),
            r.config["seed"],
        ),
        lambda r: r.recorded["initial_weights_sha256"],
    )  # fmt: skip


def one_first_round(results: Sequence[Result]) -> list[Finding]:
    """Cells of one objective and seed had the same network before their first query."""
    return _equal(
        results,
        "same first round",
        "the trained weights of round 0 differ",
        lambda r: first_round(r.cell),
        lambda r: r.recorded["round0_weights_sha256"],
    )


def one_permutation(results: Sequence[Result]) -> list[Finding]:
    """Cells of one seed were offered their candidates in the same order."""
    return _equal(
        results,
        "same pool permutation",
        "the permutations of the pool differ",
        lambda r: (
            canonical(r.config["data"]), r.cell.development, r.config["loop"]["rounds"],
            r.config["seed"],
        ),
        lambda r: r.recorded["pool_permutation_sha256"],
    )  # fmt: skip


def no_choice_by_test(results: Sequence[Result]) -> list[Finding]:
    """Nothing was chosen by test accuracy: no curve was cut short, no arm tuned per data set.

    A run itself cannot choose by test data (its session has no test labels before it evaluates).
    What remains is people's doing, and leaves traces: runs stopped early, and one arm whose pair
    or options differ between data sets or seeds.
    """
    found = [
        Finding(
            "no choice by test data",
            f"the curve ends at round {len(r.labels) - 1} of {r.config['loop']['rounds']}",
            (r.cell.folder,),
        )
        for r in results
        if len(r.labels) != r.config["loop"]["rounds"] + 1
    ]
    return found + _equal(
        results,
        "no choice by test data",
        "one arm has different pairs or options on different data sets or seeds",
        lambda r: arm_of(r.cell),
        lambda r: frozenset(method_of(r.cell).items()),
    )


def one_result_a_seed(results: Sequence[Result]) -> list[Finding]:
    """No arm has two results of one seed, of which a table would show one and hide the other."""
    return [
        Finding(
            "one result a seed",
            f"{len(cells)} results of {cells[0].arm!r} with seed {cells[0].config.seed}",
            tuple(cell.folder for cell in cells),
        )
        for cells in claimed_twice(r.cell for r in results)
    ]


def one_machine(results: Sequence[Result]) -> list[Finding]:
    """One version of everything that computes, one device, precision and number of threads.

    Not one state of labelgap's code, which a changed comment changes: the report names the states.
    """
    found = _equal(
        results,
        "versions and machine",
        "versions, device, precision or threads differ",
        lambda r: "all",
        lambda r: canonical({k: v for k, v in r.machine.items() if k != "source"}),
    )
    moved = tuple(r.cell.folder for r in results if r.begun_elsewhere)
    if moved:
        found.append(Finding("versions and machine", "begun on another machine", moved))
    return found


def one_configuration(results: Sequence[Result]) -> list[Finding]:
    """Arms that are compared differ in their pair alone (and in what their method needs); an arm
    differs from itself in the seed alone.
    """
    needed = needed_settings(r.config for r in results)
    return _equal(
        results,
        "same configuration",
        "one arm has different settings for different seeds",
        lambda r: (*table_of(r.cell), r.cell.arm),
        lambda r: tuple(
            item for item in shared_settings(r.config, set()).items() if item in needed
        ),
    ) + _equal(
        results,
        "same configuration",
        "settings outside of the pair differ",
        lambda r: table_of(r.cell),
        lambda r: tuple(shared_settings(r.config, needed).items()),
    )


CHECKS: tuple[Callable[[Sequence[Result]], list[Finding]], ...] = (
    all_is_recorded,
    labels_are_distinct,
    one_data_set,
    one_initial_set,
    one_start,
    one_first_round,
    one_permutation,
    seeds_are_independent,
    no_choice_by_test,
    one_result_a_seed,
    one_machine,
    one_configuration,
)


def _equal(
    results: Sequence[Result],
    check: str,
    what: str,
    group: Callable[[Result], Hashable],
    value: Callable[[Result], Hashable],
) -> list[Finding]:
    """A finding for every group whose cells do not all have one value, naming the minority."""
    groups: dict[Hashable, list[Result]] = defaultdict(list)
    for r in results:
        groups[group(r)].append(r)
    found = []
    for members in groups.values():
        counts = Counter(value(r) for r in members)
        if len(counts) > 1:
            usual, times = counts.most_common(1)[0]
            # Of two that differ, nobody knows which is the odd one.
            tied = list(counts.values()).count(times) > 1
            odd = [r.cell.folder for r in members if tied or value(r) != usual]
            found.append(Finding(check, what, tuple(odd)))
    return found


def _backbone(r: Result) -> str:
    network = r.config["network"]
    return canonical(network) if network["freeze"] else ""


def _open(r: Result) -> Hashable:
    # Which classes are left out of the task is drawn by the seed.
    drawn = ("open_set", "redundancy")
    return r.config["seed"] if any(r.config["data"][key] for key in drawn) else None
