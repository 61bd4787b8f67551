"""A model of every classical family, loaded in a fresh process, has bitwise equal outputs."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import polars as pl

import lamina
from lamina.families import CLASSICAL
from lamina.families.classical.boosting import BoostingFamily
from tests.contract import rich, table

SCRIPT = """
import json, sys
import lamina, polars as pl
from pathlib import Path
outputs = {}
for path in sorted(Path(sys.argv[1]).glob("*.lamina")):
    model = lamina.load(path).model_
    rows = pl.read_parquet(path.with_suffix(".parquet"))
    outputs[path.stem] = model.outputs(rows).tobytes().hex()
print(json.dumps(outputs))
"""


def test_in_a_fresh_process(tmp_path):
    expected = {}
    here = [name for name, family in CLASSICAL.items() if family.needs is None or importlib.util.find_spec(family.needs)]
    options = {name: {"max_iter": 15} if issubclass(CLASSICAL[name], BoostingFamily) else {} for name in here}
    options["forest"] = {"n_estimators": 15}
    frames = {"values": table("targets", 60), "rich": (rich("all"), "target")}
    for name in here:
        for kind, (frame, target) in frames.items():
            if kind == "values" and name == "rocket":  # reads series only
                continue
            model = lamina.fit(frame, target, family=CLASSICAL[name](**options[name]), seed=0, monitor=None, drop=[])
            stem = f"{name}_{kind}"
            model.save(tmp_path / f"{stem}.lamina")
            rows = frame.select(pl.col(column) for column in frame.columns)
            rows.write_parquet(tmp_path / f"{stem}.parquet")
            outputs = model.model_.outputs(pl.read_parquet(tmp_path / f"{stem}.parquet"))
            assert np.isfinite(outputs).all(), stem
            expected[stem] = outputs.tobytes().hex()
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert {stem: loaded[stem] == outputs for stem, outputs in expected.items()} == dict.fromkeys(expected, True)
