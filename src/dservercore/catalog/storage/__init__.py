"""Datasets where they are stored: found, read within limits, registered, and brought up to date after an edit."""
