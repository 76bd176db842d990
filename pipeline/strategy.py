"""Devices to a ``tf.distribute.Strategy``: every GPU, else the CPU, or N logical CPU devices."""

from __future__ import annotations

import tensorflow as tf

from pipeline.errors import ConfigError


def make_strategy(replicas: int | None) -> tf.distribute.MirroredStrategy:
    """A MirroredStrategy over ``replicas`` devices; ``None``: every GPU, else one CPU.

    Without a GPU, N replicas are N logical devices of the one CPU: slower than one, and the same
    training to rounding. They must exist before TensorFlow first computes; ``ConfigError`` when a
    process that has computed already has too few.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        wanted = len(gpus) if replicas is None else replicas
        if wanted > len(gpus):
            raise ConfigError(
                f"strategy.replicas={wanted}, but this machine has {len(gpus)} GPU"
                f"{'s' * (len(gpus) > 1)}. Give at most {len(gpus)}, or hide the GPUs "
                "(CUDA_VISIBLE_DEVICES=-1) to train on logical CPU devices."
            )
        return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(wanted)])
    wanted = replicas or 1
    _make_logical_cpus(wanted)
    # Reduced on one device: several times faster between logical CPUs than the collective
    # operations, which also refuse a second strategy of another size in one process.
    return tf.distribute.MirroredStrategy(
        [f"CPU:{i}" for i in range(wanted)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


def device_names(strategy: tf.distribute.Strategy) -> list[str]:
    """The devices that train, as people read them: ``CPU:0``, ``GPU:1 NVIDIA H100``."""
    names = []
    for device in strategy.extended.worker_devices:
        kind, index = device.split(":")[-2:]
        name = f"{kind}:{index}"
        if kind == "GPU":
            physical = tf.config.list_physical_devices("GPU")[int(index)]
            name += " " + tf.config.experimental.get_device_details(physical).get("device_name", "")
        names.append(name.strip())
    return names


def _make_logical_cpus(wanted: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    made = tf.config.get_logical_device_configuration(cpu)
    if len(made or [None]) >= wanted:
        return
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * wanted
        )
    except RuntimeError as error:
        raise ConfigError(
            f"strategy.replicas={wanted}: this process has computed on {len(made or [None])} "
            "logical CPU device(s) already and TensorFlow cannot add more. In a sweep over "
            "strategy.replicas give the largest first, or run each value by itself."
        ) from error
