"""One thread for each worker: test machines have few cores, and small arrays gain nothing."""

import os
import signal
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ("skips",)

for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_pool, "1")

# Many tests start programs of their own. Where containers forbid Python to keep what it compiled,
# each would compile torch anew: half of the suite's time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell starts what it leaves in the background with Ctrl-C ignored, and programs inherit that.
# With a handler here, those that the tests start answer it again.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Examples on a busy machine take what they take. With CI=true hypothesis draws the same always.
settings.register_profile(
    "patient", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")


@pytest.fixture
def forget() -> Iterator[None]:
    """What users' files register in a test is gone after it: a command is a program of its own."""
    import labelgap.methods  # noqa: F401  (what comes with the package stays)
    from labelgap.loop import own  # imports torch, whose threads are decided above

    tables, loaded = own.TABLES.values(), dict(own._LOADED)
    saved = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, saved, strict=True):
        table.clear()
        table.update(entries)
    own._LOADED.clear()
    own._LOADED.update(loaded)


@pytest.fixture(scope="session", autouse=True)
def one_decoder() -> None:
    """One process opens the images of all tests of a worker: with two, one would start anew for
    every handful of images. Tests of the decoders make their own."""
    from labelgap.data import decoders

    shared = decoders.shared()
    shared.count, shared._free = 1, threading.BoundedSemaphore(1)


@pytest.fixture(scope="session", autouse=True)
def short_layouts() -> Iterator[dict[str, int]]:
    """Reports of tests are made for their words and numbers: a t-SNE of few steps will do.

    What was shortened, as people get it.
    """
    from labelgap.report import plane  # here, where the suite's type checks are installed

    whole = {"TOGETHER": plane.TOGETHER, "ITERATIONS": plane.ITERATIONS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plane, "TOGETHER", 20)
        patch.setattr(plane, "ITERATIONS", 40)
        yield whole


@pytest.fixture(scope="session", autouse=True)
def coarse_pictures() -> Iterator[int]:
    """Nobody looks at them: a quarter of the pixels to an inch, which are the value."""
    from labelgap.report import style

    whole = style.PIXELS_PER_INCH
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "PIXELS_PER_INCH", whole // 4)
        yield whole


@pytest.fixture
def whole_layout(short_layouts: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Layouts as people get them, for a test that looks at one."""
    for name, steps in short_layouts.items():
        monkeypatch.setattr(f"labelgap.report.plane.{name}", steps)
