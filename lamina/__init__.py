"""lamina: deep learning, explained."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lamina import callbacks
    from lamina.api import compare, fit, load, resume
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
        FeedForward,
        Forest,
        Hierarchical,
        LightGBM,
        Linear,
        Neighbours,
        Recurrent,
        Shortcut,
        XGBoost,
    )
    from lamina.stream import Stream
    from lamina.train.recipe import Recipe

# Public names and where they live: imported when first asked for, so that `import lamina` loads no torch.
_PUBLIC = {
    "compare": "lamina.api",
    "fit": "lamina.api",
    "load": "lamina.api",
    "resume": "lamina.api",
    "Classifier": "lamina.estimators",
    "Regressor": "lamina.estimators",
    "gather_series": "lamina.data.gather",
    "Auto": "lamina.families",
    "FeedForward": "lamina.families",
    "Forest": "lamina.families",
    "Boosting": "lamina.families",
    "Linear": "lamina.families",
    "Neighbours": "lamina.families",
    "Constant": "lamina.families",
    "LightGBM": "lamina.families",
    "XGBoost": "lamina.families",
    "CatBoost": "lamina.families",
    "Shortcut": "lamina.families",
    "Convolutional": "lamina.families",
    "Recurrent": "lamina.families",
    "Attention": "lamina.families",
    "Hierarchical": "lamina.families",
    "Recipe": "lamina.train.recipe",
    "Stream": "lamina.stream",
    "LaminaError": "lamina.errors",
}

__all__ = [
    "Attention",
    "Auto",
    "Boosting",
    "CatBoost",
    "Classifier",
    "Constant",
    "Convolutional",
    "FeedForward",
    "Forest",
    "Hierarchical",
    "LaminaError",
    "LightGBM",
    "Linear",
    "Neighbours",
    "Recipe",
    "Recurrent",
    "Regressor",
    "Shortcut",
    "Stream",
    "XGBoost",
    "__version__",
    "callbacks",
    "compare",
    "fit",
    "gather_series",
    "load",
    "resume",
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
