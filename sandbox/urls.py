from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from oauth2_provider.urls import base_urlpatterns, metadata_urlpatterns

from sandbox import views

urlpatterns = [
    # The OAuth 2 server. Its metadata is at the root, too, as RFC 8414 wants it for an issuer with a path.
    path("o/", include((base_urlpatterns + metadata_urlpatterns, "oauth2_provider"))),
    path("", include((metadata_urlpatterns, "metadata"))),
    # Pages for people
    path("", views.home, name="home"),
    path("accounts/login/", LoginView.as_view(), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("applications/<int:application_id>/revoke", views.revoke_application, name="revoke-application"),
    path("keys", views.create_key, name="create-key"),
    path("keys/<int:key_id>/revoke", views.revoke_key, name="revoke-key"),
    # What a connection gives access to
    path("api/me", views.me_by_token),
    path("api/contacts", views.contacts_by_token),
    path("api/key/me", views.me_by_key),
    # The customer's part, for programs
    path("control/keys", views.control_create_key),
    path("control/keys/<int:key_id>", views.control_delete_key),
    path("control/revoke", views.control_revoke),
    path("control/tokens", views.control_tokens),
    path("healthz", views.healthz),
]
