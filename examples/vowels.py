"""Who said "ae"? Series of differing lengths, read whole and then step by step.

The same on the command line: ``lamina fit examples/data/vowels.parquet --target speaker --split part --family recurrent``.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

import lamina

HERE = Path(__file__).parent


def main() -> None:
    sounds = pl.read_parquet(HERE / "data" / "vowels.parquet")
    train, test = (sounds.filter(part=part).drop("part") for part in ("train", "test"))

    for family in ("convolutional", "recurrent", "attention", "hierarchical"):
        model = lamina.fit(train, "speaker", family=family, seed=0)
        found = model.evaluate(test)["scores"]["accuracy"]
        print(f"{family:14} {found:.3f} right of {len(test)}, {model.model_.card['seconds']:.0f} s")

    heard = lamina.Recurrent(cell="gru", bidirectional=False, pool="last")
    model = lamina.fit(train, "speaker", family=heard, seed=0)
    stream = lamina.Stream(model)
    print(f"\nOne utterance of {test['speaker'][0]}, as it is heard:")
    for number, step in enumerate(test["sound"][0].to_numpy(), 1):
        chances = stream.step(step)
        print(f"  after step {number:2}: {model.classes_[chances.argmax()]}, {chances.max():.2f}")


if __name__ == "__main__":
    main()
