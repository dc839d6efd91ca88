"""What search plugins over our text analysis share: their base, the interface of an index, and what is stored in it."""
