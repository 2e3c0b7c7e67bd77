from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickPBKDF2(PBKDF2PasswordHasher):
    """Django's hasher with fewer rounds: the token endpoint checks the client secret at every refresh."""

    iterations = 1_000
