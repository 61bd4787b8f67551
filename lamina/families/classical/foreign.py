"""Gradient boosting by LightGBM, XGBoost and CatBoost, where a person has them."""

from __future__ import annotations

import importlib
import tempfile
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from lamina.errors import OptionError
from lamina.families.classical.boosting import UNWATCHED, BoostingFamily, problems
from lamina.families.classical.family import Fitting, Rows
from lamina.families.classical.matrix import all_classes, cardinalities, coded
from lamina.families.predictor import Predictor
from lamina.options import option

if TYPE_CHECKING:
    import torch


def library(name: str) -> Any:
    """The library of that name.

    Raises:
        OptionError: It is not installed, or not as a whole.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise OptionError(
            f"the family {name!r} needs {name}, which cannot be imported here ({error}); "
            f"pip install {name}, or take family='boosting'"
        ) from error


@dataclass(frozen=True)
class Part:
    """Rows to learn one thing from, and others that say when to stop (None if there are none)."""

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    held: tuple[np.ndarray, np.ndarray, np.ndarray | None] | None
    categories: int
    classes: int


@dataclass
class ForeignFamily(BoostingFamily):
    """Base of the families of other libraries."""

    predictor: ClassVar[type[Foreign]]

    def boost(self, rows: Rows, held: Rows, how: Fitting) -> Predictor:
        module = library(str(self.needs))
        X, X_held, sizes = coded(rows.blocks), coded(held.blocks), cardinalities(rows.inputs)
        known = np.unique(rows.target) if rows.classes else np.empty(0, dtype=np.int64)
        tasks, raw = problems(rows, held), []
        for target, target_held, usable in tasks:
            if len(known):
                target, target_held = np.searchsorted(known, target), np.searchsorted(known, target_held)
            weight = None if held.weight is None else held.weight[usable]
            watched = (X_held[usable], target_held[usable], weight) if usable.any() else None
            part = Part(X, target, rows.weight, watched, len(sizes), len(known))
            rounds = self.max_iter if watched else min(self.max_iter, UNWATCHED)
            raw.append(np.frombuffer(bytearray(self.grow(module, part, rounds, how)), dtype=np.uint8))
            how.progress(len(raw) / len(tasks))
        return self.predictor(tuple(raw), len(sizes), rows.classes, tuple(known.tolist()))

    @abstractmethod
    def grow(self, module: Any, part: Part, rounds: int, how: Fitting) -> bytes:
        """Fit one model, and give it up to its best round in the library's own format."""


@dataclass(frozen=True)
class Foreign(Predictor):
    """Base of the predictors that another library answers for.

    Attributes:
        raw: A model for each target, or one for classes, in the library's own format; uint8.
        categories: How many columns are codes of categories.
        classes: How many classes there are, 0 for values.
        known: The classes that training rows had.
    """

    raw: tuple[np.ndarray, ...]
    categories: int
    classes: int
    known: tuple[int, ...]
    kind: ClassVar[str]
    counted: ClassVar[str] = "bytes"

    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        import torch

        X, threads = coded(blocks), torch.get_num_threads()
        if not rows:
            return np.empty((0, self.classes or len(self.raw)))
        found = [np.asarray(self.ask(model, X, threads), dtype=np.float64) for model in self._models]
        if not self.classes:
            return np.stack([values.reshape(-1) for values in found], axis=1)
        shares = found[0] if found[0].ndim == 2 else np.stack([1 - found[0], found[0]], axis=1)
        return all_classes(shares / shares.sum(1, keepdims=True), self.known, self.classes)

    @abstractmethod
    def read(self, raw: bytes) -> Any:
        """The library's model."""

    @abstractmethod
    def ask(self, model: Any, X: np.ndarray, threads: int) -> Any:
        """Shares of the classes (N, classes), or of the second of two (N,); or values (N,)."""

    def size(self) -> int:
        return sum(map(len, self.raw))

    def to_json(self) -> dict[str, Any]:
        return {"categories": self.categories, "classes": self.classes, "known": list(self.known)}

    def tensors(self) -> dict[str, torch.Tensor]:
        import torch

        return {f"model{number}": torch.from_numpy(raw) for number, raw in enumerate(self.raw)}

    @classmethod
    def from_file(cls, content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        raw = tuple(tensors[f"model{number}"].numpy() for number in range(len(tensors)))
        found = cls(raw, content["categories"], content["classes"], tuple(content["known"]))
        _ = found._models  # so that a library that is missing is known at once
        return found

    @cached_property
    def _models(self) -> list[Any]:
        return [self.read(raw.tobytes()) for raw in self.raw]


@dataclass(frozen=True)
class LightGBMTrees(Foreign):
    """The predictor of LightGBM."""

    kind: ClassVar[str] = "lightgbm"

    def read(self, raw: bytes) -> Any:
        return library("lightgbm").Booster(model_str=raw.decode())

    def ask(self, model: Any, X: np.ndarray, threads: int) -> Any:
        return model.predict(X, num_threads=threads)


@dataclass
class LightGBM(ForeignFamily):
    """Gradient boosting by LightGBM (Ke et al. 2017, "LightGBM: A Highly Efficient Gradient Boosting Decision Tree").

    It takes missing values and categories as they are, and ends when the rows that validate are answered no better.
    """

    name: ClassVar[str] = "lightgbm"
    needs: ClassVar[str | None] = "lightgbm"
    predictor: ClassVar[type[Foreign]] = LightGBMTrees

    max_leaf_nodes: int = option(31, "most leaves of a tree", low=2, high=100_000)
    min_samples_leaf: int = option(20, "fewest rows in a leaf", low=1, high=1_000_000)

    def grow(self, module: Any, part: Part, rounds: int, how: Fitting) -> bytes:
        asked = {
            "objective": {0: "regression", 2: "binary"}.get(part.classes, "multiclass"),
            "num_class": part.classes if part.classes > 2 else 1,
            "learning_rate": self.learning_rate,
            "num_leaves": self.max_leaf_nodes,
            "min_data_in_leaf": self.min_samples_leaf,
            "num_threads": how.threads,
            "seed": how.seed % 2**31,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        train = module.Dataset(
            part.X, part.y, weight=part.weight, categorical_feature=list(range(part.categories)), params={"verbosity": -1}
        )
        watched = {}
        if part.held:
            X, y, weight = part.held
            watched["valid_sets"] = [train.create_valid(X, y, weight=weight)]
            watched["callbacks"] = [module.early_stopping(self.patience, verbose=False)]
        booster = module.train(asked, train, num_boost_round=rounds, **watched)
        return booster.model_to_string(num_iteration=booster.best_iteration).encode()


@dataclass(frozen=True)
class XGBoostTrees(Foreign):
    """The predictor of XGBoost."""

    kind: ClassVar[str] = "xgboost"

    def read(self, raw: bytes) -> Any:
        booster = library("xgboost").Booster()
        booster.load_model(bytearray(raw))
        return booster

    def ask(self, model: Any, X: np.ndarray, threads: int) -> Any:
        model.set_param({"nthread": threads})
        return model.predict(_matrix(library("xgboost"), X, self.categories, threads))


@dataclass
class XGBoost(ForeignFamily):
    """Gradient boosting by XGBoost (Chen & Guestrin 2016, https://doi.org/10.1145/2939672.2939785), on histograms.

    It takes missing values and categories as they are, and ends when the rows that validate are answered no better.
    """

    name: ClassVar[str] = "xgboost"
    needs: ClassVar[str | None] = "xgboost"
    predictor: ClassVar[type[Foreign]] = XGBoostTrees

    max_depth: int = option(6, "most questions from the root to a leaf", low=1, high=1_000)

    def grow(self, module: Any, part: Part, rounds: int, how: Fitting) -> bytes:
        asked = {
            "objective": {0: "reg:squarederror", 2: "binary:logistic"}.get(part.classes, "multi:softprob"),
            "eta": self.learning_rate,
            "max_depth": self.max_depth,
            "tree_method": "hist",
            "nthread": how.threads,
            "seed": how.seed % 2**31,
            "verbosity": 0,
        }
        if part.classes > 2:
            asked["num_class"] = part.classes
        train = _matrix(module, part.X, part.categories, how.threads, label=part.y, weight=part.weight)
        if not part.held:
            return bytes(module.train(asked, train, rounds).save_raw("ubj"))
        X, y, weight = part.held
        watched = [(_matrix(module, X, part.categories, how.threads, label=y, weight=weight), "held")]
        stop = {"early_stopping_rounds": self.patience, "verbose_eval": False}
        booster = module.train(asked, train, rounds, evals=watched, **stop)
        return bytes(booster[: booster.best_iteration + 1].save_raw("ubj"))


def _matrix(module: Any, X: np.ndarray, categories: int, threads: int, **more: Any) -> Any:
    kinds = ["c" if place < categories else "q" for place in range(X.shape[1])]
    return module.DMatrix(X, feature_types=kinds, enable_categorical=True, nthread=threads, **more)


@dataclass(frozen=True)
class CatBoostTrees(Foreign):
    """The predictor of CatBoost."""

    kind: ClassVar[str] = "catboost"

    def read(self, raw: bytes) -> Any:
        return library("catboost").CatBoost().load_model(blob=raw)

    def ask(self, model: Any, X: np.ndarray, threads: int) -> Any:
        kind = "Probability" if self.classes else "RawFormulaVal"
        return model.predict(_pool(library("catboost"), X, self.categories), prediction_type=kind, thread_count=threads)


@dataclass
class CatBoost(ForeignFamily):
    """Gradient boosting by CatBoost (Prokhorenkova et al. 2018, "CatBoost: unbiased boosting with categorical features").

    A category enters as what rows before this one, in a random order, answered. It ends when the rows that validate are
    answered no better.
    """

    name: ClassVar[str] = "catboost"
    needs: ClassVar[str | None] = "catboost"
    predictor: ClassVar[type[Foreign]] = CatBoostTrees

    max_depth: int = option(6, "most questions from the root to a leaf", low=1, high=16)

    def grow(self, module: Any, part: Part, rounds: int, how: Fitting) -> bytes:
        asked = {
            "loss_function": {0: "RMSE", 2: "Logloss"}.get(part.classes, "MultiClass"),
            "iterations": rounds,
            "learning_rate": self.learning_rate,
            "depth": self.max_depth,
            "thread_count": how.threads,
            "random_seed": how.seed % 2**31,
            "allow_writing_files": False,
            "logging_level": "Silent",
        }
        model = module.CatBoost(asked)
        watched = {}
        if part.held:
            X, y, weight = part.held
            held = _pool(module, X, part.categories, label=y, weight=weight)
            watched = {"eval_set": held, "use_best_model": True, "early_stopping_rounds": self.patience}
        model.fit(_pool(module, part.X, part.categories, label=part.y, weight=part.weight), **watched)
        with tempfile.TemporaryDirectory() as folder:  # it writes to files only
            path = Path(folder) / "model.cbm"
            model.save_model(str(path))
            return path.read_bytes()


def _pool(module: Any, X: np.ndarray, categories: int, **more: Any) -> Any:
    codes = X[:, :categories].astype(np.int64).astype(bytes).astype(object)
    numbers = np.ascontiguousarray(X[:, categories:])
    data = module.FeaturesData(
        num_feature_data=numbers if numbers.shape[1] else None, cat_feature_data=codes if categories else None
    )
    return module.Pool(data, **more)
