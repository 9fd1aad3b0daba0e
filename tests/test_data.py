import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import ks_2samp, kstest

from physgen.data import NormalScores, Standardisation, batch_indices, seed_of, split
from physgen.errors import InputError


@given(n=st.integers(2, 200), fraction=st.floats(0, 0.99), seed=st.integers(0, 2**32 - 1))
def test_split_is_a_partition(n, fraction, seed):
    train, validation = split(jax.random.key(seed), n, fraction)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), np.arange(n))
    assert len(train) >= 1
    assert (len(validation) >= 1) == (fraction > 0)
    assert abs(len(validation) - n * fraction) <= 1


def test_split_holds_out_no_more_than_asked():
    train, validation = split(jax.random.key(0), 100, 0.3, 5)
    assert len(validation) == 5 and len(train) == 95
    assert len(split(jax.random.key(0), 100, 0.03, 5)[1]) == 3


def test_split_depends_on_the_key_alone():
    first, again, other = (split(jax.random.key(s), 100, 0.3)[1] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    generator = split(np.random.default_rng(0), 100, 0.3)
    np.testing.assert_array_equal(generator[1], split(np.random.default_rng(0), 100, 0.3)[1])


@pytest.mark.parametrize("n, fraction", [(1, 0.1), (0, 0.0), (10, 1.0), (10, -0.1), (10, np.nan)])
def test_split_refuses_the_impossible(n, fraction):
    with pytest.raises(InputError):
        split(jax.random.key(0), n, fraction)


@given(
    n=st.integers(1, 40),
    batch_size=st.integers(1, 60),
    start=st.integers(0, 50),
    steps=st.integers(1, 30),
    seed=st.integers(0, 2**64 - 1),
)
def test_batches_cut_a_sequence_of_permutations(n, batch_size, start, steps, seed):
    stream = batch_indices(seed, 0, start + steps, batch_size, n)
    assert stream.shape == (start + steps, batch_size)
    whole = stream.size // n
    for epoch in stream.reshape(-1)[: whole * n].reshape(whole, n):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(n))
    np.testing.assert_array_equal(batch_indices(seed, start, steps, batch_size, n), stream[start:])


def test_epochs_and_seeds_are_shuffled_differently():
    epochs = batch_indices(seed_of(jax.random.key(3)), 0, 2, 1000, 1000)
    other = batch_indices(seed_of(jax.random.key(4)), 0, 1, 1000, 1000)
    # Two random permutations of 1000 agree in one place on average.
    assert np.sum(epochs[0] == epochs[1]) < 10
    assert np.sum(epochs[0] == other[0]) < 10


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.tuples(st.integers(1, 20), st.integers(1, 3), st.integers(1, 2)),
        elements=st.floats(-1e3, 1e3, width=32),
    )
)
def test_standardisation_round_trip_and_moments(values):
    moments = Standardisation.fit(values)
    z = moments.apply(values)
    assert z.dtype == values.dtype == moments.scale.dtype
    resolution = np.finfo(values.dtype).eps * (np.abs(values).max(axis=0) + moments.scale)
    assert np.all(np.abs(moments.invert(z) - values) <= 4 * resolution)
    exact = values.astype(np.float64)
    np.testing.assert_allclose(moments.mean, exact.mean(axis=0), rtol=1e-5, atol=1e-4)
    varying = np.ptp(values, axis=0) > 0
    np.testing.assert_allclose(moments.scale[varying], exact.std(axis=0)[varying], rtol=1e-5)
    np.testing.assert_array_equal(moments.scale[~varying], 1.0)


def test_constant_columns_become_zero():
    values = np.stack([np.full(5, 0.1, np.float32), np.arange(5, dtype=np.float32)], axis=1)
    z = Standardisation.fit(values).apply(values)
    np.testing.assert_array_equal(z[:, 0], 0.0)
    np.testing.assert_allclose(z[:, 1].std(), 1.0, rtol=1e-6)


def test_standardisation_is_a_pytree_of_buffers():
    moments = Standardisation.fit(np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32))
    x = jnp.ones((2, 4, 3))
    z = jax.jit(lambda m, x: m.apply(x))(moments, x)
    np.testing.assert_allclose(z, moments.apply(np.asarray(x)), rtol=1e-6)
    assert len(jax.tree.leaves(moments)) == 2


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.array([[1.0, np.nan]]), np.array(1.0)])
def test_standardisation_refuses(bad):
    with pytest.raises(InputError):
        Standardisation.fit(bad)


def skewed(n=20_000):
    return 13.5 + np.random.default_rng(0).exponential(0.3, n)


def test_normal_scores_are_normal_and_never_leave_the_extremes():
    values = skewed().astype(np.float32)
    scores = NormalScores.fit(values)
    z = np.asarray(scores.apply(values))
    assert kstest(z, "norm").statistic < 0.01
    back = np.asarray(scores.invert(z))
    np.testing.assert_allclose(back, values, atol=1e-4)
    far = np.asarray(scores.invert(np.array([-50.0, 50.0])))
    np.testing.assert_allclose(far, [values.min(), values.max()], rtol=1e-6)
    drawn = np.asarray(scores.invert(np.random.default_rng(1).normal(size=20_000)))
    assert ks_2samp(drawn, values).pvalue > 1e-3


def test_the_slope_of_normal_scores_is_their_derivative():
    scores = NormalScores.fit(skewed(300))
    knots = np.asarray(scores.knots)
    between = jnp.asarray((knots[1:] + knots[:-1])[::8] / 2)
    expected = jax.vmap(jax.grad(scores.apply))(between)
    np.testing.assert_allclose(scores.slope(between), expected, rtol=1e-3)


def test_normal_scores_of_values_with_many_equal_ones_increase():
    scores = NormalScores.fit(np.repeat([1.0, 2.0, 5.0], [50, 10, 40]))
    assert (np.diff(scores.knots) > 0).all()
    assert (scores.knots[0], scores.knots[-1]) == pytest.approx((1.0, 5.0))


@pytest.mark.parametrize("values", [[1.0, np.nan], [], [2.0, 2.0]])
def test_normal_scores_of_nothing_to_learn_from(values):
    with pytest.raises(InputError, match="not all equal"):
        NormalScores.fit(np.array(values))
