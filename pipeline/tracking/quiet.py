"""Keep MLflow's and alembic's log lines off the terminal, which shows the training."""

from __future__ import annotations

import logging


def silence() -> None:
    """Only MLflow's errors are shown; the store's retries not even those, for we report them."""
    import mlflow  # noqa: F401  (it configures its loggers when imported)

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL + 1)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # "Retrying (…)"
