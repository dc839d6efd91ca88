"""What tests share that is no test: servers to start, people and datasets, machines to walk on."""
