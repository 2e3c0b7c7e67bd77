"""A product's own sync, which waits for its customer by itself where a connection dies."""
