"""Mutation testing: change the code a little, many times over, and see whether a test notices.

    uv run --group mutation python tests/mutants.py mixtures           # all mutants of a package
    uv run --group mutation python tests/mutants.py mixtures em.py     # of some of its files
    uv run --group mutation python tests/mutants.py mixtures --again   # survivors anew, and the new
    uv run --group mutation python tests/mutants.py mixtures --report  # what is known, nothing run
    uv run --group mutation python tests/mutants.py ledger --tests tests/session/test_ledger.py

It takes from minutes to an hour (about half a second and its tests for each mutant), on one core;
it may be stopped at any time and goes on where it was. What it found is kept in
`.mutants/PACKAGE.jsonl`; a mutant is run anew when its function has changed.

How: pytest collects the tests once, with all they import. One fork runs them under coverage and
says which test reaches which line and how long it takes. Then every mutant is a fork of its own
that puts the changed code into the live functions and runs the tests that reach the changed
statement, fastest first, until one fails or they have had their time (`--at-most`, so more of
them only ever kill more). A test that takes five times its time (and 5 s) counts as failed. Tests
that start another Python process do not see the change there.

What is changed, and what by rule is not: `mutations.py`. Survivors that stay are listed in
`mutants.md`, each with its reason, under the name that this command prints; it prints those that
are not listed, and fails if there are any or if fewer than nine in ten died.
"""

import argparse
import ast
import contextlib
import functools
import gc
import hashlib
import importlib
import itertools
import json
import os
import pickle
import re
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NoReturn

import coverage
import hypothesis
import pytest
from _pytest.runner import runtestprotocol
from mutations import Mutation, defaults, functions, mutations

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "labelgap"
LISTED = ROOT / "tests" / "mutants.md"


def _numeric(names: str) -> list[str]:
    return [f"tests/numeric/test_{name}.py" for name in names.split()]


def _session(names: str) -> list[str]:
    return [f"tests/session/test_{name}.py" for name in names.split()]


# Tests that work with each package at first hand; others reach it, but are slow to say so.
TESTS = {
    "mixtures": _numeric(
        "mixture mixture_terms alignment critic_terms set_statistics judged_terms"
    ),
    "select": _numeric(
        "distinct_steps fisher_steps lcmd_steps line_steps typical_steps herding_steps "
        "kernel_terms kmeans_weights power_terms select_corners select_arrays "
        "select_scores select_sampling select_kcenter balance_refusals score_corners "
        "distance_ladder near_pairs_in_pieces coverage_terms "
        "draws_by_distance kcenter_steps kmeans_steps linear_solvers mixing_terms "
        "graph_and_divergence alfa_mix cdal coreset mq_net probcover typiclust badge bait composed "
        "dcom distinct drop_query herding lcmd line narrow power"
    ),
    "methods/daal": [*_numeric("daal daal_by_hand daal_keys alignment"), *_session("run_tables")],
    "learn": [
        *_session("batches calibration calibration_by_hand compiled continue enough face"),
        *_session("far_device inputs_kept learner optimiser streams training_steps traps watch"),
    ],
    "session": [
        *_session("calibration calibration_by_hand claim continue face learner looking metrics"),
        *_session(
            "own_data pool portions presets refused registry session_verbs source run_tables tell "
            "traps weights_file"
        ),
        "tests/cli/test_paper.py",
    ],
    "ledger": [
        *_session("ledger ledger_at_once ledger_crash ledger_file ledger_model ledger_readings"),
        *_session("meaning meaning_by_hand"),
        "tests/project/test_asking.py",
        "tests/project/test_classes.py",
    ],
}
DEAD = ("killed", "timeout")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("package", choices=list(TESTS))
    parser.add_argument("files", nargs="*", help="files of the package; all where none is named")
    parser.add_argument("--tests", nargs="+", metavar="PATH", help="instead of the usual ones")
    parser.add_argument("--again", action="store_true", help="run known survivors anew")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--slower-than", type=float, default=3.0, metavar="SECONDS",
                        help="leave out tests that take longer (default 3)")  # fmt: skip
    parser.add_argument("--at-most", type=float, default=20.0, metavar="SECONDS",
                        help="of tests, fastest first, for one mutant (default 20)")  # fmt: skip
    options = parser.parse_args()
    os.chdir(ROOT)
    record = Record(options.package)
    files = sorted((SOURCE / options.package).rglob("*.py"))
    if options.files:
        files = [f for f in files if f.name in options.files]
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in files}
    wanted = [Job(f, tree, name, m) for f, tree in trees.items() for name, m in named(f, tree)]
    if not options.report:
        run(wanted, record, options)
    return report(options.package, [record.get(job.name) for job in wanted])


def named(file: Path, tree: ast.Module) -> Iterator[tuple[str, Mutation]]:
    """(name, mutation) of a file: names stay while the code around a function changes."""
    seen: Counter[str] = Counter()
    for mutation in mutations(tree):
        name = f"{file.relative_to(SOURCE).as_posix()} {mutation.scope}: {mutation.label}"
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name} ({seen[name]})", mutation


@dataclass(frozen=True)
class Job:
    """A mutation, its name, and the tree that it changes."""

    file: Path
    tree: ast.Module
    name: str
    mutation: Mutation

    @property
    def source(self) -> str:
        """Of the function or constant that it changes."""
        return hashlib.sha256(ast.dump(self.mutation.target).encode()).hexdigest()[:12]


class Record:
    """What became of each mutant, a line each as soon as it is known; the last line counts."""

    def __init__(self, package: str) -> None:
        self.file = ROOT / ".mutants" / f"{package.replace('/', '-')}.jsonl"
        self.known: dict[str, dict[str, Any]] = {}
        if self.file.exists():
            lines = self.file.read_text(encoding="utf-8").splitlines()
            self.known = {entry["name"]: entry for entry in map(json.loads, lines)}

    def get(self, name: str) -> dict[str, Any]:
        return self.known.get(name, {"name": name, "outcome": "not run", "seconds": 0.0})

    def knows(self, job: Job, outcomes: tuple[str, ...]) -> bool:
        entry = self.get(job.name)
        return entry["outcome"] in outcomes and entry["source"] == job.source

    def put(self, **entry: Any) -> None:
        self.known[entry["name"]] = entry
        self.file.parent.mkdir(exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def report(package: str, entries: list[dict[str, Any]]) -> int:
    """The table, and survivors without a reason; 1 where something is left to do."""
    count = Counter(entry["outcome"] for entry in entries)
    dead = sum(count[outcome] for outcome in DEAD)
    share = dead / max(1, len(entries))
    minutes = sum(entry["seconds"] for entry in entries) / 60
    print("| package | mutants | died | survived | not run | share that died | minutes |")
    print("|---|---|---|---|---|---|---|")
    alive = count["survived"] + count["untested"]
    print(f"| `{package}` | {len(entries)} | {dead} | {alive} | {count['not run']} | "
          f"{share:.1%} | {minutes:.0f} |")  # fmt: skip
    listed = LISTED.read_text(encoding="utf-8") if LISTED.exists() else ""
    left = [e for e in entries if e["outcome"] not in DEAD and f"`{e['name']}`" not in listed]
    for entry in left:
        print(f"{entry['outcome']:9} {entry.get('line', ''):>4} {entry['name']}")
    return int(bool(left) or share < 0.9)


def run(wanted: list[Job], record: Record, options: Any) -> None:
    """Run what is not known yet: collect once, then one fork for each mutant."""
    # Deterministic, and a failure is not made small first: that it fails is all that is asked.
    hypothesis.settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("mutants")
    plugin = Runner(wanted, record, options)
    paths = options.tests or TESTS[options.package]
    quiet = "-q -n 0 -p no:cacheprovider -p no:faulthandler --tb=no --disable-warnings".split()
    code = pytest.main([*quiet, *paths], plugins=[plugin])
    if plugin.failed:
        raise SystemExit(plugin.failed)
    if code != pytest.ExitCode.OK:
        raise SystemExit(f"pytest ended with {code!r}.")


class Runner:
    """A pytest plugin: instead of running the collected tests once, run them on every mutant."""

    def __init__(self, wanted: list[Job], record: Record, options: Any) -> None:
        self.wanted, self.record, self.options = wanted, record, options
        self.failed = ""
        self.screen = os.fdopen(os.dup(2), "w", buffering=1)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        stays = DEAD if self.options.again else (*DEAD, "survived", "untested")
        todo = [job for job in self.wanted if not self.record.knows(job, stays)]
        if session.testsfailed:
            self.failed = "The tests do not collect."
        if not todo or self.failed:
            return True
        begun = time.monotonic()
        self.items = {item.nodeid: item for item in session.items}
        self.took, self.reached = self.baseline()
        self.say(f"{len(self.took)} tests reach the package, "
                 f"in {time.monotonic() - begun:.0f} s. {len(todo)} mutants.")  # fmt: skip
        self.live = live_functions()
        self.caches = [x for x in gc.get_objects() if type(x) is functools._lru_cache_wrapper]
        gc.collect()
        gc.freeze()
        for job in todo:
            self.one(job)
        return True

    def say(self, text: str) -> None:
        print(text, file=self.screen)

    def baseline(self) -> tuple[dict[str, float], dict[str, dict[int, set[str]]]]:
        """(seconds of each test that passes, tests by file and line), from a fork of its own."""
        with tempfile.NamedTemporaryFile() as out:
            pid = os.fork()
            if not pid:
                with _last_words(self.screen):
                    found = self._measure()
                    Path(out.name).write_bytes(pickle.dumps(found))
                os._exit(0)
            os.waitpid(pid, 0)
            took, reached, bad, modules = pickle.loads(Path(out.name).read_bytes())
        for name in modules:  # what tests import while they run, each fork would import again
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        if bad:
            self.say(f"Left out, since they fail, skip or take long: {', '.join(sorted(bad))}")
        return took, reached

    def _measure(self) -> tuple[Any, ...]:
        cover = coverage.Coverage(
            data_file=None, config_file=False, include=[f"{SOURCE}/*"], messages=False
        )
        took, bad = {}, []
        cover.start()
        for name, item in self.items.items():
            cover.switch_context(name)
            begun = time.process_time()  # what else the machine does changes no choice of tests
            passed = _passes(item)
            took[name] = time.process_time() - begun
            if not passed or took[name] > self.options.slower_than:
                bad.append(name)
        cover.stop()
        data = cover.get_data()
        reached = {
            file: {
                line: set(tests) - set(bad) - {""}
                for line, tests in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        used = set().union(*(tests for lines in reached.values() for tests in lines.values()))
        return {name: took[name] for name in used}, reached, bad, sorted(sys.modules)

    def one(self, job: Job) -> None:
        """Run one mutant in a fork and put down what became of it."""
        tests = sorted(self.tests_of(job), key=lambda t: (self.took[t], t))
        sums = itertools.accumulate(self.took[test] for test in tests)
        tests = [t for t, total in zip(tests, sums, strict=True) if total < self.options.at_most]
        begun = time.monotonic()
        outcome, by = "untested", ""
        if tests:
            read, write = os.pipe()
            pid = os.fork()
            if not pid:
                self._mutant(job, tests, write)
            os.close(write)
            with os.fdopen(read) as pipe:
                by = pipe.read().split("\n")[-2]  # the last test that was begun
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            outcome = "survived" if code == 0 else "killed" if code == 1 else "timeout"
        seconds = round(time.monotonic() - begun, 2)
        line = job.mutation.lines[0]
        entry = {"outcome": outcome, "by": by if outcome in DEAD else "", "seconds": seconds}
        self.record.put(name=job.name, line=line, source=job.source, **entry)
        self.say(f"{outcome:9} {seconds:6.1f} s  {line:4} {job.name}")

    def tests_of(self, job: Job) -> set[str]:
        """Tests that reach the statement; for a default the function; for a constant its module
        and its uses."""
        mutation, lines = job.mutation, self.reached.get(str(job.file), {})
        if mutation.kind == "constant":
            use = re.compile(rf"\b{mutation.scope}\b")
            return set().union(*lines.values()) | {
                test
                for path, reached in self.reached.items()
                for at, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1)
                if use.search(line)
                for test in reached.get(at, ())
            }
        reach = mutation.lines
        if mutation.kind == "default":
            reach = range(mutation.target.body[0].lineno, mutation.target.end_lineno + 1)
        return {test for line in reach for test in lines.get(line, ())}

    def _mutant(self, job: Job, tests: list[str], write: int) -> NoReturn:
        """In the fork: exit 0 if every test passes, 1 at the first that does not."""
        with _last_words(self.screen):
            os.write(write, b"(putting it in place)\n")
            job.mutation.put()
            ast.fix_missing_locations(job.tree)
            self.put(job)
            for cache in self.caches:
                cache.cache_clear()
            for name in tests:
                os.write(write, f"{name}\n".encode())
                # Processor time, since the machine may be busy; and the clock, for what sleeps.
                signal.setitimer(signal.ITIMER_PROF, 5 * self.took[name] + 5)
                signal.setitimer(signal.ITIMER_REAL, 30 * self.took[name] + 60)
                if not _passes(self.items[name]):
                    os._exit(1)
        os._exit(0)

    def put(self, job: Job) -> None:
        """Bring the changed tree into the live functions and modules."""
        mutation = job.mutation
        if mutation.kind == "constant":
            self._put_constant(job)
            return
        live = self.live.get((str(job.file), mutation.scope), [])
        assert live, f"{job.name}: no such function is loaded"
        if mutation.kind == "default":
            node = defaults(mutation.target)[mutation.place]
            for function in live:
                value = _value(node, function.__globals__)
                _put_default(function, mutation.target, mutation.place, value)
            return
        if any("__class__" in f.__code__.co_freevars for f in live):
            # A method that no longer says `super()` must still have the cell of its class.
            mutation.target.body[:0] = ast.parse("if False: __class__").body
        codes = list(_codes(compile(job.tree, str(job.file), "exec"), mutation.scope))
        for function in live:
            line = function.__code__.co_firstlineno
            function.__code__ = min(codes, key=lambda c: abs(c.co_firstlineno - line))

    def _put_constant(self, job: Job) -> None:
        """In its module, in those that have imported it, and where it is a default."""
        file, name, value = str(job.file), job.mutation.scope, job.mutation.target.value
        modules = [m for m in list(sys.modules.values()) if hasattr(m, "__dict__")]
        home = next(m for m in modules if getattr(m, "__file__", None) == file)
        old = getattr(home, name)
        new = _value(value, home.__dict__)
        for module in modules:
            if module.__dict__.get(name) is old:
                setattr(module, name, new)
        for scope, written in functions(job.tree.body, ""):
            for place, default in enumerate(defaults(written)):
                if isinstance(default, ast.Name) and default.id == name:
                    for function in self.live.get((file, scope), []):
                        _put_default(function, written, place, new)


def _passes(item: pytest.Item) -> bool:
    reports = runtestprotocol(item, nextitem=None, log=False)
    return all(report.passed for report in reports)


def _value(node: Any, scope: dict[str, Any]) -> Any:
    """The changed value; what it cannot be worked out with is what kills the mutant."""
    try:
        return eval(compile(ast.Expression(node), "mutant", "eval"), scope)
    except Exception:  # noqa: BLE001  (the module would not import)
        os._exit(1)


def _put_default(function: FunctionType, written: Any, place: int, value: Any) -> None:
    """Another default in a live function, at its place in the function as it is written."""
    positional = list(function.__defaults__ or ())
    if place < len(positional):
        positional[place] = value
        function.__defaults__ = tuple(positional)
    else:
        name = written.args.kwonlyargs[place - len(positional)].arg
        function.__kwdefaults__ = {**(function.__kwdefaults__ or {}), name: value}


def _codes(code: CodeType, name: str) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_qualname == name:
                yield inner
            yield from _codes(inner, name)


def live_functions() -> dict[tuple[str, str], list[FunctionType]]:
    """The package's functions in this process, by file and qualified name, decorated or not."""
    found: dict[tuple[str, str], list[FunctionType]] = {}
    for thing in gc.get_objects():
        if type(thing) is FunctionType and thing.__code__.co_filename.startswith(str(SOURCE)):
            code = thing.__code__
            found.setdefault((code.co_filename, code.co_qualname), []).append(thing)
    return found


@contextlib.contextmanager
def _last_words(screen: Any) -> Iterator[None]:
    """A fault of this file in a fork is shown, and not taken for a test that failed."""
    try:
        yield
    except BaseException:  # noqa: BLE001
        traceback.print_exc(file=screen)
        screen.flush()
        os.kill(os.getppid(), signal.SIGINT)
        os._exit(3)


if __name__ == "__main__":
    sys.exit(main())
