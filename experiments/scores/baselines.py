"""What a plain model makes of the very splits that an experiment trains and is tested on.

    python experiments/scores/baselines.py breast_cancer sunspots
    python experiments/scores/baselines.py

Prints a table. The splits are read as the experiment reads them, preprocessed and framed, so a
baseline sees the numbers that the model sees. Nothing is tuned: each has the default settings of
scikit-learn, or those that stand here.
"""

from __future__ import annotations

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import hydra.utils
import numpy as np

from pipeline.composing import compose
from pipeline.quiet import load_tensorflow

CYCLE = 11  # years, of the sun
LAGS = 9  # years that the autoregression looks back
ORDER = 5  # characters of an n-gram, the predicted one included
CODE = 8  # numbers that the autoencoder has for a digit


@dataclass(frozen=True)
class Score:
    """What a baseline reaches on the test split.

    Attributes:
        metric: as the experiment's task calls it.
    """

    experiment: str
    baseline: str
    metric: str
    value: float


class Data:
    """The splits of an experiment.

    Attributes:
        prepared: as ``pipeline.data`` has them.
        tokens: UTF-8 bytes of each token, where they are text.
    """

    def __init__(self, experiment: str, overrides: Sequence[str] = ()) -> None:
        load_tensorflow()
        from pipeline.data_parts import data_spec, prepare

        config = compose("train", [f"+experiment={experiment}", *overrides])
        task: Any = hydra.utils.get_class(config.task._target_)
        self.prepared = prepare(config, task.needs)
        self.tokens = data_spec(self.prepared).token_bytes

    def split(self, role: str) -> tuple[np.ndarray, np.ndarray]:
        """Inputs as a model takes them, and targets; where there are none, the inputs twice."""
        device = self.prepared.preprocessing.device
        parts = list(self.prepared.parts(role))
        x = np.concatenate([np.asarray(device(part.inputs)) for part in parts])
        if parts[0].targets is None:
            return x, x
        return x, np.concatenate([part.targets for part in parts])

    def stored(self, role: str) -> np.ndarray:
        """Inputs as they lie on disk."""
        return np.asarray(self.prepared.source.split(role).inputs)


def rows(x: np.ndarray) -> np.ndarray:
    """One row an example."""
    return x.reshape(len(x), -1)


def rmse(truth: np.ndarray, predicted: np.ndarray) -> float:
    """The root of the mean squared error."""
    return float(np.sqrt(np.mean(np.square(truth - predicted))))


# One function a kind of data ---------------------------------------------------------------------


def classification(experiment: str) -> list[Score]:
    """Logistic regression."""
    from sklearn.linear_model import LogisticRegression

    data = Data(experiment)
    (x, y), (test_x, test_y) = data.split("train"), data.split("test")
    model = LogisticRegression(max_iter=1000).fit(rows(x), y)
    right = float(np.mean(model.predict(rows(test_x)) == test_y))
    return [Score(experiment, "logistic regression", "accuracy", right)]


def regression(experiment: str) -> list[Score]:
    """Ridge regression."""
    from sklearn.linear_model import Ridge
    from sklearn.metrics import r2_score

    data = Data(experiment)
    (x, y), (test_x, test_y) = data.split("train"), data.split("test")
    predicted = Ridge().fit(rows(x), y).predict(rows(test_x)).reshape(test_y.shape)
    return [
        Score(experiment, "ridge regression", "rmse", rmse(test_y, predicted)),
        Score(experiment, "ridge regression", "r2", float(r2_score(test_y, predicted))),
    ]


def forecast(experiment: str) -> list[Score]:
    """One-step forecasts of the years that the experiment forecasts in its test split.

    All three may look back as far as they need, which the model, whose windows begin with nothing,
    may not.
    """
    from sklearn.linear_model import Ridge

    data = Data(experiment)
    truth = data.split("test")[1].reshape(-1)
    parts = [data.stored(role).reshape(-1) for role in ("train", "validation", "test")]
    series, trained = np.concatenate(parts), len(parts[0])
    first = len(parts[0]) + len(parts[1]) + 1  # a window's first target is the second year
    at = np.arange(first, first + len(truth))
    assert np.array_equal(series[at], truth), "the windows of the test split overlap"

    def lags(years: np.ndarray) -> np.ndarray:
        return np.stack([series[years - lag] for lag in range(1, LAGS + 1)], 1)

    known = np.arange(LAGS, trained)
    linear = Ridge().fit(lags(known), series[known])
    forecasts = {
        "persistence: the year before": series[at - 1],
        f"seasonal: {CYCLE} years before": series[at - CYCLE],
        f"ridge regression on {LAGS} years": linear.predict(lags(at)),
    }
    return [Score(experiment, name, "rmse", rmse(truth, f)) for name, f in forecasts.items()]


def text(experiment: str) -> list[Score]:
    """An n-gram of characters, interpolated as by Witten and Bell 1991.

    It looks back no further than a window begins, as the model.
    """
    data = Data(experiment)
    assert (token_bytes := data.tokens) is not None
    (x, y), (test_x, test_y) = data.split("train"), data.split("test")
    following: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for window in np.concatenate([x[:, :1], y], 1).tolist():
        for place, token in enumerate(window):
            for length in range(min(ORDER - 1, place) + 1):
                following[tuple(window[place - length : place])][token] += 1
    totals = {context: sum(found.values()) for context, found in following.items()}

    def likelihood(before: tuple[int, ...], token: int) -> float:
        p = 1.0 / len(token_bytes)
        for length in range(len(before) + 1):
            context = before[len(before) - length :]
            if context not in totals:
                break
            kinds = len(following[context])
            p = (following[context][token] + kinds * p) / (totals[context] + kinds)
        return p

    nats = 0.0
    for window in np.concatenate([test_x[:, :1], test_y], 1).tolist():
        for place in range(1, len(window)):
            before = tuple(window[max(0, place - ORDER + 1) : place])
            nats -= math.log(likelihood(before, window[place]))
    bits = nats / math.log(2.0) / float(token_bytes[test_y].sum())
    return [Score(experiment, f"{ORDER}-gram of characters", "bits_per_byte", bits)]


def reconstruction(experiment: str) -> list[Score]:
    """Principal components, as many as the code has numbers."""
    from sklearn.decomposition import PCA

    data = Data(experiment)
    x, test_x = rows(data.split("train")[0]), rows(data.split("test")[0])
    model = PCA(CODE, random_state=0).fit(x)
    again = model.inverse_transform(model.transform(test_x))
    return [Score(experiment, f"{CODE} principal components", "rmse", rmse(test_x, again))]


BASELINES: dict[str, Callable[[str], list[Score]]] = {
    "digits": classification,
    "digits_cnn": classification,
    "digits_local": classification,
    "digits_gru": classification,
    "digits_stateful": classification,
    "digits_transformer": classification,
    "digits_autoencoder": reconstruction,
    "breast_cancer": classification,
    "diabetes": regression,
    "sunspots": forecast,
    "python_reference": text,
    "fashion_cnn": classification,
    "fashion_resnet": classification,
}


def scores(experiment: str) -> list[Score]:
    """Of the baselines of one experiment."""
    return BASELINES[experiment](experiment)


def table(found: Sequence[Score]) -> str:
    """In Markdown."""
    lines = ["| experiment | baseline | metric | test |", "| --- | --- | --- | ---: |"]
    lines += [f"| {s.experiment} | {s.baseline} | {s.metric} | {s.value:.4f} |" for s in found]
    return "\n".join(lines)


def main(names: Sequence[str]) -> Any:
    """Of these experiments, or of all."""
    if unknown := [name for name in names if name not in BASELINES]:
        return f"no baseline for {', '.join(unknown)}; there are {', '.join(BASELINES)}"
    print(table([score for name in names or BASELINES for score in scores(name)]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
