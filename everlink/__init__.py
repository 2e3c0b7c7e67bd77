"""Everlink for a product's own code: the client, what it answers and raises, the plugin for Temporal workers."""

from everlink.client import Client
from everlink.errors import EverlinkError, NotFound, ReauthRequired, Unavailable
from everlink.plugin import EverlinkPlugin, Wait, waiting

__all__ = [
    "Client",
    "EverlinkError",
    "EverlinkPlugin",
    "NotFound",
    "ReauthRequired",
    "Unavailable",
    "Wait",
    "waiting",
]
