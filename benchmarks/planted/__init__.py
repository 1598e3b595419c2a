"""Planted features (design/method.md) for the head."""
