"""Option names of earlier versions, renamed when an old model file or run is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXTS = {"vocabulary": "vocabulary_size"}
_TREES = {**_TEXTS, "leaf": "min_samples_leaf", "depth": "max_depth", "rounds": "max_iter", "leaves": "max_leaf_nodes"}
_NETWORK = {
    **_TEXTS,
    "length": "max_length",
    "embedding_size": "number_embedding_dim",
    "category_size": "category_embedding_dim",
    "token_size": "embedding_dim",
    "joined": "joint_size",
    "vectors": "word_vectors",
    "image_part": "backbone",
    "frozen": "freeze_backbone",
}
#: The options of each family that were renamed after 0.1.0, old name to new.
RENAMED: dict[str, dict[str, str]] = {
    "feedforward": {**_NETWORK, "hidden": "hidden_sizes"},
    "shortcut": {**_NETWORK, "blocks": "num_blocks", "width": "hidden_size", "inner": "inner_size"},
    "convolutional": {**_NETWORK, "design": "architecture", "windows": "kernel_sizes", "features": "filters"},
    "recurrent": {**_NETWORK, "hidden": "hidden_sizes"},
    "attention": {
        **_NETWORK,
        "blocks": "num_layers",
        "width": "hidden_size",
        "heads": "num_heads",
        "inner": "mlp_ratio",
        "patch": "patch_size",
    },
    "hierarchical": {**_NETWORK, "width": "hidden_size", "heads": "num_heads"},
    "forest": {**_TREES, "trees": "n_estimators", "subset": "max_features"},
    "boosting": {**_TREES, "l2": "l2_regularization"},
    **dict.fromkeys(("lightgbm", "xgboost", "catboost"), _TREES),
    "linear": {**_TEXTS, "penalty": "alpha"},
    "neighbours": {**_TEXTS, "k": "n_neighbors", "memory": "max_rows"},
}
RENAMED["auto"] = RENAMED["feedforward"] | RENAMED["convolutional"] | RENAMED["attention"]
RECIPE = {"averaging": "ema_decay"}


def renamed(content: Mapping[str, Any], family: str = "") -> dict[str, Any]:
    """A model card, or the settings of a fit or comparison, with the current option names.

    Args:
        content: The JSON of a file or run; ``family``, ``recipe`` and ``settings`` in it are renamed.
        family: Name of the family, where its options do not include it.

    Example:
        >>> renamed({"family": {"name": "forest", "trees": 50}, "recipe": {"averaging": None}})
        {'family': {'name': 'forest', 'n_estimators': 50}, 'recipe': {'ema_decay': None}}
    """
    content = dict(content)
    if isinstance(options := content.get("family"), Mapping):
        content["family"] = _with(options, RENAMED.get(options.get("name", family), {}))
    if isinstance(recipe := content.get("recipe"), Mapping):
        content["recipe"] = _with(recipe, RECIPE)
    if isinstance(settings := content.get("settings"), Mapping):
        content["settings"] = renamed(settings, family)
    return content


def _with(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in options.items()}
