"""The pictures of the README and the docs, from the emulator and the simulations in data/.

python benchmarks/images.py data docs/images
"""

import argparse
import os
from pathlib import Path

import jax

from physgen.galaxies import GalaxyEmulator, generate, read_catalogue, validate_catalogues

PICTURES = {
    "Galaxies": "slices",
    "Where the means differ": "differences",
    "Xi": "xi",
    "Power spectrum": "power",
}


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("images", type=Path)
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    held_out = read_catalogue(options.data / "heldout.h5")
    emulator = GalaxyEmulator.load(options.data / "emulator.h5")
    generated = generate(jax.random.key(0), emulator, held_out.parameters)
    _, figures = validate_catalogues(generated, held_out)
    options.images.mkdir(exist_ok=True)
    for captioned in figures:
        if captioned.title in PICTURES:
            path = options.images / f"{PICTURES[captioned.title]}.png"
            captioned.figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
