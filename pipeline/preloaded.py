"""What takes seconds to import and to set up, for the process that trials are forked from.

Nothing is computed here: TensorFlow would start its threads, and fix the devices, of all trials.
"""

from contextlib import suppress

from pipeline.cli import end_at_once
from pipeline.quiet import load_tensorflow

end_at_once()
load_tensorflow()

import pipeline.explaining  # noqa: E402
import pipeline.profiling  # noqa: E402
import pipeline.recording  # noqa: E402
import pipeline.training.loop  # noqa: E402, F401
from pipeline import preflight  # noqa: E402
from pipeline.composing import compose  # noqa: E402
from pipeline.tracking import packaging  # noqa: E402

with suppress(Exception):
    packaging.preload()
with suppress(Exception):  # who needs it is told
    preflight.check(compose("train"))  # it remembers the signatures that it has read
