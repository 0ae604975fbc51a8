"""Weights: model folders, their fingerprints, and the import of published checkpoints."""
