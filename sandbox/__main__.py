"""``python -m sandbox``: migrate, seed, serve until told to stop."""

import os
import signal
import sys

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from waitress import create_server


def main() -> None:
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: os._exit(0))

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sandbox.settings")
    application = get_wsgi_application()

    from sandbox import seed, settings  # models import only once Django is set up

    # The port comes first: a second sandbox stops here, before it touches the first one's database.
    try:
        server = create_server(application, host=settings.HOST, port=settings.PORT, threads=8)
    except OSError as error:
        sys.exit(f"sandbox: cannot listen on {settings.HOST}:{settings.PORT}: {error.strerror}")

    settings.DATABASE.parent.mkdir(parents=True, exist_ok=True)
    call_command("migrate", verbosity=0)
    seed.users()
    seed.application()

    print(f"sandbox ready on http://{settings.HOST}:{server.effective_port}", flush=True)
    server.run()


if __name__ == "__main__":
    main()
