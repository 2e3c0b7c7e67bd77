"""A provider to develop against: a real OAuth 2 server (django-oauth-toolkit) and an application with API keys.

Run it with ``python -m sandbox``. It never is part of the service.
"""
