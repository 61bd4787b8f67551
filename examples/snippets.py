"""Did the critic like the film? Texts, and the words with the largest attention weights.

The same on the command line: ``lamina fit examples/data/snippets.parquet --target verdict``.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import torch

import lamina

HERE = Path(__file__).parent


def main() -> None:
    snippets = pl.read_parquet(HERE / "data" / "snippets.parquet")
    test, train = snippets[:1000], snippets[1000:]

    for family in ("feedforward", "convolutional", "recurrent", "hierarchical", "attention"):
        model = lamina.fit(train, "verdict", family=family, seed=0)
        scores = model.evaluate(test)["scores"]
        print(f"{family:14} accuracy {scores['accuracy']:.3f} on {len(test):,} texts, {model.model_.card['seconds']:.0f} s")

    net, encoder = model.model_.net, model.model_.encoder
    rows = test.head(3)
    batch = {name: torch.from_numpy(block) for name, block in encoder.transform(rows.drop("verdict")).items()}
    attention = net.attention(batch)["text_pool"].mean(1)
    print("\nWords with the largest attention weights:")
    for row, (text, verdict) in enumerate(rows.iter_rows()):
        weights = zip(attention[row].tolist(), encoder.by_kind("text")[0].tokens(text), strict=True)
        top = [word for _, word in sorted(weights, reverse=True)[:5]]
        print(f"  {verdict}: {text[:90]}\n    {', '.join(top)}")


if __name__ == "__main__":
    main()
