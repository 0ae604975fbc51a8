"""Tokens -> probabilities: the VAR transformer and what sits on top of it."""
