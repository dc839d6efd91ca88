"""Structured queries where the documents are in MongoDB."""
