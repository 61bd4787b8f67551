"""lamina: deep learning, explained."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lamina.api import fit, load, resume
    from lamina.data.series import gather_series
    from lamina.errors import LaminaError
    from lamina.estimators import Classifier, Regressor
    from lamina.families import Attention, Convolutional, FeedForward, Hierarchical, Recurrent, Shortcut
    from lamina.stream import Stream
    from lamina.train.recipe import Recipe

# Public names and where they live: imported when first asked for, so that `import lamina` loads no torch.
_PUBLIC = {
    "fit": "lamina.api",
    "load": "lamina.api",
    "resume": "lamina.api",
    "Classifier": "lamina.estimators",
    "Regressor": "lamina.estimators",
    "gather_series": "lamina.data.series",
    "FeedForward": "lamina.families",
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
    "Classifier",
    "Convolutional",
    "FeedForward",
    "Hierarchical",
    "LaminaError",
    "Recipe",
    "Recurrent",
    "Regressor",
    "Shortcut",
    "Stream",
    "__version__",
    "fit",
    "gather_series",
    "load",
    "resume",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'lamina' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_PUBLIC[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
