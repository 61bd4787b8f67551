"""Which digit was written? Convolutional networks on images, and how to take a trained one apart.

Beside the default two networks of the books: LeNet-5, and layers that see a picture as one long row.
"""

from __future__ import annotations

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import lamina


def main() -> None:
    digits = load_digits()
    images = (digits.images * 15).astype("uint8")  # 1,797 of 8 x 8, gray
    train, test, labels, truth = train_test_split(images, digits.target, test_size=0.3, random_state=0)

    recipe = lamina.Recipe(epochs=20)
    for family in ("auto", lamina.Convolutional(architecture="lenet5"), "feedforward"):
        model = lamina.Classifier(family, recipe, random_state=0).fit(train, labels)
        card = model.model_.card
        name = family if isinstance(family, str) else f"convolutional, {family.architecture}"
        print(
            f"{name:22} {model.score(test, truth):.3f} right of {len(test)} images, {card['parameters']:,} parameters, ", end=""
        )
        print(f"{card['seconds']:.0f} s  ({card['why']})")


if __name__ == "__main__":
    main()
