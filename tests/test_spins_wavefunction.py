import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import physgen
from physgen.errors import InputError
from physgen.spins import (
    Chain,
    FVSBNWavefunction,
    GRUWavefunction,
    Heisenberg,
    MADEWavefunction,
    MinGRUWavefunction,
    NADEWavefunction,
    PauliSum,
    TensorizedWavefunction,
    TransformerWavefunction,
    Wavefunction,
    grown,
    save_wavefunction,
)
from physgen.spins.exact import pauli_matrix
from physgen.spins.local import local_values
from physgen.spins.variants import pack

N = 6
ANSATZE = {
    "gru": lambda **kind: GRUWavefunction(units=6, layers=2, **kind),
    "tensorized": lambda **kind: TensorizedWavefunction(units=6, **kind),
    "mingru": lambda **kind: MinGRUWavefunction(units=6, **kind),
    "transformer": lambda **kind: TransformerWavefunction(width=8, heads=2, layers=2, **kind),
    "nade": lambda **kind: NADEWavefunction(units=6, **kind),
    "made": lambda **kind: MADEWavefunction(width=12, **kind),
    "fvsbn": lambda **kind: FVSBNWavefunction(**kind),
}
KINDS = {
    "complex": {"phase": True},
    "sector": {"phase": True, "sector": 2, "marshall": True},
    "symmetric": {"sector": 0, "spin_flip": True, "reflection": True, "translation": True},
}
MIXED = PauliSum(
    N,
    [(0.5, "XYZ", (0, 2, 4)), (0.3, "ZZZ", (1, 2, 5)), (0.2, "Y", (3,)), (1.0, "", ())]
    + [(-1.0, "X", (i,)) for i in range(N)],
)


def configurations(n=N):
    return (np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1


def built(name, kind, lattice=None):
    """With weights that are not those of a start, where some are zero."""
    wavefunction = ANSATZE[name](**KINDS[kind]).build(lattice or Chain(N, True), rngs=nnx.Rngs(1))
    state = nnx.state(wavefunction, nnx.Param)
    leaves, tree = jax.tree.flatten(state)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    leaves = [a + 0.4 * jax.random.normal(k, a.shape) for k, a in zip(keys, leaves, strict=True)]
    nnx.update(wavefunction, jax.tree.unflatten(tree, leaves))
    return wavefunction


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, "sector") for name in ANSATZE),
        *((name, kind) for name in ("gru", "transformer") for kind in ("complex", "symmetric")),
    ],
)
def test_normalised_sampled_and_local_as_the_dense_matrix(name, kind):
    wavefunction = built(name, kind)
    log_psi = np.asarray(wavefunction.log_psi(configurations()), complex)
    psi = np.exp(log_psi)
    p = np.abs(psi) ** 2
    assert p.sum() == pytest.approx(1, abs=1e-5)

    drawn, log_p = jax.jit(jax.vmap(wavefunction.draw))(jax.random.split(jax.random.key(0), 128))
    own = jax.jit(jax.vmap(wavefunction.network_log_prob))(drawn)
    np.testing.assert_allclose(log_p, own, rtol=2e-6, atol=2e-6)

    there = p > 1e-9
    operator = Heisenberg(N, True, j2=0.4).operator if wavefunction.sector is not None else MIXED
    local, parts = jax.jit(lambda w, c: local_values(w, operator, c))(
        wavefunction, jnp.asarray(configurations()[there])
    )
    wanted = (pauli_matrix(N, operator.strings()) @ np.where(there, psi, 0))[there] / psi[there]
    np.testing.assert_allclose(parts[:, 0], log_psi.real[there], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        np.asarray(local) * psi[there], wanted * psi[there], atol=2e-5 * np.abs(psi).max()
    )

    images = {"symmetric": 4 * N}.get(kind, 1)
    assert len(wavefunction.images) == images
    if kind == "symmetric":
        shifted = np.asarray(
            wavefunction.log_psi(np.roll(1 - configurations()[:, ::-1], 2, axis=1))
        )
        np.testing.assert_allclose(np.exp(shifted), psi, atol=1e-6)
    if wavefunction.sector is not None:
        outside = (1 - 2 * configurations()).sum(axis=1) != wavefunction.sector
        assert (p[outside] == 0).all() and (p[~outside] > 0).all()


@pytest.mark.parametrize("kind", ["complex", "symmetric"])
def test_samples_have_the_frequencies_that_log_prob_says(kind):
    wavefunction = built("gru", kind)
    samples = np.asarray(wavefunction.sample(jax.random.key(5), 40_000))
    counts = np.bincount(samples @ (1 << np.arange(N)[::-1]), minlength=2**N)
    p = np.exp(np.asarray(wavefunction.log_prob(configurations()), float))
    there = p > 1e-12
    assert counts[~there].sum() == 0
    chi_squared = ((counts - 40_000 * p)[there] ** 2 / (40_000 * p[there])).sum()
    assert abs(chi_squared - there.sum()) < 5 * np.sqrt(2 * there.sum())


@pytest.mark.parametrize("name", ["gru", "transformer"])
@pytest.mark.parametrize("sector", [1, -3])
def test_odd_chains_and_larger_spins_have_sectors(name, sector):
    for n, d, total in ((5, 2, sector), (3, 3, 2 * sector // abs(sector)), (3, 3, 0)):
        ansatz = ANSATZE[name](sector=total, local_dimension=d)
        wavefunction = ansatz.build(n, rngs=nnx.Rngs(0))
        every = np.stack(np.meshgrid(*[np.arange(d)] * n, indexing="ij"), -1).reshape(-1, n)
        p = np.exp(np.asarray(wavefunction.log_prob(every), float))
        assert p.sum() == pytest.approx(1, abs=1e-5)
        inside = (d - 1 - 2 * every).sum(axis=1) == total
        assert (p[~inside] == 0).all()
        samples = np.asarray(wavefunction.sample(jax.random.key(0), 200))
        assert ((d - 1 - 2 * samples).sum(axis=1) == total).all()


def test_lanes_hold_every_rest_once():
    rng = np.random.default_rng(0)
    for n, k in ((2, 1), (7, 7), (9, 30)):
        first = np.sort(rng.integers(0, n, k))
        plan = pack(first, n - 1 - first)
        began = {}
        for lane in range(plan.rest.shape[1]):
            for time in range(plan.rest.shape[0]):
                if plan.fresh[time, lane]:
                    number = plan.rest[time, lane]
                    assert number not in began
                    began[number] = (time, lane)
                    length = n - 1 - first[number]
                    sites = plan.site[time : time + length, lane]
                    np.testing.assert_array_equal(sites, np.arange(first[number], n - 1))
                    assert tuple(plan.end[number]) == (time + length - 1, lane)
        assert set(began) == set(np.flatnonzero(first < n - 1))
        later = {(t, plan.lane[t, r]) for t, r in np.argwhere(plan.alive)}
        assert later == {place for place in began.values() if place[0] > 0}
    assert pack(np.arange(40), 39 - np.arange(40)).rest.shape == (39, 20)


@pytest.mark.parametrize("name", ["gru", "tensorized"])
def test_beyond_reach_changes_act_in_linear_order(name):
    n, reach = 14, 3
    wavefunction = built(name, "complex", Chain(n))
    changes = np.zeros((5, n), bool)
    for row, sites in zip(changes, ((0,), (3, 4), (7, 8), (11, 12), (1, 13)), strict=True):
        row[list(sites)] = True
    rows = jnp.asarray(np.random.default_rng(1).integers(0, 2, (2, n)))
    variants = rows[:, None] ^ changes[None]

    def carry_and_rest(row, start):
        carry = jax.tree.map(jnp.asarray, wavefunction.network.start()[0])
        for site in range(start):
            carry, _ = wavefunction.network.advance(carry, row[site], site)

        def rest(carry):
            total = jnp.zeros(2)
            for site in range(start, n - 1):
                carry, outputs = wavefunction.network.advance(carry, row[site], site)
                needed = jnp.zeros((), int)
                total += wavefunction._parts_of_site(outputs, row[site + 1], needed, site + 1)
            return total

        return carry, rest

    found, _ = wavefunction.variants(rows, variants, changes, reach)
    exact, _ = wavefunction.variants(rows, variants, changes)
    wanted = np.array(exact)
    for i, j in ((0, 0), (1, 1), (0, 2)):
        start = int(changes[j].argmax()) + reach
        own, rest = carry_and_rest(rows[i], start)
        other, true_rest = carry_and_rest(variants[i, j], start)
        change = jax.tree.map(jnp.subtract, other, own)
        value, linear = jax.jvp(rest, (own,), (change,))
        wanted[i, j] += value + linear - true_rest(other)
        np.testing.assert_allclose(found[i, j], wanted[i, j], rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(found[:, 3:], exact[:, 3:], rtol=2e-5, atol=2e-5)
    assert np.abs(found - exact)[:, :3].max() > 1e-3
    np.testing.assert_array_equal(
        wavefunction.variants(rows, variants, changes, n)[0], np.asarray(exact)
    )


def test_a_short_reach_is_close_where_the_network_forgets():
    ansatz = GRUWavefunction(units=6, sector=0, spin_flip=True, reflection=True)
    wavefunction = ansatz.build(Chain(24), rngs=nnx.Rngs(1))
    operator = Heisenberg(24, j2=0.3).operator
    rows = wavefunction.sample(jax.random.key(0), 4)

    def local(reach):
        return np.asarray(local_values(wavefunction, operator, rows, reach)[0])

    exact, short = local(None), local(4)
    assert 0 < np.abs(short - exact).max() < 2e-3 * np.abs(exact).max()


def test_saved_and_loaded_it_is_the_same_to_the_bit(tmp_path):
    wavefunction = built("gru", "sector")
    save_wavefunction(tmp_path / "w.h5", wavefunction)
    loaded = physgen.load(tmp_path / "w.h5")
    assert isinstance(loaded, Wavefunction)
    np.testing.assert_array_equal(
        loaded.log_psi(configurations()), wavefunction.log_psi(configurations())
    )
    key = jax.random.key(3)
    np.testing.assert_array_equal(loaded.sample(key, 50), wavefunction.sample(key, 50))
    by_hand = Wavefunction(wavefunction.network, N)
    with pytest.raises(InputError, match="built by an ansatz"):
        save_wavefunction(tmp_path / "v.h5", by_hand)


def test_a_grown_chain_has_the_conditionals_of_the_short_one():
    short = built("gru", "complex", Chain(4))
    long = grown(short, Chain(6))
    row = jnp.asarray([0, 1, 1, 0, 1, 0])
    np.testing.assert_allclose(long.site_parts(row)[:4], short.site_parts(row[:4]), rtol=1e-6)
    with pytest.raises(InputError, match="to grow"):
        grown(built("nade", "complex"), 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GRUWavefunction(sector=0).build(5, rngs=nnx.Rngs(0)), "an odd total 2 S_z"),
        (lambda: GRUWavefunction(sector=8).build(6, rngs=nnx.Rngs(0)), "from -6 to 6"),
        (lambda: GRUWavefunction(sector=2, spin_flip=True).build(6, rngs=nnx.Rngs(0)), "sector 0"),
        (lambda: GRUWavefunction(translation=True).build(6, rngs=nnx.Rngs(0)), "periodic"),
        (lambda: built("gru", "complex").log_psi(np.ones((3, 5), int)), "configurations of shape"),
        (lambda: built("gru", "complex").log_psi(1 - 2 * configurations()), r"take \(1 - z\) / 2"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
