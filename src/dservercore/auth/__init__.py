"""Who is asking, and what they may do: guards, identity, permissions, tokens."""
