"""The plugin for a user's own worker."""
