"""The modules of docs/plugin.md and docs/testing.md, as they stand there: the first line of each says its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from dev.config import ROOT

TEXT = (ROOT / "docs" / "plugin.md").read_text()
TESTING = (ROOT / "docs" / "testing.md").read_text()
MODULE = re.compile(r"^```python\n# (\w+)\.py\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MODULES: dict[str, str] = dict(MODULE.findall(TEXT + TESTING))


def write(folder: Path, here: Mapping[str, str] | None = None) -> list[str]:
    """Put them there, with what is right here in the place of what the pages say. Answers the names of the files."""
    modules = dict(MODULES)
    for words, ours in (here or {}).items():
        assert any(words in code for code in modules.values()), words
        modules = {name: code.replace(words, ours) for name, code in modules.items()}
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code)
    return [f"{name}.py" for name in modules]


def load(name: str) -> ModuleType:
    """One that imports none of the others, whose names are those of rooms of ours."""
    module = ModuleType(name)
    exec(compile(MODULES[name], f"docs: {name}", "exec"), module.__dict__)
    return module
