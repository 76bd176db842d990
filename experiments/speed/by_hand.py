"""What people write instead: Keras and MLflow, digits, 20 epochs. ``time_to_result.py`` times it.

python by_hand.py <folder for the store> [given]

given: the model's requirements are, so that MLflow does not look for them, which it does by default
in a process that loads the model.
"""

import sys

import keras
import mlflow
import numpy as np
from mlflow.models import infer_signature
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

EPOCHS, BATCH, UNITS, RATE = 20, 64, 256, 3e-3


class Log(keras.callbacks.Callback):
    """Metrics of each epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        mlflow.log_metrics({name: float(value) for name, value in (logs or {}).items()}, step=epoch)


keras.utils.set_random_seed(0)
mlflow.set_tracking_uri(f"sqlite:///{sys.argv[1]}/mlflow.db")
if mlflow.get_experiment_by_name("digits") is None:
    mlflow.create_experiment("digits", artifact_location=f"{sys.argv[1]}/artifacts")
mlflow.set_experiment("digits")

images, labels = load_digits(return_X_y=True)
images = (images / 16).astype("float32")
train, test, train_labels, test_labels = train_test_split(images, labels, test_size=360)
train, val, train_labels, val_labels = train_test_split(train, train_labels, test_size=270)

model = keras.Sequential(
    [keras.Input((64,)), keras.layers.Dense(UNITS, "relu"), keras.layers.Dense(10)]
)
model.compile(
    keras.optimizers.Adam(RATE),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
with mlflow.start_run() as run:
    mlflow.log_params({"batch": BATCH, "epochs": EPOCHS, "units": UNITS, "rate": RATE})
    best = keras.callbacks.ModelCheckpoint(
        f"{sys.argv[1]}/best.keras", "val_accuracy", mode="max", save_best_only=True
    )
    model.fit(
        train,
        train_labels,
        batch_size=BATCH,
        epochs=EPOCHS,
        verbose=2,
        validation_data=(val, val_labels),
        callbacks=[Log(), best],
    )
    model.load_weights(f"{sys.argv[1]}/best.keras")
    loss, accuracy = model.evaluate(test, test_labels, verbose=0)
    mlflow.log_metrics({"test_loss": loss, "test_accuracy": accuracy})
    example = np.asarray(test[:8])
    given = ["tensorflow", "keras", "mlflow"] if "given" in sys.argv[2:] else None
    mlflow.tensorflow.log_model(
        model,
        name="model",
        signature=infer_signature(example, model.predict(example, verbose=0)),
        pip_requirements=given,
    )
print(f"run_id={run.info.run_id} test/accuracy={accuracy:.4f}", flush=True)
