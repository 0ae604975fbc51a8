"""The pipelines: the only place where the stages meet."""
