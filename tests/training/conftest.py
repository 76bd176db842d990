"""A small training run made by hand, for the tests of the training room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def data() -> tuple[np.ndarray, np.ndarray]:
    """100 images 6x6x1 of 4 classes that a model can learn; uint8 and int32."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 100).astype(np.int32)
    images = rng.integers(0, 120, (100, 6, 6, 1)).astype(np.uint8)
    for i, label in enumerate(labels):
        images[i, label, :, 0] += 100
    images.flags.writeable = labels.flags.writeable = False
    return images, labels


@pytest.fixture(scope="session")
def make_trainer(strategy_of: Callable[[int], Any], data: Any) -> Callable[..., Any]:
    """``make_trainer(replicas, layers=…, optimizer=…, …)``: a built Trainer on ``data``."""
    import tensorflow as tf

    import layers
    from pipeline.data.augment import Augmentation
    from pipeline.data.examples import Examples
    from pipeline.data.feed import ResidentFeed
    from pipeline.training.average import WeightAverage
    from pipeline.training.compilation import Compilation
    from pipeline.training.evaluation import Validation
    from pipeline.training.optimizers import SGD
    from pipeline.training.tasks import Classification, DataSpec
    from pipeline.training.trainer import Trainer

    def make(
        replicas: int = 1,
        *,
        task: Any = None,
        targets: Any = data[1],
        model: Callable[[], Any] | None = None,
        optimizer: Callable[[], Any] = lambda: SGD(0.1, momentum=0.9),
        batch: int = 16,
        mode: str = "off",
        seed: int = 0,
        clip_norm: float | None = None,
        accumulate: int = 1,
        decay: float | None = None,
        factor: Any = lambda step: tf.ones([]),
        steps_per_call: int = 50,
        validation: dict[str, Any] | None = None,
        augment: dict[str, Any] | None = None,
    ) -> Any:
        strategy = strategy_of(replicas)
        examples = Examples(data[0], targets)
        feed = ResidentFeed(strategy, "train", examples, batch)
        held_out = Examples(data[0][:37], None if targets is None else targets[:37])
        held_out = ResidentFeed(strategy, "validation", held_out, 16)
        task = task or Classification()
        shape = data[0].shape if targets is None else targets.shape
        with strategy.scope():
            target = tf.TensorSpec([None, *shape[1:]])
            task.build(DataSpec("drawn", 4, inputs=target, target=target))
        task.adapt(lambda: [targets])
        with strategy.scope():
            net = (
                model()
                if model
                else layers.Stack(
                    {
                        "flat": layers.Flatten(),
                        "hidden": layers.Dense(16, "relu"),
                        "logits": layers.Dense(4),
                    }
                )
            )
            layers.build(net, tf.TensorSpec([None, 6, 6, 1], tf.float32), seed=seed)
            trainable = {k: v for k, v in net.named_variables().items() if v.trainable}
            chosen = optimizer()
            chosen.build(layers.outer_variables(net))
            average = WeightAverage(decay, trainable) if decay else None
        return Trainer(
            strategy=strategy,
            model=net,
            task=task,
            optimizer=chosen,
            feed=feed,
            preprocess=lambda x: tf.cast(x, tf.float32) / 255.0,
            factor=factor,
            seed=seed,
            clip_norm=clip_norm,
            accumulate=accumulate,
            average=average,
            compilation=Compilation(mode, "asked for by trainer.compile"),
            steps_per_call=steps_per_call,
            validation=Validation(held_out, **validation) if validation else None,
            augmentation=Augmentation(augment, batch) if augment else None,
        )

    return make


@pytest.fixture(scope="session")
def measured() -> Callable[..., dict[str, float]]:
    """``measured(task, outputs, targets, weights=None)``: each metric, over uneven shards."""
    import tensorflow as tf

    from pipeline.training.metrics import sums_of, values_of

    def measure(task: Any, outputs: Any, targets: Any, weights: Any = None) -> dict[str, float]:
        size = len(outputs)
        weights = np.ones(size) if weights is None else weights

        @tf.function(autograph=False, reduce_retracing=True)
        def sums(x: tf.Tensor, y: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
            values = task.measure(x, y, task.loss(x, y))
            return sums_of(task.metrics, values, w, tf.float64)

        cuts = (0, size // 3, size // 2 + 1, size)
        parts = [
            sums(*(tf.constant(a[first:last]) for a in (outputs, targets, weights)))
            for first, last in zip((0, *cuts), (*cuts, size), strict=True)
        ]
        total = np.sum([part.numpy() for part in parts], 0)
        values = values_of(task.metrics, total, np.sum(weights), np)
        return {name: float(v) for name, v in zip(task.metrics, values, strict=True)}

    return measure
