"""Pillow learns of .arpc when `arpc_codec` is imported, which nevertheless does not import Pillow.

Pillow has no entry points: it imports the plugins of its own folder, when a picture is first opened or saved, and any
other has to be imported by somebody. Importing Pillow for that would take longer than everything else that
`import arpc_codec` does, and commands such as `arpc info` need no Pillow.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from types import ModuleType

_PLUGIN = "arpc_codec.pillow"


class _BeforePillowsPlugins:
    """A finder of no module that imports our plugin just before Pillow imports the first of its own."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """None, so that the next finder is asked."""
        if name.startswith("PIL.") and name.endswith("ImagePlugin"):
            import_module(_PLUGIN)
            # Another thread may have come here too.
            with suppress(ValueError):
                sys.meta_path.remove(self)


def register() -> None:
    """Import the plugin now if Pillow is in use, or else as soon as Pillow looks for plugins."""
    if "PIL.Image" in sys.modules:
        import_module(_PLUGIN)
    else:
        sys.meta_path.insert(0, _BeforePillowsPlugins())
