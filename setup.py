"""The C extension; all else is in pyproject.toml.

It is optional: without a compiler numpy does its work. ARPC_DEBUG=1 builds it with every index checked, ARPC_CFLAGS
adds options, such as sanitizers (CONTRIBUTING.md).
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

FOLDER = Path("src/arpc_codec/native")
debug = bool(os.environ.get("ARPC_DEBUG"))
if sys.platform == "win32":
    options = ["/O2", "/fp:precise", "/std:c11"]
else:
    # No multiply-add is contracted and no sum reordered: files are the same with numpy and on every machine.
    options = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra"]

setup(
    ext_modules=[
        Extension(
            "arpc_codec.native._wavefront",
            sorted(path.as_posix() for path in FOLDER.glob("*.c")),
            depends=sorted(path.as_posix() for path in FOLDER.glob("*.h")),
            define_macros=[("Py_LIMITED_API", "0x030A0000"), *([("ARPC_CHECKS", "1")] if debug else [])],
            extra_compile_args=[*options, *os.environ.get("ARPC_CFLAGS", "").split()],
            extra_link_args=os.environ.get("ARPC_CFLAGS", "").split(),
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
