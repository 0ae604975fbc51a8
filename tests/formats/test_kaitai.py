"""`formats/arpc.ksy` parses the good vectors: always by a small interpreter, and compiled where node has the compiler.

The interpreter knows the part of Kaitai Struct that the file uses. The compiled run needs `npm install
kaitai-struct-compiler` (found through NODE_PATH or ./node_modules) and the `kaitaistruct` runtime.
"""

import importlib.util
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from arpc_codec.container import read, value_of
from arpc_codec.container.captions import decode_text

yaml = pytest.importorskip("yaml")

FORMATS = Path(__file__).parents[2] / "formats"
GOOD = sorted((FORMATS / "vectors" / "good").glob("*.arpc"))
TEXT = ("keyword", "language", "translated", "text")
# What a structure without checksums or cross-field rules can still refuse.
REFUSED = [
    *("empty", "magic-short", "magic-wrong", "magic-newline", "version-2", "codec-0", "codec-4", "colour-2"),
    *("ext-bit-5", "ext-bit-7", "scales-0", "mode-reserved", "progic-stages-0"),
    *("progic-mode-reserved", "progic-portable", "hpac-mode-reserved", "hpac-depth-reserved", "hpac-tile-reserved"),
    *("phases-0", "phases-4", "header-cut", "header-cut-before-check", "tail-count-0"),
]
REFUSALS: tuple[type[Exception], ...] = (AssertionError, EOFError)
if importlib.util.find_spec("kaitaistruct"):
    import kaitaistruct

    REFUSALS = (*REFUSALS, kaitaistruct.KaitaiStructError)
COMPILE = """
const spec = JSON.parse(require('fs').readFileSync(0, 'utf8'));
require('kaitai-struct-compiler').compile('python', spec, null, false)
  .then(files => process.stdout.write(files['arpc.py']));
"""


class Stream:
    """Bytes with a bit position, as `_io`."""

    def __init__(self, data: bytes) -> None:
        self.data, self.bit = data, 0

    @property
    def pos(self) -> int:
        return -(-self.bit // 8)

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def eof(self) -> bool:
        return self.pos >= self.size

    def bits(self, count: int) -> int:
        if self.bit + count > 8 * self.size:
            raise EOFError
        number = int.from_bytes(self.data, "big") >> (8 * self.size - self.bit - count)
        self.bit += count
        return number & (1 << count) - 1

    def bytes(self, count: int) -> bytes:
        start = self.pos
        if start + count > self.size:
            raise EOFError
        self.bit = 8 * (start + count)
        return self.data[start : start + count]


class Struct:
    """One parsed type; attributes are read fields and, on demand, instances."""

    def __init__(self, spec: dict[str, Any], root: "Struct | None", scope: dict[str, Any], stream: Stream) -> None:
        self._spec, self._io = spec, stream
        self._root = root or self
        self._types = scope | spec.get("types", {})
        for field in spec["seq"]:
            setattr(self, field["id"], self._field(field))

    def __getattr__(self, name: str) -> Any:
        instances = self.__dict__.get("_spec", {}).get("instances", {})
        if name not in instances:
            raise AttributeError(name)
        return self._eval(instances[name]["value"])

    def _eval(self, expression: Any, **names: Any) -> Any:
        if not isinstance(expression, str):
            return expression
        text = re.sub(r"\b\w+::(\w+)", r"'\1'", expression)
        text = re.sub(r"\(([^()?]*)\?([^()?:]*):([^()]*)\)", r"((\2) if (\1) else (\3))", text)
        text = re.sub(r"\b(?!_io\b)(\w+)\.(?:size|length)\b", r"len(\1)", text)
        struct = self

        class Names(dict[str, Any]):
            def __missing__(self, name: str) -> Any:
                try:
                    return getattr(struct, name)
                except AttributeError:
                    raise KeyError(name) from None

        return eval(text, {"__builtins__": {}}, Names(names, len=len, _io=self._io))

    def _field(self, field: dict[str, Any]) -> Any:
        if not self._eval(field.get("if", True)):
            return None
        if field.get("repeat") == "until":
            items: list[Any] = []
            while not items or not self._eval(field["repeat-until"], _=items[-1], _index=len(items) - 1):
                items.append(self._one(field))
            return items
        return self._one(field)

    def _one(self, field: dict[str, Any]) -> Any:
        kind = field.get("type")
        value: Any
        if "contents" in field:
            value = list(self._io.bytes(len(field["contents"])))
            assert value == field["contents"]
        elif "size" in field:
            value = self._io.bytes(self._eval(field["size"]))
            value = value.decode(field["encoding"]) if kind == "str" else value
        elif kind == "u1":
            value = self._io.bytes(1)[0]
        elif re.fullmatch(r"b\d+", kind):
            value = self._io.bits(int(kind[1:]))
            value = bool(value) if kind == "b1" else value
        else:
            value = Struct(self._types[kind], self._root, self._types, self._io)
        if "enum" in field:
            value = self._root._spec["enums"][field["enum"]].get(value, value)
        self._validate(field.get("valid"), value)
        return value

    def _validate(self, rule: Any, value: Any) -> None:
        if isinstance(rule, dict):
            assert value in [self._eval(item) for item in rule.get("any-of", [])] or "any-of" not in rule
            assert rule.get("min", value) <= value <= rule.get("max", value) if "min" in rule else True
            assert self._eval(rule.get("expr", True), _=value)
        elif rule is not None:
            assert value == rule


Parse = Callable[[bytes], Any]


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    return yaml.safe_load((FORMATS / "arpc.ksy").read_text(encoding="utf-8"))


def compiled(spec: dict[str, Any], folder: Path) -> Parse:
    """The class that the real compiler makes of the specification; skips where it cannot be run."""
    runtime = pytest.importorskip("kaitaistruct")
    node = shutil.which("node")
    if not node:
        pytest.skip("node is not installed")
    if subprocess.run([node, "-e", "require.resolve('kaitai-struct-compiler')"], capture_output=True).returncode:
        pytest.skip("kaitai-struct-compiler is not installed: npm install kaitai-struct-compiler")
    text = json.dumps(spec)
    source = subprocess.run([node, "-e", COMPILE], input=text, capture_output=True, text=True, check=True).stdout
    path = folder / "arpc_ksy.py"
    path.write_text(source, encoding="utf-8")
    loaded = importlib.util.spec_from_file_location("arpc_ksy", path)
    assert loaded
    assert loaded.loader
    module = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(module)
    return lambda data: module.Arpc(runtime.KaitaiStream(io.BytesIO(data)))


@pytest.fixture(scope="module", params=["interpreted", "compiled"])
def parse(request: pytest.FixtureRequest, spec: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Parse:
    if request.param == "compiled":
        return compiled(spec, tmp_path_factory.mktemp("ksy"))
    return lambda data: Struct(spec, None, {}, Stream(data))


def caption_of(tree: Any) -> str:
    if not (tree.has_ext and tree.ext.has_caption):
        return ""
    return decode_text(tree.caption.coded).decode() if tree.caption.is_coded else tree.caption.text


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_vectors_parse_alike(path: Path, parse: Parse) -> None:
    data = path.read_bytes()
    container, tree = read(data), parse(data)
    header = container.header
    assert str(getattr(tree.codec, "name", tree.codec)) == header.codec.name.lower()
    assert str(getattr(tree.colour, "name", tree.colour)) == header.colour.name.lower()
    assert (tree.model_id.value, tree.width, tree.height) == (header.model_id, header.width, header.height)
    assert tree.num_segments == header.scales
    assert (tree.phases if tree.has_ext and tree.ext.has_partial else None) == header.phases
    assert caption_of(tree) == header.caption
    assert bool(tree.has_ext and tree.ext.is_tiled) == header.tiled
    segments = getattr(tree, "segments", None) or []
    assert tuple(segment.data for segment in segments if segment.is_whole) == container.segments
    tail = getattr(tree, "tail", None)
    chunks = [chunk for chunk in (tail.chunks if tail else []) if len(chunk.data) == chunk.len_data.value]
    types = [chunk.is_critical << 7 | chunk.is_private << 6 | chunk.type_number for chunk in chunks]
    assert list(zip(types, (chunk.data for chunk in chunks), strict=True)) == [
        (chunk.type, chunk.data) for chunk in container.chunks
    ]


def test_description(spec: dict[str, Any]) -> None:
    container = read((FORMATS / "vectors" / "good" / "hpac-described.arpc").read_bytes())
    found = {chunk.name: chunk for chunk in container.chunks}

    def parsed(name: str) -> Any:
        shown = {"seq": [{"id": "it", "type": name}], "types": spec["types"], "enums": spec["enums"]}
        return Struct(shown, None, {}, Stream(found[name].data)).it

    tree, resolution = parsed("resolution"), value_of(found["resolution"])
    assert tree.unit == resolution.unit.name.lower()
    ratios = [Fraction(ratio.numerator.value, ratio.denominator.value) for ratio in (tree.x, tree.y)]
    assert ratios == [resolution.x, resolution.y]
    texts = [[getattr(text, name).value for name in TEXT] for text in parsed("texts").texts]
    assert texts == [[getattr(text, name) for name in TEXT] for text in value_of(found["texts"])]
    assert len(texts) == 4


@pytest.mark.parametrize("name", REFUSED)
def test_bad_vectors_are_refused(name: str, parse: Parse) -> None:
    data = (FORMATS / "vectors" / "bad" / f"{name}.arpc").read_bytes()
    with pytest.raises(REFUSALS):
        parse(data)
