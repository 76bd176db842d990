"""How a model is trained, and what came of it.

Importing this package loads neither TensorFlow nor MLflow: a wrong config is answered before them.
"""

import os

# TensorFlow's C++ log tells every machine without a GPU that it has none. What goes wrong is
# raised as an exception all the same. Set the variable to 0 to read it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
