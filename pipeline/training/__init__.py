"""The training step and what surrounds it. Knows nothing of Hydra, MLflow or the terminal."""
