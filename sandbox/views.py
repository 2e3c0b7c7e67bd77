import base64
import binascii
from collections.abc import Callable
from functools import wraps

from django.contrib.auth import authenticate
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db.transaction import non_atomic_requests
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from oauth2_provider.oauth2_backends import get_oauthlib_core

from sandbox import contacts, grants
from sandbox.models import ApiKey

# Pages for people


@require_GET
@login_required
def home(request: HttpRequest) -> HttpResponse:
    return _home(request)


@require_POST
@login_required
def revoke_application(request: HttpRequest, application_id: int) -> HttpResponse:
    grants.revoke(request.user, application_id)
    return redirect("home")


@require_POST
@login_required
def create_key(request: HttpRequest) -> HttpResponse:
    _, key = ApiKey.issue(request.user)
    return _home(request, new_key=key)


@require_POST
@login_required
def revoke_key(request: HttpRequest, key_id: int) -> HttpResponse:
    get_object_or_404(ApiKey, pk=key_id, user=request.user).delete()
    return redirect("home")


def _home(request: HttpRequest, new_key: str | None = None) -> HttpResponse:
    context = {
        "applications": grants.connected_applications(request.user),
        "keys": request.user.api_keys.order_by("id"),
        "new_key": new_key,
    }
    return render(request, "home.html", context)


# What a connection gives access to


def by_token(view: Callable[[HttpRequest, User], JsonResponse]) -> Callable[[HttpRequest], JsonResponse]:
    """Answer whoever comes with an access token that may read, by the user who granted it."""

    @require_GET
    @wraps(view)
    def verified(request: HttpRequest) -> JsonResponse:
        valid, grant = get_oauthlib_core().verify_request(request, scopes=["read"])
        if valid:
            return view(request, grant.user)
        if getattr(grant, "oauth2_error", {}).get("error") == "insufficient_scope":
            return _refused(403, "insufficient_scope", challenge="Bearer")
        return _refused(401, "invalid_token", challenge="Bearer")

    return verified


@by_token
def me_by_token(request: HttpRequest, user: User) -> JsonResponse:
    return _profile(user)


@by_token
def contacts_by_token(request: HttpRequest, user: User) -> JsonResponse:
    number = request.GET.get("page", "1")
    if not (number.isdecimal() and 0 < int(number) < 1_000):
        return _refused(400, "invalid_page")
    return JsonResponse(contacts.page(int(number)))


@require_GET
def me_by_key(request: HttpRequest) -> JsonResponse:
    user = ApiKey.owner(request.headers.get("X-Api-Key", ""))
    return _profile(user) if user else _refused(401, "invalid_api_key")


def _profile(user: User) -> JsonResponse:
    return JsonResponse(
        {"id": str(user.pk), "username": user.username, "email": user.email, "name": user.get_full_name()}
    )


def _refused(status: int, error: str, challenge: str | None = None) -> JsonResponse:
    headers = {"WWW-Authenticate": f'{challenge} realm="sandbox", error="{error}"'} if challenge else None
    return JsonResponse({"error": error}, status=status, headers=headers)


# The customer's part, for programs


def control(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Take the customer's user name and password by HTTP Basic instead of a session."""

    @csrf_exempt
    @wraps(view)
    def authenticated(request: HttpRequest, **kwargs: int) -> HttpResponse:
        user = authenticate(request, **_basic_credentials(request))
        if user is None:
            return _refused(401, "invalid_credentials", challenge="Basic")
        request.user = user
        return view(request, **kwargs)

    return authenticated


def _basic_credentials(request: HttpRequest) -> dict[str, str]:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        decoded = base64.b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        decoded = ""
    username, _, password = decoded.partition(":")
    return {"username": username, "password": password}


@control
@require_POST
def control_create_key(request: HttpRequest) -> JsonResponse:
    record, key = ApiKey.issue(request.user)
    return JsonResponse({"id": record.pk, "key": key}, status=201)


@control
@require_http_methods(["DELETE"])
def control_delete_key(request: HttpRequest, key_id: int) -> HttpResponse:
    deleted, _ = ApiKey.objects.filter(pk=key_id, user=request.user).delete()
    return HttpResponse(status=204) if deleted else _refused(404, "unknown_key")


@control
@require_POST
def control_revoke(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"revoked": grants.revoke(request.user)})


@control
@require_GET
def control_tokens(request: HttpRequest) -> JsonResponse:
    return JsonResponse(
        {
            "access": grants.live_access_tokens(request.user).count(),
            "refresh": grants.live_refresh_tokens(request.user).count(),
        }
    )


@require_GET
@non_atomic_requests
def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"ok": True})
