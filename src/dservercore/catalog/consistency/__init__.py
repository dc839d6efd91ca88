"""Whether the stores say the same as each other, and as the storage; and making them do so."""
