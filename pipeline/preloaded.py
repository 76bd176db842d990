"""What takes seconds to import and to set up, for the process that trials are forked from.

Nothing is computed here: TensorFlow would start its threads, and fix the devices, of all trials.
"""

import gc
from contextlib import suppress

from pipeline.cli import collect_rarely
from pipeline.quiet import load_tensorflow

collect_rarely()
load_tensorflow()

import mlflow.system_metrics.system_metrics_monitor  # noqa: E402
import sqlalchemy.dialects.sqlite  # noqa: E402
import tensorflow_datasets.core.reader  # noqa: E402, F401

import pipeline.analysis.pictures  # noqa: E402
import pipeline.explaining  # noqa: E402
import pipeline.profiling  # noqa: E402
import pipeline.recording  # noqa: E402
import pipeline.sampling  # noqa: E402
import pipeline.tracking.delivery  # noqa: E402
import pipeline.tracking.pulse  # noqa: E402
import pipeline.training.loop  # noqa: E402
import pipeline.training.schedules  # noqa: E402, F401
from pipeline import preflight  # noqa: E402
from pipeline.composing import compose  # noqa: E402
from pipeline.tracking import packaging  # noqa: E402

with suppress(Exception):
    packaging.preload()
with suppress(Exception):  # who needs it is told
    preflight.check(compose("train"))  # it remembers the signatures that it has read
gc.freeze()  # all this stays: a trial need neither look through it for cycles nor copy its pages
