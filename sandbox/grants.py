"""What a customer has allowed, and taking it back."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application, Grant, RefreshToken


def live_access_tokens(user: User) -> QuerySet[AccessToken]:
    return AccessToken.objects.filter(user=user, expires__gt=timezone.now())


def live_refresh_tokens(user: User) -> QuerySet[RefreshToken]:
    tokens = RefreshToken.objects.filter(user=user, revoked=None, access_token__isnull=False)
    if settings.REFRESH_TOKEN_SECONDS:  # counted from the end of the access token issued with it
        latest_end = timezone.now() - timedelta(seconds=settings.REFRESH_TOKEN_SECONDS)
        tokens = tokens.filter(access_token__expires__gt=latest_end)
    return tokens


def connected_applications(user: User) -> QuerySet[Application]:
    return Application.objects.filter(refreshtoken__in=live_refresh_tokens(user)).distinct()


@transaction.atomic
def revoke(user: User, application_id: int | None = None) -> int:
    """End the user's grants, to one application or to all, and say how many live tokens that were."""
    which = {"user": user} if application_id is None else {"user": user, "application": application_id}
    count = sum(live(user).filter(**which).count() for live in (live_access_tokens, live_refresh_tokens))
    now = timezone.now()
    RefreshToken.objects.filter(revoked=None, **which).update(revoked=now, updated=now)
    AccessToken.objects.filter(**which).delete()
    Grant.objects.filter(**which).delete()
    return count
