"""The dataset: its document and what that must hold, its URI, its texts and the query language that finds it."""
