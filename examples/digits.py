"""Which digit was written? The default for images, LeNet-5, and a multilayer perceptron on flattened images."""

from __future__ import annotations

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import lamina


def main() -> None:
    digits = load_digits()
    images = (digits.images * 15).astype("uint8")  # 1,797 of 8 x 8, gray
    train, test, train_labels, test_labels = train_test_split(images, digits.target, test_size=0.3, random_state=0)

    recipe = lamina.Recipe(epochs=20)
    for family in ("auto", lamina.Convolutional(architecture="lenet5"), "feedforward"):
        model = lamina.Classifier(family, recipe, random_state=0).fit(train, train_labels)
        card = model.model_.card
        name = family if isinstance(family, str) else f"convolutional, {family.architecture}"
        print(f"{name:22} accuracy {model.score(test, test_labels):.3f} on {len(test)} images, ", end="")
        print(f"{card['parameters']:,} parameters, {card['seconds']:.0f} s  ({card['why']})")


if __name__ == "__main__":
    main()
