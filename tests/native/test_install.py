"""The package installs with a compiler and without one, and codes lossless pictures either way."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = """
import numpy as np, arpc_codec, hashlib
from arpc_codec import native
assert not arpc_codec.__file__.startswith({root!r}), arpc_codec.__file__
samples = (np.add.outer(3 * np.arange(40), np.arange(44))[..., None] % 251 + np.arange(3)).astype(np.uint8)
data = arpc_codec.encode(samples, lossless=True)
assert (arpc_codec.decode_array(data) == samples).all()
print(bool(native.version()), hashlib.sha256(data).hexdigest())
"""


def installed(tmp_path: Path, source: Path, **environment: str) -> list[str]:
    """What CODE says in an environment of its own that has the package from `source`, and all else from this one."""
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    there = subprocess.run(ask, capture_output=True, text=True, check=True)
    target = there.stdout.strip()
    env = {**os.environ, **environment}
    env.pop("PYTHONPATH", None)
    words = ["install", "-q", "--no-build-isolation", "--no-deps", "--no-index", "--target", target, str(source)]
    subprocess.run([sys.executable, "-m", "pip", *words], env=env, check=True, capture_output=True, timeout=600)
    # Behind the package itself: this environment may have another copy of it.
    others = [path for path in sys.path if "site-packages" in path]
    code = f"import sys; sys.path += {others!r}\n" + CODE.format(root=str(ROOT))
    done = subprocess.run([python, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
def test_with_a_compiler_and_without(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    words = [sys.executable, "-c", "import setuptools.build_meta as b, sys; print(b.build_sdist(sys.argv[1]))"]
    done = subprocess.run([*words, str(tmp_path)], cwd=ROOT, check=True, capture_output=True, text=True, timeout=300)
    with tarfile.open(tmp_path / done.stdout.split()[-1]) as archive:
        paths = [Path(name) for name in archive.getnames()]
        archive.extractall(tmp_path / "source", filter="data")
    assert {path.name for path in (ROOT / "src/arpc_codec/native").glob("*.[ch]")} <= {path.name for path in paths}
    weights = {path.name for path in (ROOT / "src/arpc_codec/weights").rglob("*.safetensors")}
    assert {path.name for path in paths if path.suffix == ".safetensors"} == weights
    assert {"arpc-v1.md", "arpc.thumbnailer", "CHANGELOG.md"} <= {path.name for path in paths}
    assert not {"dev", "tests"} & {part for path in paths for part in path.parts}
    (source,) = (tmp_path / "source").iterdir()
    without = installed(tmp_path / "without", source, CC="/bin/false", LDSHARED="/bin/false")
    assert without[0] == "False"
    if (compiled := installed(tmp_path / "with", source))[0] == "True":
        assert compiled[1] == without[1]
    else:
        pytest.skip("no compiler here")
