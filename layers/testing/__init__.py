"""The suites that every layer passes, for layers of your own too.

One line in a test proves a layer the way this library's own are proven::

    from layers.testing import conformance

    def test_my_layer():
        conformance(MyLayer, {"units": 3}, tf.TensorSpec([None, 5]), variables=2)

The suites need two logical CPU devices, which must be made before TensorFlow is first used: call
``layers.testing.logical_devices(2)`` at the top of ``conftest.py``.
"""

from layers.testing.case import Case, logical_devices
from layers.testing.checks import CHECKS, conformance

__all__ = ["CHECKS", "Case", "conformance", "logical_devices"]
