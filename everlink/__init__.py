"""Everlink for a product's own code: the client, what it answers and what it raises."""

from everlink.client import Client
from everlink.errors import EverlinkError, NotFound, ReauthRequired, Unavailable

__all__ = ["Client", "EverlinkError", "NotFound", "ReauthRequired", "Unavailable"]
