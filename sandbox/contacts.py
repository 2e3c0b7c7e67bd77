"""What a customer keeps at the sandbox, for products that sync it: the same for each of them."""

from itertools import product
from typing import Any

FIRST = ("Amina", "Bruno", "Chen", "Dalia", "Edvard", "Farah", "Goran", "Hana", "Ivo", "Jana")
LAST = ("Abadi", "Berg", "Costa", "Dahl", "Eze")
CONTACTS = [
    {"id": f"contact-{number}", "name": f"{first} {last}"}
    for number, (last, first) in enumerate(product(LAST, FIRST), 1)
]
PAGE_SIZE = 5


def page(number: int) -> dict[str, Any]:
    """A page of them, the first one is 1; `next_page` is None on the last."""
    end = number * PAGE_SIZE
    return {"contacts": CONTACTS[end - PAGE_SIZE : end], "next_page": number + 1 if end < len(CONTACTS) else None}
