"""What takes seconds to import and to set up, for the process that trials are forked from.

Nothing is computed here: TensorFlow would start its threads, and fix the devices, of all trials.
"""

import gc
import importlib
from contextlib import suppress

from pipeline.cli import collect_rarely
from pipeline.quiet import load_tensorflow

# What a trial imports as it goes, ours and others'.
MODULES = (
    "pipeline.analysis.pictures",
    "pipeline.explaining",
    "pipeline.profiling",
    "pipeline.recording",
    "pipeline.sampling",
    "pipeline.tracking.delivery",
    "pipeline.tracking.pulse",
    "pipeline.training.loop",
    "pipeline.training.schedules",
    "PIL.PngImagePlugin",
    "alembic.command",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "mlflow.system_metrics.system_metrics_monitor",
    "rich.console",
    "rich.progress",
    "sqlalchemy.dialects.sqlite",
    "tensorflow_datasets.core.reader",
    "tree",
)

collect_rarely()
load_tensorflow()

from pipeline import preflight  # noqa: E402
from pipeline.composing import compose  # noqa: E402
from pipeline.tracking import packaging  # noqa: E402

for module in MODULES:
    with suppress(ImportError):  # who needs it is told
        importlib.import_module(module)
with suppress(Exception):
    packaging.preload()
with suppress(Exception):
    preflight.check(compose("train"))  # it remembers the signatures that it has read

gc.freeze()  # all this stays: a trial need neither look through it for cycles nor copy its pages
