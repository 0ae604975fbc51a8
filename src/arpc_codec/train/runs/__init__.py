"""What each `arpc train` command runs: files in, a run folder or a model folder out."""
