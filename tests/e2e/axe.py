"""axe-core, from npm as it is: what a page makes hard for people with disabilities, as far as a program can tell."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Frame, Page

from tests.e2e import npm

PACKAGE = "axe-core@4.14.1"
INTEGRITY = "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="


def unpack(folder: Path) -> Path:
    """Get the script."""
    return npm.unpack(PACKAGE, INTEGRITY, folder) / "axe.min.js"


async def violations(page: Page | Frame, script: Path) -> list[str]:
    """What it finds on the page: by which rule, and where. The page's context has to let scripts in (`bypass_csp`)."""
    await page.add_script_tag(path=script)
    found = await page.evaluate("async () => (await axe.run(document)).violations")
    return [f"{one['id']}: {node['html'][:200]} {node['failureSummary']}" for one in found for node in one["nodes"]]
