"""What recorded runs say when they are put side by side: pure functions of their histories."""
