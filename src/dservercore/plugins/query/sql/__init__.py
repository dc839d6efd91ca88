"""Documents in the SQL database, and filters as SQL over their JSON."""
