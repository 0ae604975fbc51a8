"""Compare a module that was built elsewhere with numpy: worker.py MODULE FIRST COUNT."""

from __future__ import annotations

import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader

NAME = "arpc_codec.native._wavefront"


def main() -> None:
    path, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    loader = ExtensionFileLoader(NAME, path)
    spec = spec_from_loader(NAME, loader)
    assert spec is not None
    sys.modules[NAME] = module_from_spec(spec)
    loader.exec_module(sys.modules[NAME])
    from made_up import bundled, compared, random_model

    from arpc_codec import native

    assert native._wavefront is sys.modules[NAME]
    trained = {channels: bundled(channels) for channels in (1, 3)}
    for seed in range(first, first + count):
        channels = 1 if seed % 3 == 0 else 3
        compared(seed, trained[channels] if seed % 2 else random_model(seed, channels))


if __name__ == "__main__":
    main()
