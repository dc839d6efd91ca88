"""The times of a dataset as the database holds them, for plugin authors."""

from dservercore.dataset.times import extract_created_at_as_datetime, extract_frozen_at_as_datetime

__all__ = ["extract_created_at_as_datetime", "extract_frozen_at_as_datetime"]
