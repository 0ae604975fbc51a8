"""The report of a bench: one HTML page that needs no network, no framework and no other file."""
