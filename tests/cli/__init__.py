"""What the ``flask`` commands do, say and refuse."""
