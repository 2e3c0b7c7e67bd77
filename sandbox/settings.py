"""Django's settings; everything worth changing is an environment variable."""

import os
import secrets
from pathlib import Path

HOST = "127.0.0.1"
PORT = int(os.environ.get("SANDBOX_PORT", "8090"))
DATABASE = Path(os.environ.get("SANDBOX_DB", ".everlink/sandbox.sqlite3")).absolute()
CLIENT_ID = os.environ.get("SANDBOX_CLIENT_ID", "everlink-sandbox")
CLIENT_SECRET = os.environ.get("SANDBOX_CLIENT_SECRET", "sandbox-secret")
REDIRECT_URIS = os.environ.get("SANDBOX_REDIRECT_URIS", "http://127.0.0.1:8080/api/v1/sandbox/callback")
ACCESS_TOKEN_SECONDS = int(os.environ.get("SANDBOX_ACCESS_TOKEN_SECONDS", "60"))
REFRESH_TOKEN_SECONDS = int(os.environ.get("SANDBOX_REFRESH_TOKEN_SECONDS", "0")) or None  # None: no end
GRACE_SECONDS = int(os.environ.get("SANDBOX_GRACE_SECONDS", "0"))
SKIP_CONSENT = os.environ.get("SANDBOX_SKIP_CONSENT") == "1"  # whoever is logged in has allowed it

OAUTH2_PROVIDER = {
    "SCOPES": {"read": "Read your profile", "write": "Change your profile"},
    "PKCE_REQUIRED": True,
    "ALLOW_URI_WILDCARDS": False,
    "ALLOWED_REDIRECT_URI_SCHEMES": ["http", "https"],
    "ACCESS_TOKEN_EXPIRE_SECONDS": ACCESS_TOKEN_SECONDS,
    "REFRESH_TOKEN_EXPIRE_SECONDS": REFRESH_TOKEN_SECONDS,
    "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": GRACE_SECONDS,
    "ROTATE_REFRESH_TOKEN": True,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "OAUTH2_GRANT_TYPES_SUPPORTED": ["authorization_code", "refresh_token"],
    "OAUTH2_RESPONSE_TYPES_SUPPORTED": ["code"],
    # RFC 9700 as far as it goes. Not its hashed token storage: the toolkit can't repeat an answer within
    # the grace period from a hash.
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
}

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATABASE,
        "CONN_MAX_AGE": None,
        # One request at a time decides about a token. Without it, two refreshes with one refresh token both
        # get the same answer, and a refresh under way outlives the customer's revocation.
        "ATOMIC_REQUESTS": True,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=10000",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "sandbox",
    "oauth2_provider",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ]
        },
    }
]
ROOT_URLCONF = "sandbox.urls"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "home"

SECRET_KEY = secrets.token_urlsafe(50)  # a restart logs everyone out
PASSWORD_HASHERS = ["sandbox.hashers.QuickPBKDF2"]
# Cookies are shared by all ports of a host; these names leave the product's alone.
SESSION_COOKIE_NAME = "sandbox_session"
CSRF_COOKIE_NAME = "sandbox_csrf"

# A product opens the consent page in a window of its own and looks whether it was closed: Django's default hides that.
SECURE_CROSS_ORIGIN_OPENER_POLICY = None

USE_I18N = False
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler", "level": "ERROR"}},  # refusals are routine
    "root": {"handlers": ["stderr"]},
}
