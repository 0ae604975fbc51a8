"""The C extension; all else is in pyproject.toml.

It is optional: without a compiler numpy does its work. ARPC_REQUIRE_NATIVE=1 makes it an error when it cannot be built,
ARPC_DEBUG=1 builds it with every index checked, ARPC_CFLAGS adds options, such as sanitizers (CONTRIBUTING.md).
"""

import os
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

FOLDER = Path("src/arpc_codec/native")
added = os.environ.get("ARPC_CFLAGS", "").split()
macros = [("ARPC_CHECKS", "1")] if os.environ.get("ARPC_DEBUG") else []
# A Python without the global lock has no stable ABI.
limited = not sysconfig.get_config_var("Py_GIL_DISABLED")
if limited:
    macros.append(("Py_LIMITED_API", "0x030A0000"))
# No multiply-add is contracted and no sum reordered: files are the same with numpy and on every machine. CFLAGS come
# before these options and may ask for it (as -Ofast does); at link time they would have the whole process flush
# subnormal numbers.
exact = ["-O3", "-fno-fast-math", "-fno-unsafe-math-optimizations", "-fno-associative-math", "-fno-reciprocal-math"]
if "MSC" in sys.version:
    options, exact = ["/O2", "/fp:precise", "/std:c11"], []
else:
    options = ["-std=c11", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra", "-ffp-contract=off"]

setup(
    ext_modules=[
        Extension(
            "arpc_codec.native._wavefront",
            sorted(path.as_posix() for path in FOLDER.glob("*.c")),
            depends=sorted(path.as_posix() for path in FOLDER.glob("*.h")),
            define_macros=macros,
            extra_compile_args=[*exact, *options, *added],
            extra_link_args=[*exact, *added],
            py_limited_api=limited,
            optional=os.environ.get("ARPC_REQUIRE_NATIVE") != "1",
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp310"}} if limited else {},
)
