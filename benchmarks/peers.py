"""The same plain network in lamina and in its peers, behind one small interface.

Every peer trains ``inputs - hidden... - outputs`` with relu, Adam at 1e-3 and shuffled mini-batches, on arrays that are already
numbers. Without ``patience`` it trains on all rows for exactly ``epochs``; with it, it stops early on a validation part of 15 %
and keeps the best weights. Each library is used as its own documentation does, and imported before the clock starts.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

LEARNING_RATE = 1e-3
VALIDATION = 0.15


@dataclass
class Peer(ABC):
    """A plain network. ``outputs`` is the number of classes, or 0 for one number (regression).

    After :meth:`fit`, ``epoch_seconds`` has the training time of each epoch where the library measures it,
    ``epoch_steps`` the steps in it where they are not rows / batch size, and ``parameters`` the number of weights, so that a
    benchmark can check that all trained the same network.
    """

    hidden: tuple[int, ...]
    outputs: int
    batch_size: int
    epochs: int
    patience: int | None = None
    seed: int = 0
    epoch_seconds: list[float] = field(default_factory=list)
    epoch_steps: int = 0
    parameters: int = 0

    def __post_init__(self) -> None:
        self.prepare()

    @abstractmethod
    def prepare(self) -> None:
        """Import the library."""

    @abstractmethod
    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        """Train; the time of each epoch is added to ``epoch_seconds``."""

    @abstractmethod
    def predict(self, X: np.ndarray) -> np.ndarray:
        """Probabilities (N, classes), or numbers (N,)."""

    def split(self, X: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
        """Training and validation rows: X, X_validation, y, y_validation."""
        if self.patience is None:
            return [X, X[:0], y, y[:0]]
        return train_test_split(X, y, test_size=VALIDATION, random_state=self.seed, stratify=y if self.outputs else None)


class Lamina(Peer):
    """lamina's plain network. It always keeps validation rows, so its steps are counted from its own history."""

    def prepare(self) -> None:
        import lamina
        import lamina.estimators

        self.lamina = lamina

    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        kind = self.lamina.Classifier if self.outputs else self.lamina.Regressor
        family, recipe = plain(self.lamina, self.hidden, self.batch_size, self.epochs, self.patience)
        self.model = kind(family=family, recipe=recipe, random_state=self.seed).fit(X, y)
        self.epoch_seconds = [epoch["train_seconds"] for epoch in self.model.history_]
        self.epoch_steps = self.model.history_[0]["steps"]
        self.parameters = self.model.model_.net.plan.parameter_count

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(X) if self.outputs else self.model.predict(X)


def plain(lamina: Any, hidden: tuple[int, ...], batch_size: int, epochs: int, patience: int | None) -> tuple[Any, Any]:
    """Family and recipe of the network of the peers."""
    family = lamina.FeedForward(hidden_sizes=hidden, activation="relu", number_embedding=None, members=1)
    recipe = lamina.Recipe(
        optimizer="adam",
        learning_rate=LEARNING_RATE,
        schedule="constant",
        batch_size=batch_size,
        epochs=epochs,
        patience=patience,
        weight_decay=0.0,  # on by default in lamina, not in the peers
        ema_decay=None,
    )
    return family, recipe


class ScikitLearn(Peer):
    """MLPClassifier / MLPRegressor. It has no time per epoch: the benchmark uses a long fit minus a short one."""

    def prepare(self) -> None:
        from sklearn import neural_network

        self.kind = neural_network.MLPClassifier if self.outputs else neural_network.MLPRegressor

    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        stop = {"early_stopping": True, "validation_fraction": VALIDATION, "n_iter_no_change": self.patience}
        never = {"tol": 0.0, "n_iter_no_change": self.epochs + 1}
        self.model = self.kind(
            hidden_layer_sizes=self.hidden,
            activation="relu",
            solver="adam",
            learning_rate_init=LEARNING_RATE,
            batch_size=self.batch_size,
            max_iter=self.epochs,
            random_state=self.seed,
            **(stop if self.patience else never),
        )
        self.model.fit(X, y)
        self.parameters = sum(part.size for part in self.model.coefs_ + self.model.intercepts_)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(X) if self.outputs else self.model.predict(X)


def torch_net(inputs: int, hidden: tuple[int, ...], outputs: int) -> Any:
    """The net as ``nn.Sequential``, for skorch and the bare loop."""
    import torch

    layers: list[Any] = []
    for size in hidden:
        layers += [torch.nn.Linear(inputs, size), torch.nn.ReLU()]
        inputs = size
    return torch.nn.Sequential(*layers, torch.nn.Linear(inputs, max(outputs, 1)))


class TorchLoop(Peer):
    """A bare eager PyTorch loop: tensors in memory, one shuffle per epoch, one gather per step."""

    fused = False

    def prepare(self) -> None:
        import torch

        self.torch = torch

    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        torch = self.torch
        torch.manual_seed(self.seed)
        X, X_validation, y, y_validation = (torch.from_numpy(part) for part in self.split(X, y))
        net = torch_net(X.shape[1], self.hidden, self.outputs)
        optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, fused=self.fused)
        loss_of = (
            torch.nn.functional.cross_entropy if self.outputs else lambda out, y: torch.nn.functional.mse_loss(out[:, 0], y)
        )
        best, best_weights, since = float("inf"), None, 0
        for _ in range(self.epochs):
            started = time.perf_counter()
            for rows in torch.randperm(len(X)).split(self.batch_size):
                optimizer.zero_grad()
                loss_of(net(X[rows]), y[rows]).backward()
                optimizer.step()
            self.epoch_seconds.append(time.perf_counter() - started)
            if self.patience is not None:
                with torch.no_grad():
                    loss = loss_of(net(X_validation), y_validation).item()
                since += 1
                if loss < best:
                    best, since = loss, 0
                    best_weights = {name: weight.clone() for name, weight in net.state_dict().items()}
                if since >= self.patience:
                    break
        if best_weights is not None:
            net.load_state_dict(best_weights)
        self.net = net
        self.parameters = sum(part.numel() for part in net.parameters())

    def predict(self, X: np.ndarray) -> np.ndarray:
        with self.torch.no_grad():
            outputs = self.net(self.torch.from_numpy(X))
            return (outputs.softmax(1) if self.outputs else outputs[:, 0]).numpy()


class TorchLoopFused(TorchLoop):
    """The same loop with ``Adam(fused=True)``, which is not PyTorch's default on a CPU."""

    fused = True


class Skorch(Peer):
    """skorch as its documentation uses it; only the printing is off."""

    def prepare(self) -> None:
        import skorch
        import skorch.callbacks
        import skorch.dataset
        import skorch.helper
        import torch

        self.skorch, self.torch = skorch, torch

    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        skorch, torch = self.skorch, self.torch
        torch.manual_seed(self.seed)
        if not self.outputs:
            y = y[:, None]
        X, X_validation, y, y_validation = self.split(X, y)
        kind = skorch.NeuralNetClassifier if self.outputs else skorch.NeuralNetRegressor
        validation, callbacks = None, []
        if self.patience is not None:
            validation = skorch.helper.predefined_split(skorch.dataset.Dataset(X_validation, y_validation))
            callbacks = [skorch.callbacks.EarlyStopping(patience=self.patience, load_best=True, sink=lambda text: None)]
        self.net = kind(
            torch_net(X.shape[1], self.hidden, self.outputs),
            criterion=torch.nn.CrossEntropyLoss if self.outputs else torch.nn.MSELoss,
            optimizer=torch.optim.Adam,
            lr=LEARNING_RATE,
            batch_size=self.batch_size,
            max_epochs=self.epochs,
            iterator_train__shuffle=True,
            train_split=validation,
            callbacks=callbacks,
            verbose=0,
        )
        self.net.fit(X, y)
        self.epoch_seconds = list(self.net.history[:, "dur"])
        self.parameters = sum(part.numel() for part in self.net.module_.parameters())

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.net.predict_proba(X) if self.outputs else self.net.predict(X)[:, 0]


class KerasJax(Peer):
    """Keras 3 on JAX: ``model.fit`` on arrays, compiled by XLA as by default."""

    steps_per_execution = 1

    def prepare(self) -> None:
        import keras

        self.keras = keras

    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        keras = self.keras
        keras.utils.set_random_seed(self.seed)
        X, X_validation, y, y_validation = self.split(X, y)
        self.model = keras.Sequential(
            [
                keras.Input((X.shape[1],)),
                *(keras.layers.Dense(size, activation="relu") for size in self.hidden),
                keras.layers.Dense(max(self.outputs, 1)),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if self.outputs else "mse"
        optimizer = keras.optimizers.Adam(LEARNING_RATE)
        self.model.compile(optimizer, loss, steps_per_execution=self.steps_per_execution)
        clock = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: self.epoch_seconds.append(-time.perf_counter()),
            on_epoch_end=lambda epoch, logs: self.epoch_seconds.append(self.epoch_seconds.pop() + time.perf_counter()),
        )
        stop = [keras.callbacks.EarlyStopping(patience=self.patience, restore_best_weights=True)] if self.patience else []
        validation = (X_validation, y_validation) if self.patience else None
        self.model.fit(
            X,
            y,
            batch_size=self.batch_size,
            epochs=self.epochs,
            validation_data=validation,
            callbacks=[clock, *stop],
            verbose=0,
        )
        self.parameters = self.model.count_params()

    def predict(self, X: np.ndarray) -> np.ndarray:
        outputs = self.model.predict(X, batch_size=8192, verbose=0)
        return np.asarray(self.keras.ops.softmax(outputs)) if self.outputs else outputs[:, 0]


class KerasJaxBatched(KerasJax):
    """The same with ``steps_per_execution=32``."""

    steps_per_execution = 32


PEERS: dict[str, type[Peer]] = {
    "lamina": Lamina,
    "scikit-learn": ScikitLearn,
    "skorch": Skorch,
    "Keras on JAX": KerasJax,
    "Keras on JAX, steps_per_execution=32": KerasJaxBatched,
    "PyTorch loop": TorchLoop,
    "PyTorch loop, fused Adam": TorchLoopFused,
}
