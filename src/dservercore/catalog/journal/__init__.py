"""The journal: what is about to be written to stores outside of the SQL database. ``changes`` says why and how."""
