"""Everlink for a product's own code: the client, what it answers and what it raises."""

from everlink.client import Client
from everlink.errors import EverlinkError, NotFound, ReauthRequired, Unavailable
from everlink.plugin import Credential, credential, http

__all__ = ["Client", "Credential", "EverlinkError", "NotFound", "ReauthRequired", "Unavailable", "credential", "http"]
