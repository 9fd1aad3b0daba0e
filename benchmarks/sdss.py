"""A real survey: load, count, plot; and the counts against scipy's tree.

python benchmarks/sdss.py sdss_dr7_volume_limited.fits
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from physgen.galaxies import measure, read_catalogue, write_measurement


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    started = time.perf_counter()
    catalogue = read_catalogue(options.file)
    measurement = measure(catalogue)
    with tempfile.TemporaryDirectory() as folder:
        write_measurement(Path(folder) / "stats.h5", measurement)
    seconds = time.perf_counter() - started

    counted = measurement.statistics[0]
    tree = cKDTree(catalogue.position[0])
    scipy_counts = np.diff(tree.count_neighbors(tree, counted.edges))
    print(
        json.dumps(
            {
                "galaxies": measurement.galaxies,
                "seconds": round(seconds, 2),
                "edges": counted.edges.tolist(),
                "pairs": counted.values[0].astype(int).tolist(),
                "equal_to_scipy": bool(np.array_equal(counted.values[0], scipy_counts)),
            }
        )
    )


if __name__ == "__main__":
    main()
