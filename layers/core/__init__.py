"""What every layer stands on: the base class, paths, states, contexts, messages."""
