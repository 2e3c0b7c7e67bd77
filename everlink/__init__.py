"""Everlink for a product's own code: the client, what it answers and raises, the plugin for Temporal workers."""

from everlink.client import Client
from everlink.errors import EverlinkError, NotFound, ReauthRequired, Unavailable
from everlink.plugin import Credential, EverlinkPlugin, Wait, credential, http, waiting

__all__ = [
    "Client",
    "Credential",
    "EverlinkError",
    "EverlinkPlugin",
    "NotFound",
    "ReauthRequired",
    "Unavailable",
    "Wait",
    "credential",
    "http",
    "waiting",
]
