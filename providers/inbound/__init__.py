"""What providers send of themselves: whether it is theirs, and what it says. By the catalog's `events` alone."""
