"""`python -m arpc_codec`, for machines where `arpc` is not on the path."""

from arpc_codec.cli.main import main

main(prog_name="arpc")
