"""lamina: deep learning, explained."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lamina.version import __version__

if TYPE_CHECKING:
    from lamina import callbacks
    from lamina.api import compare, fit, load, resume, tune
    from lamina.data.gather import gather_series
    from lamina.errors import LaminaError
    from lamina.estimators import Classifier, Regressor
    from lamina.families import (
        Attention,
        Auto,
        Boosting,
        CatBoost,
        Constant,
        Convolutional,
        Custom,
        Ensemble,
        ExtraTrees,
        FeedForward,
        Forest,
        Hierarchical,
        LightGBM,
        Linear,
        Neighbours,
        RealMLP,
        Recurrent,
        Rocket,
        Shortcut,
        XGBoost,
    )
    from lamina.graph.graph import Graph
    from lamina.graph.layers.pretrained import register
    from lamina.stream import Stream
    from lamina.tasks.metrics import make_metric
    from lamina.train.recipe import Recipe

# Modules of the public names, imported lazily, so that `import lamina` does not load torch.
_MODULES = {
    "lamina.api": "compare fit load resume tune",
    "lamina.data.gather": "gather_series",
    "lamina.errors": "LaminaError",
    "lamina.estimators": "Classifier Regressor",
    "lamina.families": "Attention Auto Boosting CatBoost Constant Convolutional Custom Ensemble ExtraTrees FeedForward Forest "
    "Hierarchical LightGBM Linear Neighbours RealMLP Recurrent Rocket Shortcut XGBoost",
    "lamina.graph.graph": "Graph",
    "lamina.graph.layers.pretrained": "register",
    "lamina.stream": "Stream",
    "lamina.tasks.metrics": "make_metric",
    "lamina.train.recipe": "Recipe",
}
_PUBLIC = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "Attention",
    "Auto",
    "Boosting",
    "CatBoost",
    "Classifier",
    "Constant",
    "Convolutional",
    "Custom",
    "Ensemble",
    "ExtraTrees",
    "FeedForward",
    "Forest",
    "Graph",
    "Hierarchical",
    "LaminaError",
    "LightGBM",
    "Linear",
    "Neighbours",
    "Recipe",
    "RealMLP",
    "Recurrent",
    "Regressor",
    "Rocket",
    "Shortcut",
    "Stream",
    "XGBoost",
    "__version__",
    "callbacks",
    "compare",
    "fit",
    "gather_series",
    "load",
    "make_metric",
    "register",
    "resume",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name == "callbacks":
        return importlib.import_module("lamina.callbacks")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'lamina' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_PUBLIC[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
