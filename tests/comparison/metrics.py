"""The metrics of two classes and of values, by name."""

from lamina.tasks import Classification, Regression

TWO = Classification(("y",), classes=("a", "b"), dtype="String", frequencies=(0.5, 0.5))
METRICS = {metric.name: metric for metric in (*TWO.metrics, *Regression(("y",)).metrics)}
