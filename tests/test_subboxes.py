"""Sub-boxes against a mask of each cell, and the way back."""

import numpy as np
import pytest

from physgen.errors import InputError
from physgen.galaxies import Catalogue, cut, tile
from physgen.galaxies.column import Column


def boxes(n=3, galaxies=200, dtype=np.float32, box=96.0, seed=0):
    rng = np.random.default_rng(seed)
    position = rng.uniform(0, box, (n, galaxies, 3)).astype(dtype) % dtype(box)
    return Catalogue(
        position,
        mask=rng.uniform(size=(n, galaxies)) < 0.8,
        velocity=rng.normal(size=(n, galaxies, 3)),
        log_mass=rng.normal(13, 1, (n, galaxies)),
        columns=(Column("concentration", rng.uniform(size=(n, galaxies))),),
        parameters=rng.uniform(size=(n, 2)),
        parameter_names=("Omega_m", "sigma_8"),
        box_size=box,
    )


def rows(catalogue, i):
    """The galaxies of box i, in an order of their own."""
    kept = catalogue.mask[i]
    table = np.column_stack(
        [getattr(catalogue, name)[i] for name in ("position", "velocity", "log_mass")]
        + [catalogue.columns[0].values[i]]
    )[kept]
    return table[np.argsort(table[:, -1])]


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_sub_boxes_hold_what_lies_in_them(pieces):
    whole = boxes()
    small = cut(whole, pieces)
    side = 96.0 / pieces
    assert len(small) == 3 * pieces**3 and small.box_size == side
    number = 0
    for b in range(3):
        for cell in np.ndindex(pieces, pieces, pieces):
            corner = np.array(cell) * side
            x = whole.position[b]
            inside = ((x >= corner) & (x < corner + side)).all(axis=1) & whole.mask[b]
            expected = np.column_stack(
                [x - corner, whole.velocity[b], whole.log_mass[b], whole.columns[0].values[b]]
            )[inside]
            expected = expected[np.argsort(expected[:, -1])]
            np.testing.assert_array_equal(rows(small, number), expected)
            np.testing.assert_array_equal(small.parameters[number], whole.parameters[b])
            number += 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("pieces", "box"), [(2, 1000.0), (3, 1000.0), (5, 75.0), (7, 1.0)])
def test_tile_is_the_inverse_of_cut(dtype, pieces, box):
    whole = boxes(dtype=dtype, box=box)
    back = tile(cut(whole, pieces), pieces)
    assert len(back) == 3 and back.box_size == pytest.approx(box, rel=1e-15)
    assert back.parameter_names == whole.parameter_names
    np.testing.assert_array_equal(back.parameters, whole.parameters)
    for i in range(3):
        np.testing.assert_array_equal(rows(back, i), rows(whole, i))


def test_galaxies_on_faces_belong_to_the_box_that_begins_there():
    faces = np.array([0.0, 32.0, 64.0])
    position = np.stack(np.meshgrid(faces, faces, faces, indexing="ij"), -1).reshape(1, 27, 3)
    small = cut(Catalogue(position, box_size=96.0), 3)
    assert small.counts.tolist() == [1] * 27
    assert not small.position.any()


def test_a_galaxy_just_below_a_face_stays_in_its_box():
    """Sides that floats cannot hold: a third of 1000."""
    edges = np.float32([1000 / 3, 2000 / 3, 1000])
    below, above = np.nextafter(edges, np.float32(0)), edges[:2]
    x = np.concatenate([below, above])
    position = np.stack([x, np.zeros_like(x), np.zeros_like(x)], axis=1)[None]
    whole = Catalogue(position, box_size=1000.0)
    back = tile(cut(whole, 3), 3)
    found = np.sort(back.position[0, :, 0])
    np.testing.assert_allclose(found, np.sort(x), rtol=2e-7)


def test_empty_sub_boxes_are_kept():
    small = cut(Catalogue(np.full((1, 4, 3), 1.0), box_size=10.0), 2)
    assert small.counts.tolist() == [4, 0, 0, 0, 0, 0, 0, 0]
    assert tile(small, 2).counts.tolist() == [4]


def refused(call):
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_does_not_tile_is_refused():
    whole = boxes()
    assert "periodic box" in refused(lambda: cut(Catalogue(whole.position), 2))
    assert "at least 1" in refused(lambda: cut(whole, 0))
    assert "multiple of 2^3 sub-boxes, got 3" in refused(lambda: tile(whole, 2))
    mixed = cut(whole, 2).select(np.roll(np.arange(24), 1))
    assert "different ones" in refused(lambda: tile(mixed, 2))
    assert "periodic box" in refused(lambda: tile(Catalogue(np.ones((8, 1, 3))), 2))
