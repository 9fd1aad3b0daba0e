"""v12 and sigma12 beside halotools, which wants an older NumPy and so a process of its own.

    python benchmarks/counting.py velocities           # writes velocities.npz
    OTHER/python benchmarks/halotools_velocities.py velocities.npz

OTHER has halotools: pip install "numpy<2" "astropy<6.1" "setuptools<80" --only-binary=:all: \\
"halotools==0.8.2".
"""

import sys
import time

import numpy as np
from halotools.mock_observables import mean_radial_velocity_vs_r, radial_pvd_vs_r

with np.load(sys.argv[1]) as file:
    given = {"rbins_absolute": file["edges"], "period": float(file["box_size"])}
    sample = file["positions"], file["velocities"]
    started = time.process_time()
    mean = mean_radial_velocity_vs_r(*sample, **given)
    seconds = time.process_time() - started
    spread = radial_pvd_vs_r(*sample, **given)
    print(f"halotools, v12 alone: {seconds:.2f} s")
    for name, theirs in (("v12", mean), ("sigma12", spread)):
        off = np.abs(file[name] - theirs).max()
        print(f"{name}: {theirs.min():.4g} to {theirs.max():.4g}, largest difference {off:.2e}")
