"""Backups of a running server: what is in one, how it is made, and how it is restored."""
