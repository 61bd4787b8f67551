"""Which speaker is it? Utterances of "ae" as series of different lengths, as a whole and then step by step.

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
        accuracy = model.evaluate(test)["scores"]["accuracy"]
        print(f"{family:14} accuracy {accuracy:.3f} on {len(test)} utterances, {model.model_.card['seconds']:.0f} s")

    family = lamina.Recurrent(cell="gru", bidirectional=False, pool="last")
    model = lamina.fit(train, "speaker", family=family, seed=0)
    stream = lamina.Stream(model)
    print(f"\nOne utterance of {test['speaker'][0]}, step by step:")
    for number, step in enumerate(test["sound"][0].to_numpy(), 1):
        probabilities = stream.step(step)
        print(f"  after step {number:2}: {model.classes_[probabilities.argmax()]}, {probabilities.max():.2f}")


if __name__ == "__main__":
    main()
