"""The settings: one table of them, how they are read and shown, keys, and what is secret."""
