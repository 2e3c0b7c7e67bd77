"""The plugin for a user's own worker."""

from everlink.plugin.credentials import Credential, credential
from everlink.plugin.http import http

__all__ = ["Credential", "credential", "http"]
