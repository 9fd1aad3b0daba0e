"""Real or fake, of sets of points; two models of one noise; the p-value of the classifier test."""

import numpy as np
import pytest
from scipy.stats import binom

from physgen import InputError
from physgen.validation import RandomForest, agreement_test, c2st, c2st_clouds

FOREST = RandomForest(trees=10)
BOX = 20.0


def poisson(n, seed, points=40):
    return np.random.default_rng(seed).uniform(0, BOX, (n, points, 3))


def pairs(n, seed, points=40):
    """Points in pairs 1 apart: as many on average everywhere, but not at random."""
    half = poisson(n, seed, points // 2)
    offset = np.random.default_rng(seed + 1).normal(size=half.shape)
    offset /= np.linalg.norm(offset, axis=-1, keepdims=True)
    return np.concatenate([half, half + offset], axis=1) % BOX


def real_or_fake(a, b, **settings):
    return c2st_clouds(a, b, box_size=BOX, classifier=FOREST, permutations=99, **settings)


def test_pairs_are_no_poisson_process():
    found = real_or_fake(poisson(40, 0), pairs(40, 2))
    assert found.mean > 0.9 and found.p_value <= 0.05
    assert found.name == "C2ST of points" and "8 neighbours" in found.note
    assert real_or_fake(poisson(40, 0), poisson(40, 4)).mean < 0.75


def test_order_place_and_padding_change_nothing():
    a, b = poisson(12, 0), pairs(12, 2)
    plain = real_or_fake(a, b)
    rng = np.random.default_rng(0)
    moved = (b[:, rng.permutation(40)][..., [1, 2, 0]] + 3.3) % BOX
    np.testing.assert_allclose(real_or_fake(a, moved).accuracies, plain.accuracies, atol=1.5 / 4)
    padded = np.concatenate([a, np.zeros((12, 5, 3))], axis=1)
    mask = np.arange(45) < np.full((12, 1), 40)
    same = real_or_fake(padded, b, real_mask=mask)
    np.testing.assert_allclose(same.accuracies, plain.accuracies, atol=1.5 / 4)


def test_velocities_that_were_shuffled_are_seen():
    """Points fall towards their neighbour, or towards that of another one."""
    a, b = pairs(40, 0), pairs(40, 2)
    velocity = [
        np.concatenate([p[:, 20:] - p[:, :20], p[:, :20] - p[:, 20:]], axis=1) for p in (a, b)
    ]
    velocity = [v - BOX * np.round(v / BOX) for v in velocity]
    honest = real_or_fake(a, b, real_velocities=velocity[0], generated_velocities=velocity[1])
    shuffled = np.random.default_rng(0).permutation(velocity[1].swapaxes(0, 1)).swapaxes(0, 1)
    fake = real_or_fake(a, b, real_velocities=velocity[0], generated_velocities=shuffled)
    assert fake.mean > 0.9 and fake.p_value <= 0.05 and honest.mean < 0.75


def test_the_p_value_of_the_classifier_rejects_at_its_level():
    trials, rejected = 80, 0
    for seed in range(trials):
        x, y = np.random.default_rng(seed).normal(size=(2, 20, 2))
        found = c2st(x, y, classifier=RandomForest(3), folds=2, permutations=39, seed=seed)
        rejected += found.p_value <= 0.05
    assert rejected <= binom.ppf(0.999, trials, 0.05)
    x, y = np.random.default_rng(0).normal(size=(2, 60, 2))
    assert c2st(x, y + 2, classifier=FOREST, permutations=99).p_value <= 0.02
    assert c2st(x, y, classifier=FOREST, permutations=0).p_value is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"generated": np.zeros((12, 40, 2))}, "one dimension"),
        ({"real_velocities": np.zeros((12, 40, 3))}, "of neither"),
        ({"real_mask": np.arange(40) < np.ones((12, 1))}, "2 points"),
        ({"real_mask": np.ones((12, 3), bool)}, "mask"),
        ({"generated": np.full((12, 40, 3), BOX)}, "outside"),
        ({"generated": np.full((12, 40, 3), np.nan)}, "finite"),
        ({"generated": np.zeros((40, 3))}, "add an axis"),
    ],
)
def test_bad_clouds_are_told_in_one_line(change, words):
    given = {"real": poisson(12, 0), "generated": poisson(12, 1), "box_size": BOX} | change
    with pytest.raises(InputError, match=words) as error:
        c2st_clouds(**given)
    assert "\n" not in str(error.value)


def test_models_that_learned_agree_and_models_that_copied_do_not():
    rng = np.random.default_rng(0)
    train_one, train_two = rng.normal(size=(2, 50, 4, 4))
    noise = rng.normal(size=(30, 4, 4))
    learned = agreement_test(
        noise, noise + 0.05 * rng.normal(size=noise.shape), train_one, train_two
    )
    assert learned.memorised == 0 and learned.statistic < 0.1 and learned.p_value <= 0.001
    copied = agreement_test(train_one[:30], train_two[:30], train_one, train_two)
    assert copied.memorised == 1 and copied.p_value > 0.01
    assert copied.statistic == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(copied.to_train, 0)


def test_agreement_by_hand():
    one, two = np.array([[0.0], [1], [5], [9]]), np.array([[1.0], [1], [4], [9]])
    train = np.array([[-10.0], [10]]), np.array([[-11.0], [11]])
    scale = np.concatenate(train).std()
    found = agreement_test(one, two, *train)
    np.testing.assert_allclose(found.between * scale, [1, 0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(found.to_train * scale, [10, 9, 5, 1])


def test_unrelated_samples_are_called_related_at_the_level():
    trials, rejected = 300, 0
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        one, two, *train = rng.normal(size=(4, 12, 3))
        rejected += agreement_test(one, two, *train, draws=19).p_value <= 0.05
    low, high = binom.interval(0.999, trials, 0.05)
    assert low <= rejected <= high


def test_training_sets_that_share_a_sample_are_refused():
    a, b, c, d = np.random.default_rng(0).normal(size=(4, 10, 3))
    for arrays, words in (
        ((a, b, c, np.concatenate([d, c[:1]])), "disjoint"),
        ((a, b[:9], c, d), "one noise"),
        ((a[:3], b[:3], c, d), "at least 4"),
        ((a, b * np.nan, c, d), "finite"),
    ):
        with pytest.raises(InputError, match=words):
            agreement_test(*arrays)
