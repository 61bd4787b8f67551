"""One relevant sentence in documents of 20,000 words: hierarchical attention, and its cost at twice the length.

A document is 800 sentences of 25 words drawn uniformly from 1,000. In two of three documents one sentence, anywhere, decides
the target: it has *verdict* and *guilty*, or *ruling* and *free*; the third has none. The target is one of these three classes.
All four words occur alone in other sentences of every document, four times each on average, so that no single word predicts the
target; *counting words* is the accuracy of a logistic regression on the counts of these four words. *Found* is the share of
test documents with a relevant sentence in which it has the largest weight.

Memory is the peak of a fresh process that fits documents of that length from a Parquet file, torch and the texts included, at
the same number of documents and the same batch size.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import measure

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

SENTENCE, VOCABULARY, ALONE = 25, 1_000, 4.0
PAIRS = (("verdict", "guilty"), ("ruling", "free"))
CLASSES = ("guilty", "free", "none")
BATCH = 16
TITLE = f"# A needle in a haystack\n\n{(__doc__ or '').strip()}"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--words", type=int, default=20_000, help="words of a document (20,000)")
    parser.add_argument("--documents", type=int, default=2_000, help="training documents (2,000)")
    parser.add_argument("--held-out", type=int, default=300, help="test documents (300)")
    parser.add_argument("--epochs", type=int, default=8, help="epochs (8)")
    parser.add_argument("--seeds", type=int, default=1, help="repeat with other documents and weights (1)")
    parser.add_argument("--out", default="needle", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            sizes = {"train": arguments.documents, "test": arguments.held_out}
            for offset, (part, count) in enumerate(sizes.items()):
                path = str(Path(folder) / f"{part}.parquet")
                measure.prepare(
                    "benchmarks.needle:write", path=path, count=count, words=arguments.words, seed=2 * seed + offset
                )
            found = measure.run(
                "benchmarks.needle:learn",
                timeout=7200,
                folder=folder,
                words=arguments.words,
                epochs=arguments.epochs,
                seed=seed,
            )
            report.add(words=arguments.words, documents=arguments.documents, seed=seed, **found)
        for words in (arguments.words, 2 * arguments.words):
            path = str(Path(folder) / f"{words}.parquet")
            measure.prepare("benchmarks.needle:write", path=path, count=100, words=words, seed=0)
            report.add(memory_words=words, **measure.run("benchmarks.needle:memory", timeout=3600, path=path, words=words))


def documents(count: int, words: int, seed: int) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """A table of texts and verdicts, the relevant sentence of each (-1: none), and the counts of the four words.

    Example:
        >>> table, where, _ = documents(3, 500, seed=0)
        >>> table["verdict"].to_list(), where.tolist()
        (['none', 'free', 'free'], [-1, 6, 0])
        >>> sorted({"ruling", "free"} & set(table["text"][2].split(". ")[0].split()))
        ['free', 'ruling']
    """
    import numpy as np
    import polars as pl

    random = np.random.default_rng(seed)
    marks, sentences = 2 * len(PAIRS), words // SENTENCE
    vocabulary = np.array([*(word for pair in PAIRS for word in pair), *(f"word{i}" for i in range(VOCABULARY))])
    texts, telling, where = [], random.integers(0, len(CLASSES), count), random.integers(0, sentences, count)
    counts = np.zeros((count, marks), dtype=np.int64)
    for i in range(count):
        codes = random.integers(marks, len(vocabulary), (sentences, SENTENCE))
        alone = np.repeat(np.arange(marks), random.poisson(ALONE, marks))[: sentences - 1]
        others = random.choice(np.delete(np.arange(sentences), where[i]), len(alone), replace=False)
        codes[others, random.integers(0, SENTENCE, len(alone))] = alone
        if telling[i] < len(PAIRS):
            codes[where[i], random.choice(SENTENCE, 2, replace=False)] = 2 * telling[i], 2 * telling[i] + 1
        else:
            where[i] = -1
        counts[i] = np.bincount(codes.ravel(), minlength=marks)[:marks]
        texts.append(". ".join(" ".join(sentence) for sentence in vocabulary[codes].tolist()) + ".")
    return pl.DataFrame({"text": texts, "verdict": np.array(CLASSES)[telling]}), where, counts


def write(path: str, count: int, words: int, seed: int) -> dict[str, Any]:
    """Documents as a Parquet file, and the relevant sentences and counts in another."""
    import numpy as np

    table, where, counts = documents(count, words, seed)
    table.write_parquet(path)
    np.savez(path + ".npz", where=where, counts=counts)
    return {}


def family(words: int) -> Any:
    """Sentences of 25 words and their full stop, encoder "none"."""
    import lamina

    size = SENTENCE + 1
    return lamina.Hierarchical(
        levels=(size,),
        max_length=words // SENTENCE * size,
        encoder="none",
        hidden_size=64,
        embedding_dim=32,
        num_heads=2,
        dropout=0.0,
    )


def learn(folder: str, words: int, epochs: int, seed: int) -> dict[str, Any]:
    """Fit, predict the test documents, and find the sentences with the largest weights."""
    import numpy as np
    import polars as pl
    import torch
    from sklearn.linear_model import LogisticRegression

    import lamina

    train, test = (str(Path(folder) / f"{part}.parquet") for part in ("train", "test"))
    started = time.perf_counter()
    model = lamina.fit(
        train, "verdict", family=family(words), recipe=lamina.Recipe(epochs=epochs), seed=seed, kinds={"text": "text"}
    )
    seconds = time.perf_counter() - started
    table = pl.read_parquet(test)
    truth, secret = table["verdict"].to_numpy(), np.load(test + ".npz")
    looked_at = []
    for start in range(0, len(table), BATCH):
        blocks = model.model_.encoder.transform(table[start : start + BATCH])
        weights = model.model_.net.attention({name: torch.from_numpy(block) for name, block in blocks.items()})
        looked_at += weights["text_attention2"].amax(1).argmax(-1).tolist()
    tells = secret["where"] >= 0
    known = np.load(train + ".npz")["counts"], pl.read_parquet(train, columns=["verdict"])["verdict"].to_numpy()
    counting = LogisticRegression(max_iter=1_000).fit(*known)
    return {
        "accuracy": float((model.predict(table) == truth).mean()),
        "found": float((np.array(looked_at) == secret["where"])[tells].mean()),
        "counting": float(counting.score(secret["counts"], truth)),
        "seconds": seconds,
        "epochs": len(model.history_),
    }


def memory(path: str, words: int) -> dict[str, Any]:
    """Two epochs; the caller adds this process's peak."""
    import lamina

    recipe = lamina.Recipe(epochs=2, batch_size=BATCH)
    lamina.fit(path, "verdict", family=family(words), recipe=recipe, seed=0, kinds={"text": "text"})
    return {}


def render(results: list[dict[str, Any]]) -> str:
    """Two tables.

    Example:
        >>> print(render([{"memory_words": 500, "peak_mib": 300.0}, {"memory_words": 1000, "peak_mib": 450.0}]))
        | words | peak memory, MiB | times the first |
        |---|---|---|
        | 500 | 300 | 1.00 |
        | 1,000 | 450 | 1.50 |
    """
    learnt = [result for result in results if "words" in result]
    measured = [result for result in results if "memory_words" in result]
    rows = [
        [f"{r['words']:,}", f"{r['documents']:,}", r["seed"]]
        + (
            [f"failed: {r['error']}", "", "", "", ""]
            if "error" in r
            else [
                *(f"{100 * r[name]:.1f} %" for name in ("accuracy", "found", "counting")),
                f"{r['seconds']:.0f}",
                f"{r['peak_mib']:.0f}",
            ]
        )
        for r in learnt
    ]
    header = ["words", "documents", "seed", "test accuracy", "found", "counting words", "seconds", "peak memory, MiB"]
    tables = [measure.table(header, rows)] if rows else []
    first = next((r["peak_mib"] for r in measured if "error" not in r), 1.0)
    cells = [
        [f"{r['memory_words']:,}", *([f"failed: {r['error']}", ""] if "error" in r else _peak(r["peak_mib"], first))]
        for r in measured
    ]
    tables += [measure.table(["words", "peak memory, MiB", "times the first"], cells)] if cells else []
    return "\n\n".join(tables)


def _peak(mib: float, first: float) -> list[str]:
    return [f"{mib:.0f}", f"{mib / first:.2f}"]
