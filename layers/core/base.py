"""The base class of every layer: when variables are made, what they are called, who sees them.

A layer is written in three parts: ``__init__`` stores the configuration, ``build`` makes the
variables once the input's shape is known, ``call`` computes. The base decides when ``build``
runs, so that it is right under any ``tf.distribute`` strategy, and gives each layer a path
(``block/conv``) from the attributes that hold it. Paths seed the initial values: adding a layer
leaves the others' values as they were.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from layers import initializers
from layers.core.context import fold, step_context
from layers.core.errors import LayerError, did_you_mean
from layers.core.patterns import Choices, matching
from layers.core.specs import describe, float_name, spec_of
from layers.core.tree import attributes, join, walk

# What a non-trainable variable holds fixes how replicas write it and how it is read as one value.
# ON_READ: each replica writes its own copy, without waiting for the others.
STATE_KINDS = {
    # Float statistics that replicas estimate differently; read, and so saved, as their mean.
    "population": (tf.VariableSynchronization.ON_READ, tf.VariableAggregation.MEAN),
    # What every replica computes alike (a count, a statistic reduced over the replicas before it
    # is assigned); read from the first, so that saving and restoring never rounds.
    "replicated": (tf.VariableSynchronization.ON_READ, tf.VariableAggregation.ONLY_FIRST_REPLICA),
}


class Layer(tf.Module):
    """A part of a model: configuration, then variables, then a computation.

    Args:
        name: shown in graphs and profiles; paths do not depend on it.
        compute_dtype: dtype that ``call`` computes in, for this layer and those below it that set
            none; ``None``: that of the layer above, or what ``set_precision`` gave the model, or
            float32.
        param_dtype: dtype of the trainable weights, passed down in the same way.
        freeze: patterns of paths of variables, seen from this layer, that training leaves as they
            are: ``["encoder/*"]``; ``*`` stands for anything, slashes too. Moving statistics that
            are frozen are used as in evaluation.
        regularizers: what a weight adds to the training loss, by pattern of its path:
            ``{"*/w": regularizers.L2(1e-4)}``. A weight that several patterns match pays for each.
    """

    metrics: tuple[str, ...] = ()  # what ``call`` publishes in training
    trains_itself = False  # whether its weights are its own business: see ``outer_variables``
    _path: str | None = None  # from the root of the model; "" is the root itself

    def __init__(
        self,
        *,
        name: str | None = None,
        compute_dtype: str | None = None,
        param_dtype: str | None = None,
        freeze: Sequence[str] = (),
        regularizers: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] | None = None,
    ) -> None:
        super().__init__(name=name)
        self._own_dtypes = (float_name(compute_dtype), float_name(param_dtype))
        self._given_dtypes: tuple[str | None, str | None] = (None, None)  # by the layer above
        self._choices = Choices.of(self.label, freeze, regularizers)
        self._seed = 0
        self._built = False
        self._made: set[str] = set()  # names of the variables that ``build`` has made
        self._input_specs: Any = None  # of the first call, which built it
        self._output_spec: Any = None

    # To be written by each layer ---------------------------------------------------------------

    def build(self, x: tf.TensorSpec) -> None:
        """Make the variables for inputs like ``x`` (its batch dimension is always ``None``).

        It runs outside of any graph and must not talk to other replicas.
        """

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        """Compute the output, eagerly or traced; the batch may be empty.

        ``training`` is a Python bool. Control flow is Python's or ``tf.cond``: no autograph.
        """
        raise TypeError(f"{type(self).__name__} must define call(self, x, training)")

    def reset(self) -> None:
        """Forget what is carried from one batch to the next; trainers call it as an epoch begins.

        It is called in graph and on each replica. What training has learnt stays.
        """

    # What a layer is used by -------------------------------------------------------------------

    # Without autograph a layer means the same everywhere, traces faster and keeps its errors.
    @tf.autograph.experimental.do_not_convert
    def __call__(self, x: Any, *args: Any, training: bool = False, **kwargs: Any) -> Any:
        if not isinstance(training, bool):
            raise LayerError(f"{self.label}: training must be True or False, got {training!r}")
        if self._path is None:
            adopt(self, path="", seed=0)
        if isinstance(x, np.ndarray):
            x = tf.convert_to_tensor(x)
        try:
            if not self._built:
                self._build_for(x)
            compute: Callable[..., Any] = self.call  # takes what __call__ was given
            with tf.name_scope(self.name):
                y = compute(x, *args, training=training, **kwargs)
        except LayerError:
            raise
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            raise LayerError(
                f"{self.label}: cannot take {describe((x, *args))}: {_first_line(error)}"
            ) from error
        if self._output_spec is None:
            self._note("_input_specs", spec_of((x, *args)))
            self._note("_output_spec", spec_of(y))
        return y

    def _build_for(self, x: Any) -> None:
        # Replicas trace inside graphs of their own; variables must be made outside all of them.
        with tf.init_scope():
            self._made.clear()
            self.build(spec_of(x))
        self._built = True
        for name, child in self.children():
            if child._path is None:  # made by build itself
                child._take_dtypes(self)
                adopt(child, join(self.path, name), self._seed, self._choices)

    def _note(self, attribute: str, specs: Any) -> None:
        # Past tf.Module, which would track a list or dict and put it into checkpoints.
        object.__setattr__(self, attribute, specs)

    # What a layer is made of -------------------------------------------------------------------

    def weight(
        self,
        name: str,
        shape: Sequence[int],
        initializer: str | initializers.Initializer,
        dtype: str | None = None,
    ) -> tf.Variable:
        """A trainable variable. Assign it to the attribute of the same name.

        ``initializer`` is a name in ``layers.initializers`` or ``f(shape, dtype, seed)``; ``seed``
        is an int64 tensor [2] made of the run's seed and this variable's path.
        """
        if 0 in shape:  # TensorFlow's kernels abort the process for some
            raise LayerError(
                f"{self.label}: {name} would have the shape {list(shape)}; sizes are at least 1"
            )
        dtype = dtype or self.param_dtype
        value = self._initial_value(name, shape, initializer, dtype)
        return tf.Variable(value, trainable=True, name=name, dtype=dtype)

    def state(
        self,
        name: str,
        shape: Sequence[int],
        initializer: str | initializers.Initializer,
        kind: str,
        dtype: str = "float32",
    ) -> tf.Variable:
        """A variable that ``call`` assigns and no optimizer sees. ``kind``: see ``STATE_KINDS``."""
        if kind not in STATE_KINDS:
            raise LayerError(
                f"{self.label}: unknown kind of state {kind!r}. {did_you_mean(kind, STATE_KINDS)}"
            )
        synchronization, aggregation = STATE_KINDS[kind]
        return tf.Variable(
            self._initial_value(name, shape, initializer, dtype),
            trainable=False,
            name=name,
            dtype=dtype,
            synchronization=synchronization,
            aggregation=aggregation,
        )

    def _initial_value(
        self,
        name: str,
        shape: Sequence[int],
        initializer: str | initializers.Initializer,
        dtype: str,
    ) -> tf.Tensor:
        if name in self._made:  # the same name would give both the same random values
            raise LayerError(f"{self.label}: has two variables called {name!r}")
        self._made.add(name)
        seed = fold(tf.constant([self._seed, 0], tf.int64), join(self.path, name))
        try:
            return initializers.get(initializer)(tuple(shape), dtype, seed)
        except LayerError as error:
            raise LayerError(f"{self.label}: {name}: {error}") from error

    def random_key(self) -> tf.Tensor:
        """An int64 tensor [2] for ``tf.random.stateless_*``: this layer's own, in this step.

        Each time it is asked in a step it is another one, so that a layer that is used twice draws
        twice. Draw whole numbers with it, and pass ``alg="philox"``: of floats, and of what
        TensorFlow chooses by itself, XLA draws others. Raises ``LayerError`` outside
        ``layers.training_step``, which says which step it is.
        """
        context = step_context()
        if context is None:
            raise LayerError(
                f"{self.label}: draws random numbers in training and must know the step; call the "
                "model inside `with layers.training_step(seed=…, step=…):`"
            )
        count = context.keys_drawn[self.path] = context.keys_drawn.get(self.path, 0) + 1
        return fold(context.key, self.path if count == 1 else f"{self.path}#{count}")

    def publish(self, name: str, values: tf.Tensor) -> None:
        """Report ``values``, one an example ``[batch]``; their mean becomes a metric of the run.

        ``name`` is one of ``metrics``. Outside of a training step nothing happens.
        """
        if name not in self.metrics:
            raise LayerError(
                f"{self.label}: publishes {name!r}, which its attribute metrics does not list"
            )
        context = step_context()
        if context is not None:
            place, total = join(self.path, name), tf.reduce_sum(tf.cast(values, tf.float32))
            context.published[place] = context.published.get(place, 0.0) + total

    # Shapes and dtypes -------------------------------------------------------------------------

    @property
    def compute_dtype(self) -> str:
        """The dtype that ``call`` computes in."""
        return self._own_dtypes[0] or self._given_dtypes[0] or "float32"

    @property
    def param_dtype(self) -> str:
        """The dtype of the trainable weights."""
        return self._own_dtypes[1] or self._given_dtypes[1] or "float32"

    @property
    def statistics_dtype(self) -> str:
        """The dtype for sums over many values: never narrower than float32."""
        return "float64" if self.compute_dtype == "float64" else "float32"

    def _take_dtypes(self, above: Layer) -> None:
        pairs = zip(above._own_dtypes, above._given_dtypes, self._given_dtypes, strict=True)
        compute, param = (own or given or before for own, given, before in pairs)
        self._given_dtypes = (compute, param)

    def cast(self, x: tf.Tensor) -> tf.Tensor:
        """``x`` in the layer's compute dtype."""
        return tf.cast(x, self.compute_dtype)

    def require_rank(self, x: Any, rank: int, axes: str) -> None:
        """Raise ``LayerError`` unless ``x`` has ``rank`` dimensions; ``axes`` names them."""
        if x.shape.rank != rank:
            raise LayerError(f"{self.label}: expects {axes} (rank {rank}), got {describe(x)}")

    def require_axes(self, x: Any, least: int, axes: str) -> None:
        """Raise ``LayerError`` unless ``x`` has ``least`` dimensions or more; ``axes``: which."""
        if x.shape.rank is None or x.shape.rank < least:
            raise LayerError(
                f"{self.label}: expects {axes} (rank {least} or more), got {describe(x)}"
            )

    def require_size(self, x: Any, size: int) -> None:
        """Raise ``LayerError`` unless the last axis of ``x`` has the size it was built for."""
        if x.shape.rank is not None and x.shape[-1] not in (size, None):
            raise LayerError(
                f"{self.label}: was built for a last axis of {size}, got {describe(x)}"
            )

    def require_known(self, x: Any, axis: int = -1) -> int:
        """The static size of one axis of ``x``; ``LayerError`` where it is not known."""
        rank = x.shape.rank
        if rank is None or not -rank <= axis < rank or x.shape[axis] is None:
            raise LayerError(
                f"{self.label}: needs axis {axis} of its input to be known when it is built, got "
                f"{describe(x)}"
            )
        return int(x.shape[axis])

    # What training does with the variables ------------------------------------------------------

    def frozen(self, name: str) -> bool:
        """Whether training leaves this layer's variable ``name`` as it is; see ``freeze``."""
        return bool(matching(self._choices.freeze, join(self.path, name)))

    def regularizers_of(self, name: str) -> list[Callable[[tf.Tensor], tf.Tensor]]:
        """What the weight ``name`` of this layer adds to the training loss."""
        found = matching(self._choices.regularizers, join(self.path, name))
        return [pattern.value for pattern in found]

    @property
    def takes_mask(self) -> bool:
        """Whether ``layer(x, mask=…)`` means anything to it."""
        return "mask" in inspect.signature(type(self).call).parameters

    # Names -------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """Where the layer stands in its model, such as ``encoder/block1/conv``; "" at the root."""
        return self._path or ""

    @property
    def label(self) -> str:
        """Path and type, as messages say it: ``encoder/conv (Conv2D)``."""
        kind = type(self).__name__
        return f"{self.path} ({kind})" if self.path else kind

    def _held(self) -> Iterator[tuple[str, tf.Variable | tf.Module]]:
        """Variables and modules held directly, with their relative paths."""
        yield from attributes(self)

    def children(self) -> Iterator[tuple[str, Layer]]:
        """The layers held directly, in the order of their attributes, with their relative paths."""
        for path, item in walk(self, into=lambda module: not isinstance(module, Layer)):
            if isinstance(item, Layer):
                yield path, item

    def own_variables(self) -> Iterator[tuple[str, tf.Variable]]:
        """The variables of itself alone, not of a layer below, with their relative paths, once."""
        # An optimizer that it holds has the variables of the layers below too.
        seen = {id(v) for _, child in self.children() for v in child.named_variables().values()}
        for path, item in walk(self, into=lambda module: not isinstance(module, Layer)):
            if isinstance(item, tf.Variable) and id(item) not in seen:
                seen.add(id(item))
                yield path, item

    def named_variables(self) -> dict[str, tf.Variable]:
        """Every variable by its path from this layer. What is shared is listed once."""
        found: dict[str, tf.Variable] = {}
        seen: set[int] = set()
        for path, item in walk(self):
            if isinstance(item, tf.Variable) and id(item) not in seen:
                seen.add(id(item))
                found[path] = item
        return found


def adopt(root: Layer, path: str, seed: int, above: Choices | None = None) -> None:
    """Give ``root`` and all below it their paths, the seed of their initial values, dtypes, and
    what the layers above them say of their variables."""
    places: dict[str, Layer] = {}
    seen: set[int] = set()

    def visit(layer: Layer, path: str, above: Choices | None) -> None:
        seen.add(id(layer))
        if "_made" not in vars(layer):
            raise LayerError(
                f"{layer.label}: call super().__init__(**options) first in its __init__"
            )
        if path in places:
            raise LayerError(
                f"{places[path].label}: two layers have the path {path!r}; rename one of them"
            )
        places[path] = layer
        layer._path, layer._seed = path, seed
        layer._choices = layer._choices.at(path, above)
        for name, child in layer.children():
            if id(child) not in seen:  # shared: the first path names it
                child._take_dtypes(layer)
                visit(child, join(path, name), layer._choices)

    visit(root, path, above)


def _first_line(error: Exception) -> str:
    """What an exception says, without TensorFlow's trailer about nodes and stacks."""
    message = getattr(error, "message", None) or str(error)
    return message.strip().split("\n")[0]
