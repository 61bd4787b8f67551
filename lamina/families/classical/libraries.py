"""Gradient boosting with LightGBM, XGBoost and CatBoost, where they are installed."""

from __future__ import annotations

import importlib
import math
import tempfile
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from lamina.data.encoding import Input
from lamina.errors import ModelFileError, OptionError
from lamina.families.classical.boosting import BoostingFamily, Problem
from lamina.families.classical.matrix import all_classes, cardinalities, check_outputs, coded
from lamina.families.predictor import ArrayPredictor, Predictor
from lamina.options import option
from lamina.stored import check_codes


def library(name: str) -> Any:
    """The imported library.

    Raises:
        OptionError: It cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise OptionError(
            f"the family {name!r} needs {name}, which cannot be imported here ({error}); "
            f"pip install {name}, or use family='boosting'"
        ) from error


@dataclass
class LibraryBoosting(BoostingFamily):
    """Base of the families of other libraries."""

    trees: ClassVar[type[LibraryTrees]]

    def boost(self, problem: Problem) -> np.ndarray:
        return np.frombuffer(bytearray(self.train(library(self.name), problem)), dtype=np.uint8)

    def predictor(self, models: Sequence[Any], problem: Problem) -> Predictor:
        return self.trees(tuple(models), len(problem.cardinalities), problem.classes, problem.present)

    @abstractmethod
    def train(self, module: Any, problem: Problem) -> bytes:
        """Train one model; its trees up to the best iteration in the library's own format."""


@dataclass(frozen=True)
class LibraryTrees(ArrayPredictor):
    """Base of the predictors of other libraries.

    Attributes:
        raw: The models in the library's own format, one for classes or one for each value; uint8.
        categories: Number of columns that are codes of categories.
        classes: Number of classes, 0 for regression.
        present: Codes of the classes among the training rows.
    """

    raw: tuple[np.ndarray, ...]
    categories: int
    classes: int
    present: tuple[int, ...]
    kind: ClassVar[str]
    counted: ClassVar[str] = "bytes"
    saved_as: ClassVar[Mapping[str, str]] = {"present": "known"}

    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        import torch

        X, threads = coded(blocks), torch.get_num_threads()
        if not rows:
            return np.empty((0, self.classes or len(self.raw)))
        module = library(self.kind)
        outputs = [np.asarray(self.predict(module, model, X, threads), dtype=np.float64) for model in self._models]
        if not self.classes:
            return np.stack([values.reshape(-1) for values in outputs], axis=1)
        shares = outputs[0] if outputs[0].ndim == 2 else np.stack([1 - outputs[0], outputs[0]], axis=1)
        return all_classes(shares / shares.sum(1, keepdims=True), self.present, self.classes)

    def check(self, inputs: Mapping[str, Input], outputs: int) -> None:
        if self.classes:
            check_codes("the codes of the classes", self.present, self.classes)
        check_outputs(outputs if self.classes else len(self.raw), None, self.classes, outputs)
        if not self.raw or self.categories != len(cardinalities(inputs)):
            raise ModelFileError(f"the predictor reads {self.categories} categories, the encoder has {cardinalities(inputs)}")

    @abstractmethod
    def read(self, module: Any, raw: bytes) -> Any:
        """The library's model."""

    @abstractmethod
    def predict(self, module: Any, model: Any, X: np.ndarray, threads: int) -> Any:
        """Class probabilities (N, classes), probabilities of the second of two classes (N,), or values (N,)."""

    def size(self) -> int:
        return sum(map(len, self.raw))

    def saved(self) -> dict[str, Any]:
        values = super().saved()
        return {**{f"model{number}": raw for number, raw in enumerate(values.pop("raw"))}, **values}

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> Self:
        count = sum(name.startswith("model") for name in values)
        predictor = super().restored({**values, "raw": tuple(values[f"model{number}"] for number in range(count))})
        _ = predictor._models  # a missing library is an error now, not at the first prediction
        return predictor

    @cached_property
    def _models(self) -> list[Any]:
        module = library(self.kind)
        return [self.read(module, raw.tobytes()) for raw in self.raw]


@dataclass(frozen=True)
class LightGBMTrees(LibraryTrees):
    """Predictor of LightGBM."""

    kind: ClassVar[str] = "lightgbm"

    def read(self, module: Any, raw: bytes) -> Any:
        return module.Booster(model_str=raw.decode())

    def predict(self, module: Any, model: Any, X: np.ndarray, threads: int) -> Any:
        return model.predict(X, num_threads=threads)


@dataclass
class LightGBM(LibraryBoosting):
    """Gradient boosting with LightGBM (Ke et al. 2017, "LightGBM: A Highly Efficient Gradient Boosting Decision Tree").

    Missing values and categories are native; early stopping on the validation rows.
    """

    name: ClassVar[str] = "lightgbm"
    needs: ClassVar[str | None] = "lightgbm"
    trees: ClassVar[type[LibraryTrees]] = LightGBMTrees

    max_leaf_nodes: int = option(31, "maximum number of leaves of a tree", low=2, high=100_000, tune=(4, 256, "log"))
    min_samples_leaf: int = option(20, "minimum number of rows in a leaf", low=1, high=1_000_000, tune=(2, 200, "log"))

    def train(self, module: Any, problem: Problem) -> bytes:
        params = {
            "objective": {0: "regression", 2: "binary"}.get(len(problem.present), "multiclass"),
            "num_class": len(problem.present) if len(problem.present) > 2 else 1,
            "learning_rate": self.learning_rate,
            "num_leaves": self.max_leaf_nodes,
            "min_data_in_leaf": self.min_samples_leaf,
            "num_threads": problem.threads,
            "seed": problem.seed % 2**31,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        X, y, weight = problem.train
        categories = list(range(len(problem.cardinalities)))
        train = module.Dataset(X, y, weight=weight, categorical_feature=categories, params={"verbosity": -1})
        sets, callbacks = [], []
        if problem.validation:
            X, y, weight = problem.validation
            sets = [train.create_valid(X, y, weight=weight)]
            callbacks = [module.early_stopping(self.patience, verbose=False)]

        def stop_in_time(env: Any) -> None:
            if time.monotonic() > problem.deadline:
                raise module.callback.EarlyStopException(env.iteration, env.evaluation_result_list or [])

        callbacks.append(stop_in_time)
        booster = module.train(params, train, num_boost_round=problem.max_iter, valid_sets=sets, callbacks=callbacks)
        return booster.model_to_string(num_iteration=booster.best_iteration).encode()


@dataclass(frozen=True)
class XGBoostTrees(LibraryTrees):
    """Predictor of XGBoost."""

    kind: ClassVar[str] = "xgboost"

    def read(self, module: Any, raw: bytes) -> Any:
        booster = module.Booster()
        booster.load_model(bytearray(raw))
        return booster

    def predict(self, module: Any, model: Any, X: np.ndarray, threads: int) -> Any:
        model.set_param({"nthread": threads})
        return model.predict(_dmatrix(module, X, categories=self.categories, threads=threads))


@dataclass
class XGBoost(LibraryBoosting):
    """Gradient boosting with XGBoost (Chen & Guestrin 2016, https://doi.org/10.1145/2939672.2939785), on histograms.

    Missing values and categories are native; early stopping on the validation rows.
    """

    name: ClassVar[str] = "xgboost"
    needs: ClassVar[str | None] = "xgboost"
    trees: ClassVar[type[LibraryTrees]] = XGBoostTrees

    max_depth: int = option(6, "maximum depth of a tree", low=1, high=1_000, tune=(3, 10))

    def train(self, module: Any, problem: Problem) -> bytes:
        params = {
            "objective": {0: "reg:squarederror", 2: "binary:logistic"}.get(len(problem.present), "multi:softprob"),
            "eta": self.learning_rate,
            "max_depth": self.max_depth,
            "tree_method": "hist",
            "nthread": problem.threads,
            "seed": problem.seed % 2**31,
            "verbosity": 0,
            **({"num_class": len(problem.present)} if len(problem.present) > 2 else {}),
        }
        common = {"categories": len(problem.cardinalities), "threads": problem.threads}
        train = _dmatrix(module, *problem.train, **common)

        class StopInTime(module.callback.TrainingCallback):
            def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
                return time.monotonic() > problem.deadline

        if not problem.validation:
            return bytes(module.train(params, train, problem.max_iter, callbacks=[StopInTime()]).save_raw("ubj"))
        evals = [(_dmatrix(module, *problem.validation, **common), "validation")]
        callbacks = [module.callback.EarlyStopping(rounds=self.patience), StopInTime()]  # after one that stops none is called
        booster = module.train(params, train, problem.max_iter, evals=evals, verbose_eval=False, callbacks=callbacks)
        return bytes(booster[: booster.best_iteration + 1].save_raw("ubj"))


def _dmatrix(module: Any, X: np.ndarray, y: Any = None, weight: Any = None, *, categories: int, threads: int) -> Any:
    types = ["c" if place < categories else "q" for place in range(X.shape[1])]
    return module.DMatrix(X, y, weight=weight, feature_types=types, enable_categorical=True, nthread=threads)


@dataclass(frozen=True)
class CatBoostTrees(LibraryTrees):
    """Predictor of CatBoost."""

    kind: ClassVar[str] = "catboost"

    def read(self, module: Any, raw: bytes) -> Any:
        return module.CatBoost().load_model(blob=raw)

    def predict(self, module: Any, model: Any, X: np.ndarray, threads: int) -> Any:
        kind = "Probability" if self.classes else "RawFormulaVal"
        pool = _pool(module, X, categories=self.categories)
        return model.predict(pool, prediction_type=kind, thread_count=threads)


@dataclass
class CatBoost(LibraryBoosting):
    """Gradient boosting with CatBoost (Prokhorenkova et al. 2018, "CatBoost: unbiased boosting with categorical features").

    Categories are encoded by ordered target statistics: the mean target of the preceding rows in a random order. Early stopping
    on the validation rows.
    """

    name: ClassVar[str] = "catboost"
    needs: ClassVar[str | None] = "catboost"
    trees: ClassVar[type[LibraryTrees]] = CatBoostTrees

    max_depth: int = option(6, "maximum depth of a tree", low=1, high=16, tune=(3, 10))

    def train(self, module: Any, problem: Problem) -> bytes:
        params = {
            "loss_function": {0: "RMSE", 2: "Logloss"}.get(len(problem.present), "MultiClass"),
            "iterations": problem.max_iter,
            "learning_rate": self.learning_rate,
            "depth": self.max_depth,
            "thread_count": problem.threads,
            "random_seed": problem.seed % 2**31,
            "allow_writing_files": False,
            "logging_level": "Silent",
        }
        stopping = {}
        if problem.validation:
            validation = _pool(module, *problem.validation, categories=len(problem.cardinalities))
            stopping = {"eval_set": validation, "use_best_model": True, "early_stopping_rounds": self.patience}
        if math.isfinite(problem.deadline):
            stopping["callbacks"] = [_InTime(problem.deadline)]
        model = module.CatBoost(params)
        model.fit(_pool(module, *problem.train, categories=len(problem.cardinalities)), **stopping)
        with tempfile.TemporaryDirectory() as folder:  # CatBoost saves to files only
            path = Path(folder) / "model.cbm"
            model.save_model(str(path))
            return path.read_bytes()


@dataclass(frozen=True)
class _InTime:
    """CatBoost's callback that ends a fit at the deadline."""

    deadline: float

    def after_iteration(self, info: Any) -> bool:
        return time.monotonic() < self.deadline


def _pool(module: Any, X: np.ndarray, y: Any = None, weight: Any = None, *, categories: int) -> Any:
    codes = X[:, :categories].astype(np.int64).astype(bytes).astype(object)
    numbers = np.ascontiguousarray(X[:, categories:])
    data = module.FeaturesData(
        num_feature_data=numbers if numbers.shape[1] else None, cat_feature_data=codes if categories else None
    )
    return module.Pool(data, y, weight=weight)
