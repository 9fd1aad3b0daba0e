import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physgen.errors import InputError
from physgen.spins import (
    XXZ,
    XY,
    Chain,
    ClusterIsing,
    CustomHamiltonian,
    Heisenberg,
    LongRangeIsing,
    PauliSum,
    Rydberg,
    Square,
    TransverseFieldIsing,
)
from physgen.spins.reference import reference_energy
from physgen.spins.symmetry import conserves_magnetisation, is_symmetric, may_be_positive

MATRICES = {
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1.0, -1.0]),
}


def on_sites(n, **letters):
    product = np.eye(1)
    for site in range(n):
        product = np.kron(product, MATRICES.get(letters.get(f"s{site}"), np.eye(2)))
    return product


def two(n, a, i, b, j):
    return on_sites(n, **{f"s{i}": a, f"s{j}": b})


def one(n, a, i):
    return on_sites(n, **{f"s{i}": a})


def configurations(n):
    return (np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1


def from_rows(operator):
    """The matrix that diagonal and connected elements spell out."""
    n = operator.n
    there, elements, diagonal = rows_of(operator)
    matrix = np.diag(diagonal).astype(complex)
    for index, (others, values) in enumerate(zip(there, elements, strict=True)):
        np.add.at(matrix[index], others @ (1 << np.arange(n)[::-1]), values)
    return matrix


def rows_of(operator):
    @jax.jit
    @jax.vmap
    def rows(configuration):
        return *operator.connected(configuration), operator.diagonal(configuration)

    return map(np.asarray, rows(jnp.asarray(configurations(operator.n))))


def heisenberg(n, bonds):
    return sum(two(n, a, i, a, j) / 4 for a in "XYZ" for i, j in bonds)


RING = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)]
CHAIN = RING[:4]
CASES = {
    "ising": (
        TransverseFieldIsing(5, field=0.7, coupling=1.5, longitudinal=0.2),
        -sum(1.5 * two(5, "Z", i, "Z", j) for i, j in CHAIN)
        - sum(0.7 * one(5, "X", i) + 0.2 * one(5, "Z", i) for i in range(5)),
    ),
    "ising, varying": (
        TransverseFieldIsing(3, True, field=(1.0, 2.0, 3.0), coupling=(0.1, 0.2, 0.3)),
        -0.1 * two(3, "Z", 0, "Z", 1)
        - 0.2 * two(3, "Z", 1, "Z", 2)
        - 0.3 * two(3, "Z", 0, "Z", 2)
        - sum((i + 1.0) * one(3, "X", i) for i in range(3)),
    ),
    "heisenberg": (
        Heisenberg(5, True, j2=0.3),
        heisenberg(5, RING) + 0.3 * heisenberg(5, [(0, 2), (1, 3), (2, 4), (0, 3), (1, 4)]),
    ),
    "xxz": (
        XXZ(5, anisotropy=0.5, coupling=2.0, field=0.4),
        sum(
            0.5 * (two(5, "X", i, "X", j) + two(5, "Y", i, "Y", j) + 0.5 * two(5, "Z", i, "Z", j))
            for i, j in CHAIN
        )
        - 0.2 * sum(one(5, "Z", i) for i in range(5)),
    ),
    "xy": (
        XY(5, anisotropy=0.4, field=0.3),
        -sum(0.7 * two(5, "X", i, "X", j) + 0.3 * two(5, "Y", i, "Y", j) for i, j in CHAIN)
        - 0.3 * sum(one(5, "Z", i) for i in range(5)),
    ),
    "cluster": (
        ClusterIsing(5, cluster=0.8, coupling=0.3, field=0.1),
        -0.8
        * sum(on_sites(5, **{f"s{i - 1}": "X", f"s{i}": "Z", f"s{i + 1}": "X"}) for i in (1, 2, 3))
        - 0.3 * sum(two(5, "Z", i, "Z", j) for i, j in CHAIN)
        - 0.1 * sum(one(5, "Z", i) for i in range(5)),
    ),
    "long range": (
        LongRangeIsing(4, True, exponent=1.5, field=0.6),
        -sum(
            two(4, "Z", i, "Z", j) / min(j - i, 4 - j + i) ** 1.5
            for i in range(4)
            for j in range(i + 1, 4)
        )
        - 0.6 * sum(one(4, "X", i) for i in range(4)),
    ),
    "square": (
        TransverseFieldIsing(Square(2, 3), field=0.5),
        -sum(
            two(6, "Z", i, "Z", j)  # 0 1 2 / 5 4 3
            for i, j in [(0, 1), (1, 2), (3, 4), (4, 5), (0, 5), (1, 4), (2, 3)]
        )
        - 0.5 * sum(one(6, "X", i) for i in range(6)),
    ),
    "any": (
        CustomHamiltonian(
            4,
            terms=(
                (0.5, "XYZ", (0, 2, 3)),
                (0.3, "ZZZ", (1, 2, 3)),
                (0.2, "Y", (3,)),
                (1.5, "", ()),
            ),
        ),
        0.5 * on_sites(4, s0="X", s2="Y", s3="Z")
        + 0.3 * on_sites(4, s1="Z", s2="Z", s3="Z")
        + 0.2 * one(4, "Y", 3)
        + 1.5 * np.eye(16),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_are_those_of_the_dense_matrix(name):
    hamiltonian, dense = CASES[name]
    np.testing.assert_allclose(from_rows(hamiltonian.operator), dense, atol=1e-6)
    assert hamiltonian.operator.trace == pytest.approx(np.trace(dense).real / len(dense))
    spread = dense - np.trace(dense) / len(dense) * np.eye(len(dense))
    wanted = np.sqrt(np.trace(spread @ spread).real / len(dense) / hamiltonian.n)
    assert hamiltonian.operator.scale == pytest.approx(wanted)
    assert hamiltonian.operator.real == (not np.abs(np.imag(dense)).any())


def test_rydberg_atoms_repel_with_the_sixth_power():
    n, hamiltonian = 4, Rydberg(4, rabi=1.2, detuning=0.7, interaction=3.0)
    occupied = [(np.eye(2**n) - one(n, "Z", i)) / 2 for i in range(n)]
    dense = sum(0.6 * one(n, "X", i) - 0.7 * occupied[i] for i in range(n)) + sum(
        3.0 / (j - i) ** 6 * occupied[i] @ occupied[j] for i in range(n) for j in range(i + 1, n)
    )
    np.testing.assert_allclose(from_rows(hamiltonian.operator), dense, atol=1e-6)


@pytest.mark.parametrize("lattice", [Square(3, 3), Square(3, 4, periodic=True), Chain(5, True)])
def test_interactions_over_a_distance_know_the_lattice(lattice):
    """Neighbours on the lattice are neighbours here, wherever the path through it puts them."""
    sides = (lattice.n,) if isinstance(lattice, Chain) else (lattice.rows, lattice.columns)
    places = [np.array(place) for place in np.ndindex(sides)]
    if isinstance(lattice, Square):  # the path goes back along odd rows
        places.sort(key=lambda place: (place[0], place[1] * (-1) ** place[0]))
    strings = LongRangeIsing(lattice, exponent=3.0, field=0.0).strings()
    found = {sites: -value for value, letters, sites in strings if letters == "ZZ"}
    assert len(found) == lattice.n * (lattice.n - 1) // 2
    for (i, j), value in found.items():
        steps = np.abs(places[i] - places[j])
        steps = np.minimum(steps, np.array(sides) - steps) if lattice.periodic else steps
        assert value == pytest.approx(np.linalg.norm(steps) ** -3.0)
    strongest = {pair for pair, value in found.items() if value == pytest.approx(1.0)}
    assert strongest == set(lattice.bonds())
    repulsion = {s: v for v, letters, s in Rydberg(lattice).strings() if letters == "ZZ"}
    assert repulsion == pytest.approx({pair: value**2 / 4 for pair, value in found.items()})


def test_connected_configurations_stay_in_the_sector():
    operator = Heisenberg(6).operator
    there, elements, _ = rows_of(operator)
    here = configurations(6)[:, None]
    assert (there.sum(axis=2) == here.sum(axis=2)).all()
    np.testing.assert_array_equal((there != here).any(axis=2), elements != 0)
    assert ((there != here) <= operator.changes).all()


@pytest.mark.parametrize("name", CASES)
def test_symmetries_are_those_that_commute(name):
    hamiltonian, dense = CASES[name]
    n = hamiltonian.n
    total = sum(one(n, "Z", i) for i in range(n))
    commutes = np.abs(dense @ total - total @ dense).max() < 1e-9
    assert conserves_magnetisation(hamiltonian.operator) == commutes
    flip = on_sites(n, **{f"s{i}": "X" for i in range(n)})
    backwards = np.eye(2**n)[configurations(n)[:, ::-1] @ (1 << np.arange(n)[::-1])]
    for matrix, image in (
        (flip, (tuple(range(n)), True)),
        (backwards, (tuple(range(n))[::-1], False)),
    ):
        same = np.abs(matrix @ dense @ matrix.T - dense).max() < 1e-9
        assert is_symmetric(hamiltonian.operator, image) == same


def test_lattices_count_every_bond_once():
    assert Chain(5, True).bonds(2) == ((0, 2), (1, 3), (2, 4), (0, 3), (1, 4))
    for lattice in (Square(3, 4), Square(3, 4, periodic=True)):
        for order in (1, 2):
            bonds = lattice.bonds(order)
            assert len(set(bonds)) == len(bonds) and all(i < j for i, j in bonds)
            if lattice.periodic:
                assert len(bonds) == 2 * lattice.n
        odd = lattice.sublattice()
        if not lattice.periodic:
            assert all(odd[i] != odd[j] for i, j in lattice.bonds(1))
            assert all(odd[i] == odd[j] for i, j in lattice.bonds(2))
        for order in (
            *lattice.reflections(),
            *(lattice.translations() if lattice.periodic else ()),
        ):
            moved = {tuple(sorted((int(order[i]), int(order[j])))) for i, j in lattice.bonds(1)}
            assert moved == set(lattice.bonds(1))


def test_signs_are_asked_for_where_the_ground_state_has_them():
    marshall = tuple((np.arange(5) % 2).tolist())
    assert may_be_positive(TransverseFieldIsing(5).operator, None)
    assert not may_be_positive(TransverseFieldIsing(5, field=-1.0).operator, None)
    assert not may_be_positive(Heisenberg(5).operator, None)
    assert may_be_positive(Heisenberg(5).operator, marshall)
    assert not may_be_positive(Heisenberg(5, j2=0.2).operator, marshall)
    assert not may_be_positive(PauliSum(2, [(1.0, "Y", (0,))]), None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PauliSum(3, [(1.0, "XQ", (0, 1))]), "letters X, Y and Z"),
        (lambda: PauliSum(3, [(1.0, "XX", (0, 3))]), "sites from 0 to 2"),
        (lambda: PauliSum(3, [(1.0, "XX", (1, 1))]), "multiply out"),
        (lambda: PauliSum(3, [(float("nan"), "X", (1,))]), "finite coefficient"),
        (lambda: TransverseFieldIsing(4, field=(1.0, 2.0)).operator, r"one for each site \(4\)"),
        (lambda: Heisenberg(4, True, j2=0.5).operator, "periodic chain of more than 4"),
        (lambda: ClusterIsing(Square(3, 3)).strings(), "a chain for a cluster of three"),
        (lambda: reference_energy(Heisenberg(4, True, j2=0.5), None), "chain of more than 4"),
        (lambda: Chain(1), "at least 2 sites"),
        (lambda: Chain(4).translations(), "periodic chain for translations"),
        (lambda: Square(2, 2, True), "at least 3 x 3"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
