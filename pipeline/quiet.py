"""Loading TensorFlow without its remarks.

Its libraries write to standard error while they load, before they look at any setting. What they
write is held back, and shown where the import fails.
"""

from __future__ import annotations

import os
import sys
import tempfile


def load_tensorflow() -> None:
    """Import TensorFlow; afterwards ``import tensorflow`` is free and silent."""
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            import tensorflow as tf
        except Exception:  # not a signal's: then its remarks are as idle as ever
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    # Its warnings are about how we use it (each trial of a sweep traces its own graph), not about
    # what a user could do.
    tf.get_logger().setLevel("ERROR")
