"""Tasks: classification, regression, multilabel classification. A new task is one file, its tests, and a line here."""

from lamina.tasks.classification import Classification
from lamina.tasks.multilabel import Multilabel
from lamina.tasks.prediction import Prediction
from lamina.tasks.regression import Regression
from lamina.tasks.task import TASKS, Outcome, Task

__all__ = ["TASKS", "Classification", "Multilabel", "Outcome", "Prediction", "Regression", "Task"]
