"""Whole networks that are more than a stack in a config."""
