"""What a fresh sandbox holds. Every function may run at every start."""

from django.conf import settings
from django.contrib.auth.models import User
from oauth2_provider.models import Application


def users() -> None:
    for first_name, last_name, domain in [("Ada", "Lovelace", "acme"), ("Grace", "Hopper", "globex")]:
        username = first_name.lower()
        if not User.objects.filter(username=username).exists():
            User.objects.create_user(
                username,
                email=f"{username}@{domain}.example",
                password=f"{username}-password",
                first_name=first_name,
                last_name=last_name,
            )


def application() -> None:
    Application.objects.update_or_create(
        name="Everlink sandbox",
        defaults={
            "client_id": settings.CLIENT_ID,
            "client_secret": settings.CLIENT_SECRET,  # hashed as it is saved
            "client_type": Application.CLIENT_CONFIDENTIAL,
            "authorization_grant_type": Application.GRANT_AUTHORIZATION_CODE,
            "redirect_uris": settings.REDIRECT_URIS,
            "skip_authorization": settings.SKIP_CONSENT,
        },
    )
