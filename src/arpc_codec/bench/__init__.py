"""Side-by-side runs of this package's codecs and the codecs people use, on real file bytes."""
