"""Writers of halo catalogues in the layouts of others, from positions in Mpc/h, km/s and Msun/h."""

import h5py
import numpy as np

BOX = 1000.0
# fmt: off
ROCKSTAR_COLUMNS = [
    "ID", "DescID", "Mvir", "Vmax", "Vrms", "Rvir", "Rs", "Np", "X", "Y", "Z", "VX", "VY", "VZ",
    "JX", "JY", "JZ", "Spin", "rs_klypin", "Mvir_all", "M200b", "M200c",
]
# fmt: on


def haloes(n=40, seed=0, box=BOX):
    rng = np.random.default_rng(seed)
    position = rng.uniform(0, box, (n, 3)).astype(np.float32).astype(np.float64)
    velocity = rng.normal(0, 300, (n, 3)).astype(np.float32).astype(np.float64)
    mass = (10 ** rng.uniform(12, 15, n)).astype(np.float32).astype(np.float64)
    return position, velocity, mass


def write_rockstar(path, position, velocity, mass, *, box=BOX, columns=None, pid=None):
    columns = list(columns or ROCKSTAR_COLUMNS)
    table = np.zeros((len(mass), len(columns)))
    lower = [name.lower() for name in columns]
    for axis, name in enumerate("xyz"):
        table[:, lower.index(name)] = position[:, axis]
        table[:, lower.index("v" + name)] = velocity[:, axis]
    table[:, next(i for i, name in enumerate(lower) if name in ("mvir", "m200b", "m200c"))] = mass
    if pid is not None:
        columns.append("PID")
        table = np.column_stack([table, pid])
    lines = [
        "#" + " ".join(columns),
        "#a = 1.000000",
        "#Om = 0.317500; Ol = 0.682500; h = 0.671100",
        f"#Box size: {box:f} Mpc/h",
        "#Units: Positions in Mpc / h (comoving)",
    ]
    rows = [" ".join(f"{value:.17g}" for value in row) for row in table]
    path.write_text("\n".join(lines + rows) + "\n")


def write_rockstar_binary(
    path, position, velocity, mass, *, box=BOX, revision=2, extra=0, chunk=0, particles=3
):
    """Field after field, as C lays out the structures of io_internal.h and halo.h."""
    header = np.uint64(0xFADEDACEC0C0D0D0).tobytes() + np.array([5, chunk], "<i8").tobytes()
    header += np.array([1, 0.3, 0.7, 0.7, *[0] * 3, *[box] * 3], "<f4").tobytes()
    header += np.array([len(mass), particles * len(mass)], "<i8").tobytes()
    header += np.array([box, 1e9], "<f4").tobytes() + np.array([1], "<i8").tobytes()
    header += np.array([revision], "<i4").tobytes() + b"0.99.9-RC3".ljust(12, b"\0")
    body = b""
    for i in range(len(mass)):
        body += np.array([i], "<i8").tobytes()
        floats = [*position[i], *velocity[i], *[-1] * 6]  # pos[6], corevel, bulkvel
        floats += [2 * mass[i], 500, 500, 500, mass[i]]  # m, r, child_r, vmax_r, mgrav
        floats += [7] * (30 + (revision == 2))
        packed = np.array(floats, "<f4").tobytes()
        body += packed + b"\0" * (-len(packed) % 8)
        body += np.array([particles, 0, 0, -1, 0, 0], "<i8").tobytes()
        packed = np.array([9, 9, 9, *[8] * extra], "<f4").tobytes()
        body += packed + b"\0" * (-(len(packed)) % 8)
    body += np.arange(particles * len(mass), dtype="<i8").tobytes()
    path.write_bytes(header.ljust(256, b"\0") + body)


def write_fof(folder, position, velocity, mass, *, snapshot=4, redshift=0.0, files=3, extra=0):
    folder.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(np.array_split(np.arange(len(mass)), files)):
        n = len(part)
        with (folder / f"group_tab_{snapshot:03d}.{number}").open("wb") as file:
            np.array([n, len(mass), 0], "<i4").tofile(file)
            np.array([0], "<u8").tofile(file)
            np.array([files], "<u4").tofile(file)
            np.arange(n, dtype="<i4").tofile(file)
            np.arange(n, dtype="<i4").tofile(file)
            (mass[part] / 1e10).astype("<f4").tofile(file)
            (position[part] * 1e3).astype("<f4").tofile(file)
            (velocity[part] / (1 + redshift)).astype("<f4").tofile(file)
            np.zeros((n, 12 + extra), "<f4").tofile(file)


def write_subfind(
    folder, position, velocity, mass, *, name="fof_subhalo_tab_033", chunks=1, redshift=0.0,
    box=BOX, length=1e-3, flags=None, attributes=(),
):  # fmt: skip
    """The same objects as groups and, mirrored in mass, as subhaloes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(np.array_split(np.arange(len(mass)), chunks)):
        path = folder / (f"{name}.{number}.hdf5" if chunks > 1 else f"{name}.hdf5")
        with h5py.File(path, "w") as file:
            header = file.create_group("Header")
            header.attrs.update(
                {
                    "BoxSize": box / length,
                    "Redshift": redshift,
                    "Time": 1 / (1 + redshift),
                    "NumFiles": np.int32(chunks),
                    "Ngroups_ThisFile": np.int32(len(part)),
                    "Nsubgroups_ThisFile": np.int32(len(part)),
                    **dict(attributes),
                }
            )
            groups, subhalos = file.create_group("Group"), file.create_group("Subhalo")
            if not len(part):
                continue
            for group, prefix, speed, masses in (
                (groups, "Group", 1 / (1 + redshift), mass),
                (subhalos, "Subhalo", 1.0, mass[::-1]),
            ):
                group[f"{prefix}Pos"] = (position[part] / length).astype("<f4")
                group[f"{prefix}Vel"] = (velocity[part] * speed).astype("<f4")
                group[f"{prefix}Mass"] = (masses[part] / 1e10).astype("<f4")
            if flags is not None:
                subhalos["SubhaloFlag"] = flags[part]
