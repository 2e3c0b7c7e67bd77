"""Northwind Notes, a small product whose customers connect other software by Everlink. `make example` starts it."""
