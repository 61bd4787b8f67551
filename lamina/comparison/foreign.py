"""Candidates that are no families of lamina: scikit-learn estimators and pipelines.

The worker processes get them as a pickle. The run has it too, so that the comparison can be resumed, with a seal: a pickle runs
code when it is read, so :func:`lamina.resume` reads only those that the same account has written. ``.lamina`` files have none.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import hmac
import io
import math
import os
import pickle
import re
import secrets
import tempfile
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.utils import get_tags

from lamina.errors import OptionError, RunError
from lamina.estimator import Estimator
from lamina.options import shortened
from lamina.tasks.task import Task

ESTIMATOR = "estimator"
"""The name of such a candidate in place of that of a family."""
_HIDDEN = ("pickle", "seal")
_MOST_TEXT = 200


@dataclass(frozen=True)
class Sealed:
    """The candidate of a run, as JSON: its seal is checked before a comparison that is resumed reads the pickle."""

    family: dict[str, Any]
    folder: Path


def family_of(estimator: Any, title: str, task: Task) -> dict[str, Any]:
    """A candidate as JSON: class and parameters for people and for comparison, and the sealed pickle of an unfitted clone.

    Raises:
        OptionError: The object is no estimator, is for another task, or cannot be pickled.
        RunError: It is that of a run, whose pickle this account has not written, or whose module cannot be imported.
    """
    if isinstance(estimator, Sealed):
        return _unsealed(estimator, title)
    named = f"candidate {title!r} is"
    if isinstance(estimator, type):
        raise OptionError(f"{named} the class {estimator.__name__}, expected an instance: {estimator.__name__}()")
    if not all(hasattr(type(estimator), name) for name in ("fit", "predict", "get_params")):  # some objects have it once fitted
        raise OptionError(
            f"{named} {shortened(estimator)}, expected the name of a family, a family such as lamina.Forest(), or a "
            "scikit-learn classifier or regressor: an object with fit, predict and get_params"
        )
    try:
        unfitted, kind = clone(estimator), get_tags(estimator).estimator_type
    except Exception as error:  # whatever its constructor or get_params raises
        raise OptionError(
            f"{named} {shortened(estimator)}, which scikit-learn cannot clone: {_line(error)}; derive its class from "
            "sklearn.base.BaseEstimator, with all arguments of __init__ as attributes"
        ) from error
    if kind not in (None, task.estimator.lower()):
        class_name = type(estimator).__name__
        raise OptionError(
            f"{named} a {kind.replace('_', ' ')}, {class_name}, but the task is {task.title}; give a {task.estimator.lower()}, "
            "or name the task: task='classification' or task='regression'"
        )
    data = _pickled((unfitted, get_config()), named)
    pickled = {"pickle": base64.b64encode(data).decode(), "seal": _seal(data)}
    return {"name": ESTIMATOR, **described_value(unfitted), **pickled}


def own_family(estimator: Any, task: Task) -> Any:
    """The family of an estimator of lamina for the task that has no other options; anything else as it is."""
    if not isinstance(estimator, Estimator) or type(estimator).__name__ != task.estimator:
        return estimator
    params, default = (described_value(each)["params"] for each in (estimator, type(estimator)()))
    same = all(params[name] == value for name, value in default.items() if name not in ("family", "random_state"))
    return estimator.family if same else estimator


def load(family: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The estimator of a candidate, and scikit-learn's configuration where it was given, for ``sklearn.config_context``.

    Raises:
        OptionError: A module or class of it is not there.
    """
    try:
        return pickle.loads(base64.b64decode(family["pickle"]))
    except Exception as error:  # whatever an import raises
        raise OptionError(
            f"{family['class']} cannot be loaded: {_line(error)}; make its module importable, with PYTHONPATH or as an "
            "installed package"
        ) from error


def _unsealed(candidate: Sealed, title: str) -> dict[str, Any]:
    family = candidate.family
    try:
        seal = _seal(base64.b64decode(family["pickle"]))
        known = bool(seal) and hmac.compare_digest(family["seal"], seal)
    except (KeyError, TypeError, ValueError):
        known = False
    if not known:
        raise RunError(
            f"candidate {title!r} of the comparison in {candidate.folder} is a pickle that this account has not written here, "
            "and reading one runs code; repeat the call of lamina.compare with the estimator, which resumes it, too"
        )
    try:
        load(family)  # before anything is fitted
    except OptionError as error:
        raise RunError(f"candidate {title!r} of the comparison in {candidate.folder}: {error}") from error
    return family


def is_foreign(family: Mapping[str, Any]) -> bool:
    """Whether a candidate as JSON is no family of lamina."""
    return family["name"] == ESTIMATOR


def described(families: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The families of candidates as JSON for people and for comparison: without pickles."""
    return {title: {name: v for name, v in family.items() if name not in _HIDDEN} for title, family in families.items()}


def described_value(value: Any) -> Any:
    """A parameter of an estimator as JSON that is equal for equal parameters, also in another process.

    Example:
        >>> from sklearn.svm import LinearSVC
        >>> described_value(LinearSVC(C=2.0))["params"]["C"], described_value(np.log1p)
        (2.0, 'numpy.log1p')
    """
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [described_value(item) for item in value]
    if isinstance(value, dict):
        return {str(name): described_value(item) for name, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(str(described_value(item)) for item in value)
    if isinstance(value, np.ndarray):
        return described_value(value.tolist()) if value.dtype == object else f"array {value.shape} {_digest(value.tobytes())}"
    if hasattr(value, "get_params") and not isinstance(value, type):
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        return {"class": name, "params": described_value(value.get_params(deep=False))}
    if isinstance(value, functools.partial):
        return {"partial": described_value(value.func), "params": described_value([value.args, value.keywords])}
    if hasattr(value, "__name__"):
        module = getattr(value, "__module__", None) or type(value).__module__
        return f"{module}.{getattr(value, '__qualname__', value.__name__)}"
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    return text if len(text) <= _MOST_TEXT else f"{type(value).__name__} {_digest(text.encode())}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> None:
        """Refuse what the worker processes cannot import; raises PicklingError."""
        if isinstance(obj, type | types.FunctionType) and obj.__module__ == "__main__":
            what = "class" if isinstance(obj, type) else "function"
            raise pickle.PicklingError(f"the {what} {obj.__name__} is defined in the script or notebook itself")


def _pickled(content: tuple[Any, dict[str, Any]], named: str) -> bytes:
    file = io.BytesIO()
    try:
        _Pickler(file, protocol=5).dump(content)
    except Exception as error:  # whatever its __reduce__ raises
        raise OptionError(
            f"{named} {type(content[0]).__name__}, which cannot be sent to the worker processes: {_line(error)}; define it at "
            "the top level of a module, a .py file, and import it from there"
        ) from error
    return file.getvalue()


def _seal(data: bytes) -> str:
    """The code that only this account makes for these bytes; "" where it has no place for its key."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lamina"
    try:
        if not (folder / "run-key").exists():
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder) as file:  # only this account can read it
                file.write(secrets.token_bytes(32))
                file.flush()
                with contextlib.suppress(FileExistsError):  # of several processes, one creates it, and whole
                    os.link(file.name, folder / "run-key")
        return hmac.new((folder / "run-key").read_bytes(), data, hashlib.sha256).hexdigest()
    except (OSError, RuntimeError):  # no home
        return ""


def _line(error: BaseException) -> str:
    """The type and the first line of an error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
