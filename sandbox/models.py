import hashlib
import secrets

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models


class ApiKey(models.Model):
    """A customer's API key. The key itself is shown once; only its digest is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    digest = models.CharField(max_length=64, unique=True)
    last_four = models.CharField(max_length=4)
    created = models.DateTimeField(auto_now_add=True)

    @classmethod
    def issue(cls, user: User) -> tuple["ApiKey", str]:
        key = "sk_sandbox_" + secrets.token_urlsafe(32)
        return cls.objects.create(user=user, digest=_digest(key), last_four=key[-4:]), key

    @classmethod
    def owner(cls, key: str) -> User | None:
        return User.objects.filter(api_keys__digest=_digest(key)).first()


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
