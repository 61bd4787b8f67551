"""Peers for images, texts and series: bare PyTorch, Keras on JAX, and linear models as baselines.

Every peer is imported before its clock starts and is trained on class codes. The networks train with Adam at 1e-3 and batches
of 64.

- *LeNet-5* (the modern form of LeCun et al. 1998: relu, max pooling, dense outputs): 28 x 28 padded to 32 x 32.
- *convolution* and *LSTM*, for texts (20,000 words, embeddings of 64, the first 400 words) and series (standardised, padded):
  two convolutions with 64 filters and kernel size 5, global max pooling; or one LSTM of 64 cells, its last state. Early
  stopping with patience 5 on 15 % of the training rows, at most 60 epochs, the best weights kept.
- *TF-IDF + logistic regression, + linear SVM*: scikit-learn's defaults but for sublinear counts and word pairs.
- *summary + logistic regression*: mean, deviation, smallest, largest and quartiles of each channel, and its length.
"""

from __future__ import annotations

import collections
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.datasets import Rows
from benchmarks.peers import LEARNING_RATE, VALIDATION

BATCH_SIZE, EPOCHS, PATIENCE = 64, 60, 5
VOCABULARY, LENGTH, WIDTH = 20_000, 400, 64
LENET_PARAMETERS = 61_706
#: Called after each epoch with what it takes to predict; true ends training.
Watch = Callable[[Callable[[Any], np.ndarray]], bool]


class Net(ABC):
    """A network on arrays. ``recurrent`` is for sequences; images get LeNet-5.

    After :meth:`fit`, ``train_seconds`` is the time in training epochs alone, ``epochs`` their number.
    """

    def __init__(self, classes: int, *, recurrent: bool = False, seed: int = 0, epochs: int = EPOCHS) -> None:
        self.classes, self.recurrent, self.seed, self.most = classes, recurrent, seed, epochs
        self.train_seconds, self.epochs, self.parameters = 0.0, 0, 0
        self.prepare()

    @abstractmethod
    def prepare(self) -> None:
        """Import the library."""

    @abstractmethod
    def fit(self, X: np.ndarray, y: np.ndarray, watch: Watch | None = None) -> None:
        """Train. With ``watch`` on all rows until it returns True, else with early stopping."""

    @abstractmethod
    def predict(self, X: np.ndarray) -> np.ndarray:
        """Scores (N, classes)."""


class TorchNet(Net):
    """Bare PyTorch, eager, one gather per step."""

    def prepare(self) -> None:
        import torch

        self.torch = torch

    def build(self, X: np.ndarray) -> Any:
        nn = self.torch.nn
        if X.ndim == 3 and X.dtype == np.uint8:
            body = [nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
            return nn.Sequential(
                *body,
                nn.Conv2d(16, 120, 5),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(120, 84),
                nn.ReLU(),
                nn.Linear(84, self.classes),
            )
        return _torch_sequence(self.torch, X, self.classes, self.recurrent)

    def fit(self, X: np.ndarray, y: np.ndarray, watch: Watch | None = None) -> None:
        torch = self.torch
        torch.manual_seed(self.seed)
        self.net = self.build(X)
        self.images = _Images(X) if X.dtype == np.uint8 else None
        self.parameters = sum(part.numel() for part in self.net.parameters())
        optimizer = torch.optim.Adam(self.net.parameters(), lr=LEARNING_RATE)
        rows, validation_rows = _held_out(y, self.seed, watch)
        inputs, target = self._tensor(X[rows]), torch.from_numpy(y[rows])
        best, since, weights = -1.0, 0, None
        for _ in range(self.most):
            self.epochs += 1
            started = time.perf_counter()
            self.net.train()
            for batch in torch.randperm(len(target)).split(BATCH_SIZE):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(self.net(inputs[batch]), target[batch]).backward()
                optimizer.step()
            self.train_seconds += time.perf_counter() - started
            if watch is not None:
                if watch(self.predict):
                    return
                continue
            right = float((self.predict(X[validation_rows]).argmax(1) == y[validation_rows]).mean())
            since += 1
            if right > best:
                best, since = right, 0
                weights = {name: value.clone() for name, value in self.net.state_dict().items()}
            if since >= PATIENCE:
                break
        if weights is not None:
            self.net.load_state_dict(weights)

    def predict(self, X: np.ndarray) -> np.ndarray:
        self.net.eval()
        with self.torch.no_grad():
            return np.concatenate([self.net(part).numpy() for part in self._tensor(X).split(1024)])

    def _tensor(self, X: np.ndarray) -> Any:
        return self.torch.from_numpy(X if self.images is None else self.images(X)[:, None])


def _torch_sequence(torch: Any, X: np.ndarray, classes: int, recurrent: bool) -> Any:
    nn = torch.nn

    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(int(X.max()) + 1, WIDTH, padding_idx=0) if X.ndim == 2 else None
            width = WIDTH if X.ndim == 2 else X.shape[2]
            self.lstm = nn.LSTM(width, WIDTH, batch_first=True) if recurrent else None
            self.first, self.second = nn.Conv1d(width, WIDTH, 5, padding=2), nn.Conv1d(WIDTH, WIDTH, 5, padding=2)
            self.head = nn.Linear(WIDTH, classes)
            if recurrent:
                del self.first, self.second

        def forward(self, x: Any) -> Any:
            there = x != 0 if x.dim() == 2 else (x != 0).any(2)
            x = x if self.embedding is None else self.embedding(x)
            if self.lstm is None:
                y = torch.relu(self.first(x.transpose(1, 2))) * there[:, None]
                return self.head((torch.relu(self.second(y)) * there[:, None]).amax(2))
            lengths = there.sum(1).clamp_min(1)  # padding is at the end
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            return self.head(self.lstm(packed)[1][0][0])

    return Sequence()


class KerasNet(Net):
    """Keras 3 on JAX, as ``model.fit`` compiles it by default."""

    def prepare(self) -> None:
        import keras

        self.keras = keras

    def build(self, X: np.ndarray) -> Any:
        keras, layers = self.keras, self.keras.layers
        if X.ndim == 3 and X.dtype == np.uint8:
            body = [layers.Conv2D(6, 5, activation="relu"), layers.MaxPooling2D(2), layers.Conv2D(16, 5, activation="relu")]
            body += [layers.MaxPooling2D(2), layers.Conv2D(120, 5, activation="relu"), layers.Flatten()]
            body += [layers.Dense(84, activation="relu"), layers.Dense(self.classes)]
            return keras.Sequential([keras.Input((32, 32, 1)), *body])
        begin: list[Any] = [keras.Input(X.shape[1:])]
        if X.ndim == 2:
            begin.append(layers.Embedding(int(X.max()) + 1, WIDTH, mask_zero=self.recurrent))
        elif self.recurrent:
            begin.append(layers.Masking())
        if self.recurrent:
            return keras.Sequential([*begin, layers.LSTM(WIDTH), layers.Dense(self.classes)])
        body = [layers.Conv1D(WIDTH, 5, padding="same", activation="relu") for _ in range(2)]
        return keras.Sequential([*begin, *body, layers.GlobalMaxPooling1D(), layers.Dense(self.classes)])

    def fit(self, X: np.ndarray, y: np.ndarray, watch: Watch | None = None) -> None:
        keras = self.keras
        keras.utils.set_random_seed(self.seed)
        self.model = self.build(X)
        self.images = _Images(X) if X.dtype == np.uint8 else None
        self.parameters = self.model.count_params()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(keras.optimizers.Adam(LEARNING_RATE), loss, metrics=["accuracy"])
        rows, validation_rows = _held_out(y, self.seed, watch)
        spent: list[float] = []

        def end(epoch: int, logs: Any) -> None:
            spent[-1] += time.perf_counter()
            if watch is not None and watch(self.predict):
                self.model.stop_training = True

        def begin(epoch: int, logs: Any) -> None:
            spent.append(-time.perf_counter())

        callbacks: list[Any] = [keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end)]
        validation = None
        if watch is None:
            validation = (self._array(X[validation_rows]), y[validation_rows])
            callbacks.append(
                keras.callbacks.EarlyStopping("val_accuracy", mode="max", patience=PATIENCE, restore_best_weights=True)
            )
        self.model.fit(
            self._array(X[rows]),
            y[rows],
            batch_size=BATCH_SIZE,
            epochs=self.most,
            validation_data=validation,
            callbacks=callbacks,
            verbose=0,
        )
        self.epochs, self.train_seconds = len(spent), sum(spent)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.model.predict(self._array(X), batch_size=1024, verbose=0)

    def _array(self, X: np.ndarray) -> np.ndarray:
        return X if self.images is None else self.images(X)[..., None]


class _Images:
    """Gray images standardised by the training rows, and padded to 32 x 32 with black."""

    def __init__(self, X: np.ndarray) -> None:
        self.mean, self.deviation = float(X.mean()), float(X.std())

    def __call__(self, X: np.ndarray) -> np.ndarray:
        edge = [(32 - side) // 2 for side in X.shape[1:]]
        padded = np.pad(X, [(0, 0), *((size, size) for size in edge)])
        return (padded.astype(np.float32) - self.mean) / self.deviation


def _held_out(y: np.ndarray, seed: int, watch: Watch | None) -> tuple[Any, Any]:
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(y))
    return (rows, rows[:0]) if watch else train_test_split(rows, test_size=VALIDATION, stratify=y, random_state=seed)


# ---------------------------------------------------------------- from rows to arrays
class Words:
    """Texts as codes: the most frequent words, 0 for padding, 1 for unknown words."""

    def __init__(self, texts: list[str]) -> None:
        counts = collections.Counter(word for text in texts for word in self.cut(text))
        self.codes = {word: code for code, (word, _) in enumerate(counts.most_common(VOCABULARY - 2), 2)}

    @staticmethod
    def cut(text: str) -> list[str]:
        return re.findall(r"\w+|[^\w\s]", text.lower())[:LENGTH]

    def __call__(self, texts: list[str]) -> np.ndarray:
        cut = [[self.codes.get(word, 1) for word in self.cut(text)] for text in texts]
        X = np.zeros((len(cut), LENGTH), dtype=np.int64)
        for row, codes in zip(X, cut, strict=True):
            row[: len(codes)] = codes
        return X


class Steps:
    """Series standardised channel by channel and padded with zeros to the longest training one."""

    def __init__(self, series: list[np.ndarray]) -> None:
        every = np.concatenate(series)
        self.mean, self.deviation = every.mean(0), every.std(0) + 1e-8
        self.longest = max(map(len, series))

    def __call__(self, series: list[np.ndarray]) -> np.ndarray:
        X = np.zeros((len(series), self.longest, len(self.mean)), dtype=np.float32)
        for row, values in zip(X, series, strict=True):
            values = values[: self.longest]
            row[: len(values)] = (values - self.mean) / self.deviation
        return X


def summary(series: list[np.ndarray]) -> np.ndarray:
    """Statistics of each channel, and the length.

    Example:
        >>> summary([np.array([[1.0], [3.0]])]).round(2).tolist()
        [[2.0, 1.0, 1.0, 3.0, 1.5, 2.5, 2.0]]
    """
    return np.array(
        [
            np.concatenate([x.mean(0), x.std(0), x.min(0), x.max(0), *np.quantile(x, [0.25, 0.75], axis=0), [len(x)]])
            for x in series
        ]
    )


# ---------------------------------------------------------------- by name
def linear(name: str, seed: int) -> Any:
    """The scikit-learn pipeline of that name."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler
    from sklearn.svm import LinearSVC

    if name.startswith("summary"):
        return make_pipeline(FunctionTransformer(summary), StandardScaler(), LogisticRegression(max_iter=1000))
    model = LogisticRegression(C=10, max_iter=1000) if "logistic" in name else LinearSVC(random_state=seed)
    return make_pipeline(TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)), model)


NETS: dict[str, type[Net]] = {"PyTorch": TorchNet, "Keras on JAX": KerasNet}
LINEAR = {
    "image": (),
    "text": ("TF-IDF + logistic regression", "TF-IDF + linear SVM"),
    "series": ("summary + logistic regression",),
}
#: What is measured on each kind besides lamina. LeNet-5 is for gray images.
MEDIA_PEERS = {
    "image": tuple(f"LeNet-5, {net}" for net in NETS),
    **{
        kind: (*LINEAR[kind], *(f"{net_kind}, {net}" for net_kind in ("convolution", "LSTM") for net in NETS))
        for kind in ("text", "series")
    },
}


def fit_peer(name: str, kind: str, train: Rows, seed: int) -> Callable[[Any], np.ndarray]:
    """Fit the peer of that name; returns a function that predicts classes."""
    if name in LINEAR[kind]:
        model = linear(name, seed)
        model.fit(train.values, train.labels)
        return model.predict
    classes, codes = np.unique(train.labels, return_inverse=True)
    net = NETS[name.partition(", ")[2]](len(classes), recurrent=name.startswith("LSTM"), seed=seed)
    encode: Any = {"image": lambda values: lambda x: x, "text": Words, "series": Steps}[kind](train.values)
    net.fit(encode(train.values), codes)
    return lambda values: classes[net.predict(encode(values)).argmax(1)]
