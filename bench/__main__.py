"""How fast and how dear Everlink is beside the plainest loop that Temporal can run: `make bench`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from bench import rates
from bench.lab import laboratory
from bench.report import Part, machine, table, write

PARTS = {"rates": rates.measure}


async def main(names: list[str]) -> None:
    about, parts = machine(), dict[str, Part]()
    with tempfile.TemporaryDirectory(prefix="everlink-bench-") as folder:
        async with laboratory(Path(folder)) as lab:
            for name in names:
                parts[name] = await PARTS[name](lab)
                print(table(name, parts[name]), flush=True)
    if names == list(PARTS):
        write(about, parts)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or list(PARTS)))
