"""Words from outside in the Markdown of Temporal's Web UI."""

from __future__ import annotations

import re


def verbatim(text: str) -> str:
    """A customer's or provider's words as a code span: shown as they are, and never as a link, an image or a table."""
    line = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    inner = f" {line} " if line.startswith("`") or line.endswith("`") else line or " "
    return f"{fence}{inner}{fence}"


def harmless(text: str) -> str:
    """The same as it is where it is plain words, which read better so."""
    return text if re.fullmatch("[A-Za-z0-9 _-]+", text) else verbatim(text)
