"""Time of an EM iteration against scikit-learn's GaussianMixture, interleaved in one run.

    python benchmarks/speed/mixture.py

Both start from the same ψ on the same float32 features and run with the same number of threads;
their log-likelihoods after one iteration are compared before anything is timed. Only ratios are
worth quoting: absolute times follow the load of the machine. Results go to mixture.json beside
this file.
"""

import argparse
import json
import os
import platform
import statistics as stats
import sys
import time
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import sklearn
import threadpoolctl
import torch
from sklearn.mixture import GaussianMixture

from labelgap.mixtures.mixture import Mixture
from labelgap.mixtures.statistics import Samples, statistics

NAMES = {"diagonal": "diag", "spherical": "spherical"}


def features(n: int, d: int, k: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """ReLU features around k class means, and the softmax of a classifier that is often right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    z = rng.standard_normal((k, d), dtype=np.float32)[labels] * 0.5
    z = np.maximum(z + rng.standard_normal((n, d), dtype=np.float32), 0)
    logits = rng.standard_normal((n, k), dtype=np.float32)
    logits[np.arange(n), labels] += 4
    return torch.from_numpy(z), torch.softmax(torch.from_numpy(logits), dim=1)


def peer(start: Mixture) -> GaussianMixture:
    """scikit-learn's estimator holding the same ψ in float32."""
    variances = start.variances.float().numpy()
    if start.covariance == "spherical":
        variances = variances[:, 0]
    estimator = GaussianMixture(
        start.num_components, covariance_type=NAMES[start.covariance], reg_covar=1e-6
    )
    estimator.weights_ = start.weights.float().numpy()
    estimator.means_ = start.means.float().numpy()
    estimator.covariances_ = variances
    estimator.precisions_cholesky_ = 1 / np.sqrt(variances)
    return estimator


def seconds(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def compare(n: int, d: int, k: int, covariance: str, repeats: int) -> dict[str, object]:
    z, responsibilities = features(n, d, k, seed=k)
    x = z.numpy()
    start = statistics(z, responsibilities, covariance=covariance).mixture()
    estimator = peer(start)

    samples = Samples(z, covariance)

    def ours() -> Mixture:
        return samples.expectation(start).mixture()

    def theirs() -> None:
        # One turn of the loop in GaussianMixture.fit, without what fit does around it. The M
        # step overwrites the estimator, so it runs on; an iteration costs the same anywhere.
        _, log_resp = estimator._e_step(x)
        estimator._m_step(x, log_resp)

    theirs()
    likelihood = float(ours().log_likelihood(z.double()).mean())
    gap = abs(likelihood - float(estimator.score(x.astype(np.float64)))) / abs(likelihood)
    if gap > 1e-4:
        sys.exit(f"The two disagree by {gap:.1e} after one iteration: no use in timing them.")
    times = [(seconds(ours), seconds(theirs)) for _ in range(repeats)]
    ratios = [b / a for a, b in times]
    return {
        "n": n,
        "d": d,
        "k": k,
        "covariance": covariance,
        "labelgap_ms": round(1e3 * stats.median(a for a, _ in times), 1),
        "scikit_learn_ms": round(1e3 * stats.median(b for _, b in times), 1),
        "ratio_min": round(min(ratios), 2),
        "ratio_median": round(stats.median(ratios), 2),
        "ratio_max": round(max(ratios), 2),
        "relative_log_likelihood_gap": float(f"{gap:.1e}"),
    }


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=50_000, help="samples")
    parser.add_argument("--d", type=int, default=512, help="features")
    parser.add_argument("--k", type=int, nargs="+", default=[10, 100], help="components")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="threads of each side")
    parser.add_argument("--repeats", type=int, default=15, help="pairs of timings per case")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)

    blas = [p for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]
    machine = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "blas": sorted({f"{p['internal_api']} {p['version']} {p['architecture']}" for p in blas}),
    }
    print(json.dumps(machine))
    print("time of scikit-learn / time of labelgap, per EM iteration (above 1: labelgap is faster)")
    cases = []
    for threads, k, covariance in product(args.threads, args.k, NAMES):
        torch.set_num_threads(threads)
        with threadpoolctl.threadpool_limits(threads):
            case = {"threads": threads} | compare(args.n, args.d, k, covariance, args.repeats)
        case["load_average"] = round(os.getloadavg()[0], 1)
        cases.append(case)
        print(
            f"threads={threads} K={k:<4} {covariance:<10} ratio {case['ratio_median']:.2f} "
            f"[{case['ratio_min']:.2f}, {case['ratio_max']:.2f}]   labelgap "
            f"{case['labelgap_ms']} ms, scikit-learn {case['scikit_learn_ms']} ms",
            flush=True,
        )
    args.out.write_text(json.dumps({"machine": machine, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
