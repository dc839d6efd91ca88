"""The demo behind ``make demo``: a server of its own, over real data packaged into dtool datasets.

Everything it makes lives in one directory (``.demo/``), and every step does only what is still missing there,
so that a run which was interrupted is continued by the next one.
"""
