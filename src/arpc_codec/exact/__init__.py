"""Fixed-point layers and tables: the bit-identical arithmetic behind the entropy coder."""
