"""`everlink import`: connections that another system holds move here, from a file."""
