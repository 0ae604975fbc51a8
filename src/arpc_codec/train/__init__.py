"""Training of tokenizer and prior: one command each, resumable, on a CPU or a GPU."""
