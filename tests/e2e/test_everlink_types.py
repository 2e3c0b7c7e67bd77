"""everlink.d.ts by the real TypeScript compiler: it is sound, fits code that uses it, and has what the script has."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from api.routes.sdk import SCRIPT, TYPES
from tests.e2e import npm

PACKAGE = "typescript@5.9.3"
INTEGRITY = "sha512-jl1vZzPDinLr9eUt3J/t7V6FgNEw9QjvBPdysz9KfQDD41fQrC2Y4vKQdiaUpFT4bXlb1RHhLpp8wtm6M5TgSw=="
OPTIONS = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom"]
METHOD = re.compile(r"^(?:    |  )(?:async )?([a-z]\w*)\(", re.MULTILINE)


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("typescript")
    npm.unpack(PACKAGE, INTEGRITY, folder)
    (folder / "everlink.d.ts").write_bytes(TYPES)
    shutil.copy(Path(__file__).with_name("everlink_user.ts"), folder)
    return folder


def compiled(folder: Path, *files: str) -> str:
    command = ["node", "package/lib/tsc.js", *OPTIONS, *files]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder)
    return ran.stdout


def test_types_fit_code_that_uses_them(compiler: Path) -> None:
    assert compiled(compiler, "everlink_user.ts") == ""


def test_compiler_sees_what_does_not_fit(compiler: Path) -> None:
    """The test above would pass with types that say nothing, too."""
    user = (compiler / "everlink_user.ts").read_text()
    (compiler / "wrong.ts").write_text(user.replace("// @ts-expect-error", "// expected"))
    errors = re.findall(r"^wrong\.ts\(\d+,\d+\): error", compiled(compiler, "wrong.ts"), re.MULTILINE)
    assert len(errors) == user.count("@ts-expect-error") == 6


def test_types_and_script_have_the_same_methods() -> None:
    typed = re.search(r"declare class Everlink \{(.*?)^\}", TYPES.decode(), re.MULTILINE | re.DOTALL)
    written = re.search(r"^  class Everlink \{(.*?)^  \}", SCRIPT.decode(), re.MULTILINE | re.DOTALL)
    assert typed and written
    assert set(METHOD.findall(typed[1])) | {"on"} == set(METHOD.findall(written[1]))
