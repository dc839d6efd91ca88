"""What resources are made of, those of `api/` and those of plugins: blueprint, paging, sorting, answers, errors."""
