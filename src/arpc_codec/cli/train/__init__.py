"""`arpc train`: one file for the commands of each codec, one for imported models."""
