"""The files of a dataset as a tree: one directory at a time, however many there are."""
