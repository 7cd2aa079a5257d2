"""Writes test/goldens/agreement.json: coefficients of agreement that the tests compare with.

For developers only; no test runs it. Run it from the repository root with the versions below and commit the result:

    python scripts/write-agreement-goldens.py

Each case holds ratings (units x raters, null where a rater gave none) with scikit-learn's Cohen's kappa (two raters, nothing
missing), irrCAC's Gwet's AC1 (by the author's own formulas) and the krippendorff package's alpha with three distances.
"""

import importlib.metadata
import json
import pathlib
import random

import krippendorff
import numpy as np
import pandas as pd
from irrCAC.raw import CAC
from sklearn.metrics import cohen_kappa_score

PINNED = {"scikit-learn": "1.9.1", "krippendorff": "0.9.0", "irrCAC": "0.4.4"}
OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "goldens" / "agreement.json"
SEED = 11


def drawn(rng):
    """Tables with few and many categories, even and skewed, with and without missing ratings."""
    for raters, categories, units, missing, skew in [
        (2, 2, 40, 0, 0), (2, 2, 60, 0, 0.9), (2, 3, 50, 0, 0.3), (2, 5, 80, 0, 0),
        (3, 3, 40, 0.2, 0.2), (4, 5, 30, 0.3, 0), (5, 4, 60, 0.5, 0.5), (2, 3, 30, 0.2, 0),
    ]:
        table = []
        for _ in range(units):
            truth = 0 if rng.random() < skew else rng.randrange(categories)
            given = [truth if rng.random() < 0.7 else rng.randrange(categories) for _ in range(raters)]
            table.append([None if rng.random() < missing else value for value in given])
        yield categories, table


def case(categories, table):
    raters = len(table[0])
    complete = all(value is not None for unit in table for value in unit)
    frame = pd.DataFrame([[np.nan if v is None else float(v) for v in unit] for unit in table])
    ac1 = CAC(frame, weights="identity", categories=[float(k) for k in range(categories)], digits=15).gwet()
    data = frame.to_numpy().T
    alpha = {
        level: krippendorff.alpha(reliability_data=data, level_of_measurement=level, value_domain=list(range(categories)))
        for level in ["nominal", "ordinal", "interval"]
    }
    first, second = ([unit[r] for unit in table] for r in (0, 1))
    kappa = cohen_kappa_score(first, second) if complete and raters == 2 else None
    return {
        "categories": categories,
        "ratings": table,
        "kappa": kappa,
        "ac1": ac1["est"]["coefficient_value"],
        "raw": ac1["est"]["pa"],
        "alpha": alpha,
    }


def main():
    versions = {name: importlib.metadata.version(name) for name in PINNED}
    if versions != PINNED:
        raise SystemExit(f"expected {PINNED}, got {versions}: install them or change PINNED")
    rng = random.Random(SEED)
    cases = [case(categories, table) for categories, table in drawn(rng)]
    provenance = {"script": "scripts/write-agreement-goldens.py", "seed": SEED, "versions": versions}
    OUT.write_text(json.dumps({"provenance": provenance, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
