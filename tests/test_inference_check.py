"""The check of a posterior: exact ones pass, wrong ones are named, odd observations are seen."""

import importlib
import json
from functools import partial
from html.parser import HTMLParser

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physgen import InputError
from physgen.density import Density
from physgen.inference import PythonSimulator, Simulations
from physgen.inference import check as check_posterior
from physgen.inference.check import draw_each
from physgen.inference.check_report import FILES
from physgen.inference.misspecification import entry_names, misspecification

MODULE = importlib.import_module("physgen.inference.check")

MATRIX = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
NOISE = 0.5
COVARIANCE = np.linalg.inv(np.eye(2) + MATRIX.T @ MATRIX / NOISE**2).astype(np.float32)
FACTOR = np.linalg.cholesky(COVARIANCE)
GAIN = COVARIANCE @ MATRIX.T / NOISE**2


class Gaussian(Density):
    """The exact posterior of theta ~ N(0, 1) given x = MATRIX theta + noise, or a wrong one."""

    def __init__(self, width=1.0, shift=0.0):
        self.event_shape, self.context_shape = (2,), (6,)
        self.names, self.units = ("slip_rate", "locking_depth"), ("mm/yr", "km")
        self.low, self.high = np.full(2, -np.inf), np.full(2, np.inf)
        self.width, self.shift = width, shift

    def _mean(self, context):
        return GAIN @ context + self.shift * np.sqrt(np.diag(COVARIANCE))

    def _log_prob(self, x, context):
        z = jax.scipy.linalg.solve_triangular(FACTOR, x - self._mean(context), lower=True)
        return jnp.sum(jax.scipy.stats.norm.logpdf(z, scale=self.width))

    def _sample(self, key, context):
        return self._mean(context) + self.width * FACTOR @ jax.random.normal(key, (2,))


def simulator(key, theta):
    return MATRIX @ theta + NOISE * jax.random.normal(key, (6,))


def in_python(theta, rng):
    return MATRIX @ theta + NOISE * rng.normal(size=6)


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(1)
    theta = rng.normal(size=(401, 2))
    return theta, theta @ MATRIX.T + NOISE * rng.normal(size=(401, 6))


def held_out(pairs):
    return pairs[0][1:], pairs[1][1:]


check = partial(check_posterior, key=jax.random.key(0), n_samples=100)


def test_an_exact_posterior_is_calibrated(pairs):
    found = check(Gaussian(), simulations=held_out(pairs))
    assert found.calibrated and found.findings == () and found.notes == ()
    assert repr(found) == f"<Check: {found.headline}>"
    assert found.headline == (
        "calibrated at this sample size (400 simulations, 100 posterior draws each)"
    )
    assert found.samples is None and found.summary() == found.headline


class NeverAsked(Gaussian):
    def _sample(self, key, context):
        raise AssertionError("asked for draws")


def test_a_folder_that_is_not_free_is_refused_before_the_work(pairs, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is not empty"):
        check(NeverAsked(), simulations=held_out(pairs), out=tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"width": 0.7}, "slip_rate is overconfident"),
        ({"width": 1.5}, "locking_depth is underconfident"),
        ({"shift": 0.6}, "slip_rate is biased high"),
    ],
)
def test_a_wrong_posterior_is_not_calibrated_and_the_reason_is_named(settings, words, pairs):
    found = check(Gaussian(**settings), simulations=held_out(pairs))
    assert not found.calibrated and found.headline.startswith("not calibrated")
    assert any(text.startswith(words) for text in found.findings)
    assert any(text.startswith("the joint posterior is") for text in found.findings)
    assert words in found.summary()


def test_bands_are_for_all_curves_together(pairs):
    found = check(Gaussian(), simulations=held_out(pairs), alpha=0.08)
    assert found.tarp.alpha == found.coverage.alpha == pytest.approx(0.02)
    assert found.calibration.alpha == pytest.approx(0.04)
    curves = (*found.calibration.tests, found.tarp.test, found.coverage.test)
    for curve in curves:
        assert curve.inside == (curve.p_value > 0.02)


def test_simulations_may_be_an_object_and_the_key_decides(pairs):
    theta, x = held_out(pairs)
    simulations = Simulations.from_arrays(theta, x, names=["a", "b"])
    one, same = (
        check(Gaussian(), simulations=s, n_simulations=60) for s in (simulations, (theta, x))
    )
    other = check_posterior(
        Gaussian(), jax.random.key(1), simulations, n_samples=100, n_simulations=60
    )
    assert one.to_dict() == same.to_dict() != other.to_dict()
    assert one.n_simulations == 60 and "60 simulations are few" in one.notes[0]


def test_every_draw_is_of_its_own_observation(monkeypatch, pairs):
    """With memory for 3 observations at a time, and an observation too many for equal parts."""
    monkeypatch.setattr(MODULE, "_EVENTS", 3 * 8)
    observations = pairs[1][:7]
    sizes = []

    class Spy(Gaussian):
        def sample(self, key, n, context=None):
            sizes.append(n)
            return super().sample(key, n, context)

    draws = draw_each(Spy(width=1e-3), jax.random.key(0), 8, observations)
    assert sizes == [24, 24, 24]
    assert draws.shape == (7, 8, 2)
    expected = np.broadcast_to((observations @ GAIN.T)[:, None], draws.shape)
    np.testing.assert_allclose(draws, expected, atol=5e-3)
    assert len(np.unique(draws.round(6))) == draws.size


def test_large_observations_are_taken_a_few_at_a_time(monkeypatch, pairs):
    monkeypatch.setattr(MODULE, "_NUMBERS", 6 * 20)
    found = check(Gaussian(), simulations=(pairs[0][:4], pairs[1][:4]), n_samples=10)
    monkeypatch.undo()
    whole = check(Gaussian(), simulations=(pairs[0][:4], pairs[1][:4]), n_samples=10)
    assert found.coverage.test.ranks.shape == whole.coverage.test.ranks.shape == (4,)


class OneByOne:
    """A posterior that draws given one observation, and knows no density."""

    names, units = ("slip_rate", "locking_depth"), ("mm/yr", "km")

    def __init__(self):
        self.exact = Gaussian()

    def sample(self, key, n, context=None):
        return self.exact.sample(key, n, context)

    def sample_each(self, key, n, observations):
        keys = jax.random.split(key, len(observations))
        return jnp.stack([self.sample(k, n, x) for k, x in zip(keys, observations, strict=True)])


def test_a_posterior_without_density_is_checked_by_its_samples(pairs):
    theta, x = pairs
    found = check(OneByOne(), simulations=(theta[:60], x[:60]), observation=x[60])
    assert found.calibrated and found.coverage is None
    assert found.samples.log_prob is None and found.samples.low is None
    assert found.to_dict()["highest_density"] is None
    assert set(found.figures()) == {"ranks", "coverage", "posterior", "observation"}


@pytest.mark.parametrize("of_predictions", [simulator, PythonSimulator(in_python)])
def test_an_ordinary_observation_has_no_findings(pairs, of_predictions):
    theta, x = pairs
    found = check(
        Gaussian(),
        simulations=held_out(pairs),
        observation=x[0],
        truth=theta[0],
        simulator=of_predictions,
    )
    assert found.findings == () and not found.misspecification.misspecified
    np.testing.assert_allclose(found.samples.samples.mean(axis=0), GAIN @ x[0], atol=0.03)
    np.testing.assert_allclose(np.cov(found.samples.samples.T), COVARIANCE, atol=0.02)
    expected = MATRIX @ COVARIANCE @ MATRIX.T + NOISE**2 * np.eye(6)
    predicted = found.prediction.draws
    assert predicted.shape == (500, 6)
    np.testing.assert_allclose(predicted.mean(axis=0), MATRIX @ GAIN @ x[0], atol=0.2)
    np.testing.assert_allclose(np.cov(predicted.T), expected, atol=0.2)
    assert "slip_rate [mm/yr]" in found.summary()


def test_an_odd_observation_is_found_and_its_entry_named(pairs):
    odd = pairs[1][0] + np.array([0, 0, 0, 12, 0, 0])
    found = check(Gaussian(), simulations=held_out(pairs), observation=odd, simulator=in_python)
    assert found.calibrated and found.misspecification.misspecified
    unlike_simulations, unlike_predictions = found.findings
    assert unlike_simulations.startswith("the observation is unlike the simulations (p = 0.0")
    assert "1 entry is out of the simulated range" in unlike_simulations
    assert unlike_simulations.endswith("x[3]")
    assert unlike_predictions.startswith("the observation is unlike what the posterior predicts")


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.links, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_folder_holds_one_page_its_figures_and_strict_json(tmp_path, pairs):
    theta, x = pairs
    found = check(
        Gaussian(width=0.7),
        simulations=held_out(pairs),
        observation=x[0],
        truth=theta[0],
        simulator=in_python,
        out=tmp_path / "out",
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    for path in (tmp_path / "out").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    page = Page()
    page.feed((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    text = "".join(page.text)
    assert not page.open and len(page.links) == 5
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "Not calibrated (400 simulations" in text and "slip_rate is overconfident" in text
    summary = json.loads(
        (tmp_path / "out" / "summary.json").read_text(), parse_constant=pytest.fail
    )
    assert summary == found.to_dict()
    assert summary["calibrated"] is False and summary["findings"] == list(found.findings)
    assert summary["parameters"]["slip_rate"]["unit"] == "mm/yr"
    assert summary["posterior"]["locking_depth"].keys() >= {"mean", "std", "median"}
    assert summary["observation"]["misspecified"] is False
    with pytest.raises(InputError, match="not empty"):
        found.write(tmp_path / "out")
    found.write(tmp_path / "out", overwrite=True)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t, x: check(Gaussian(), simulations=(t[:, :1], x)), r"\(n, 2\)"),
        (lambda t, x: check(Gaussian(), simulations=(t[:9], x)), r"\(n, 2\)"),
        (lambda t, x: check(Gaussian(), simulations=(t[:0], x[:0])), "not trained on"),
        (lambda t, x: check(Gaussian(), simulations=(t, x[:, :5])), "context"),
        (lambda t, x: check(Gaussian(), simulations=(t, x), simulator=simulator), "observation"),
        (
            lambda t, x: check(
                Gaussian(), simulations=(t, x), observation=x[0], simulator=lambda theta: theta
            ),
            r"simulator of observations of shape \(6,\), got \(2,\)",
        ),
        (
            lambda t, x: check(Gaussian(), simulations=(t, x), observation=x[0], truth=[1.0]),
            "truth",
        ),
    ],
)
def test_bad_input_is_told_in_one_line(call, words, pairs):
    with pytest.raises(InputError, match=words) as error:
        call(*(array[:60] for array in pairs))
    assert "\n" not in str(error.value)


def heavy(rng, n, k):
    return rng.standard_t(2, size=(n, k)) @ np.random.default_rng(9).normal(size=(k, k))


@pytest.mark.parametrize("k", [1, 3, 60])
def test_an_observation_like_the_simulations_is_misspecified_as_often_as_stated(k):
    """300 heavy-tailed observations at 10%: the number flagged is binomial, 4 sigma are 21."""
    rng = np.random.default_rng(2)
    flagged = 0
    for _ in range(300):
        x = heavy(rng, 81, k)
        flagged += misspecification(x[0], x[1:], alpha=0.1, seed=rng).misspecified
    assert abs(flagged - 30) < 21


def test_a_broken_correlation_is_found_where_every_entry_is_ordinary():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(1000, 5))
    x[:, 1] = x[:, 0] + 0.01 * x[:, 1]
    odd = np.array([1.0, -1.0, 0, 0, 0])
    found = misspecification(odd, x)
    assert found.misspecified and found.outside == ()
    assert "its Mahalanobis distance is" in found.finding()


def test_a_hole_in_the_middle_is_found():
    rng = np.random.default_rng(4)
    angle = rng.uniform(0, 2 * np.pi, 1000)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.05 * rng.normal(size=(1000, 2))
    found = misspecification(np.zeros(2), ring)
    assert found.misspecified and "distance to the nearest simulations" in found.finding()
    assert not misspecification(ring[0], ring[1:]).misspecified


def test_images_are_compared_and_their_entries_named():
    x = np.random.default_rng(5).normal(size=(400, 9, 11))
    odd = x[0].copy()
    odd[3, 7] = 30.0
    found = misspecification(odd, x[1:])
    assert found.misspecified and "x[3, 7]" in found.outside
    assert not misspecification(x[0], x[1:]).misspecified
    assert entry_names((2, 1)) == ("x[0, 0]", "x[1, 0]") and entry_names(()) == ("x",)


def test_an_entry_that_never_varies_must_have_its_value():
    x = np.ones((100, 2))
    x[:, 0] = np.random.default_rng(6).normal(size=100)
    assert not misspecification([0.0, 1.0], x).misspecified
    found = misspecification([0.0, 1.1], x, names=["noise", "constant"])
    assert found.misspecified and found.frozen == found.outside == ("constant",)
    assert "the same in all simulations: constant" in found.finding()


def test_missing_entries_are_left_out():
    x = np.random.default_rng(7).normal(size=(200, 3))
    x[::7, 1] = np.nan
    assert not misspecification([0.0, np.nan, 0.0], x).misspecified
    found = misspecification([np.nan, np.nan, 50.0], x)
    assert found.misspecified and found.outside == ("x[2]",)
    assert found.expected_outside == pytest.approx(2 / 201)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: misspecification(np.zeros(2), np.zeros((50, 3))), r"\(n, \*x\)"),
        (lambda: misspecification(np.zeros(2), np.zeros((5, 2))), "at least 20"),
        (lambda: misspecification([np.inf], np.zeros((50, 1))), "infinity"),
        (lambda: misspecification([np.nan], np.zeros((50, 1))), "NaN only"),
        (lambda: misspecification([0.0], np.zeros((50, 1)), names=["a", "b"]), "1 names"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(call, words):
    with pytest.raises(InputError, match=words) as error:
        call()
    assert "\n" not in str(error.value)
