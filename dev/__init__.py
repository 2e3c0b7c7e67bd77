"""What runs on a developer's machine: `make run` and `make demo`."""
