"""A file's rows, whatever its form: where each begins, and what becomes of one that is broken."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from everlink.cli.importing.reading import CHUNK, FileRefused, Row, RowRefused, Rows


def rows(folder: Path, content: str | bytes) -> list[Row]:
    file = folder / "rows"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with Rows(file) as found:
        read = list(found)
        assert found.position <= found.size
        return read


def refused(folder: Path, content: str | bytes) -> str:
    with pytest.raises(FileRefused) as told:
        rows(folder, content)
    return str(told.value)


def lines_and_words(found: list[Row]) -> list[tuple[int, object]]:
    return [(row.line, str(row.values) if isinstance(row.values, RowRefused) else row.values) for row in found]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv(tmp_path: Path, newline: str, mark: str) -> None:
    text = mark + newline.join(["slug, fields.api_key ,name", 'a,k,"two', 'lines"', "", "b,,", "c,too,many,cells"])
    assert lines_and_words(rows(tmp_path, text)) == [
        (2, {"slug": "a", "fields": {"api_key": "k"}, "name": f"two{newline}lines"}),
        (5, {"slug": "b"}),
        (6, "it has 4 cells, and the header has 3"),
    ]


def test_csv_that_is_none_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "a,b,a\n") == "two columns have the same name"
    assert refused(tmp_path, 'a,b\n1,"x"y\n') == "line 2 is not valid CSV"
    assert refused(tmp_path, 'a,b\n1,"' + "never closed\n" * 20_000).endswith("is not valid CSV")
    assert refused(tmp_path, b"a,b\n\xff\xfe,1\n") == "the file is not UTF-8"
    assert refused(tmp_path, b"a,b\n1,\xc3") == "the file is not UTF-8"
    assert lines_and_words(rows(tmp_path, "a,a.b\n1,2\n")) == [(2, "a column is a value and a group at once")]


def test_json_lines(tmp_path: Path) -> None:
    text = '\ufeff{"a": 1}\n\n{"a": \n[1]\n{"a": NaN}\n{"a": "\\ud800"}\n{"a": 2}'
    assert lines_and_words(rows(tmp_path, text)) == [
        (1, {"a": 1}),
        (3, "it is not valid JSON"),
        (4, "it is not a JSON object"),
        (5, "it is not valid JSON"),
        (6, "a text has half a character"),
        (7, {"a": 2}),
    ]
    assert refused(tmp_path, '{"a": "' + "x" * 1_100_000) == "line 1 is too long"


def test_json_array_is_read_across_chunks(tmp_path: Path) -> None:
    some = random.Random(5)
    wanted = [{"n": number, "text": "ü]}[{\n," * some.randrange(4000)} for number in range(60)]
    for indent in (None, 2):
        text = json.dumps(wanted, indent=indent, ensure_ascii=False)
        assert len(text) > 5 * CHUNK
        found = rows(tmp_path, text)
        assert [row.values for row in found] == wanted
        if indent:
            assert [row.line for row in found] == [2 + 4 * number for number in range(60)]
    assert rows(tmp_path, " [] ") == []
    assert lines_and_words(rows(tmp_path, "[1,\n{}]")) == [(1, "it is not a JSON object"), (2, {})]


def test_json_array_that_breaks_off_is_refused_after_what_was_whole(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    file.write_text('[{"a": 1},\n{"a": ')
    with Rows(file) as found:
        reading = iter(found)
        assert next(reading).values == {"a": 1}
        with pytest.raises(FileRefused, match="line 2 is not valid JSON, or the array does not end"):
            next(reading)
    assert "line 1 " in refused(tmp_path, '[{"a": "' + "x" * 2_000_000)


def test_nothing_is_no_row(tmp_path: Path) -> None:
    assert rows(tmp_path, "") == rows(tmp_path, "slug,name\n") == []
    with pytest.raises(FileRefused, match="the file cannot be read: No such file"):
        Rows(tmp_path / "none")
