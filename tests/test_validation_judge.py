"""The judge on Gaussian ensembles whose differences are known."""

import json

import numpy as np
import pytest
from scipy import stats as scipy_stats

from physgen import InputError
from physgen.validation import Grade, Statistic, validate

EDGES = np.array([2.0, 4.0, 6.0, 9.0, 13.0])
SETS = np.array([[0.3, 0.8], [0.2, 0.9]])
NAMES = ("Omega_m", "sigma_8")


def curve(values, name="xi", edges=EDGES):
    return Statistic(name, f"{name}(r)", "", "separation r", "Mpc/h", values, edges=edges)


def ensemble(rng, n=40, shift=0.0, scale=1.0):
    """n boxes at each of two parameter sets: a curve of four bins."""
    return 5 + shift + scale * rng.normal(size=(2 * n, 4))


def judge(real, generated, **settings):
    n, m = len(real) // 2, len(generated) // 2
    return validate(
        [curve(real)],
        [curve(generated)],
        real_parameters=np.repeat(SETS, n, axis=0),
        generated_parameters=np.repeat(SETS, m, axis=0),
        parameter_names=NAMES,
        **({"joint": False} | settings),
    )


def test_equal_ensembles_are_called_different_at_most_at_the_level():
    trials, different = 100, 0
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        report = judge(ensemble(rng, 10), ensemble(rng, 12), draws=99, seed=seed)
        different += not report.passed
    assert different <= scipy_stats.binom.ppf(0.999, trials, 0.05)


def test_a_large_bias_is_fake_and_named_with_scale_direction_and_size():
    rng = np.random.default_rng(0)
    report = judge(ensemble(rng), ensemble(rng, shift=np.array([-2.0, -1.5, 0, 0])))
    assert report.grade is Grade.FAKE and not report.passed
    assert report.verdict.startswith("fake, the largest significant bias is")
    (finding,) = (f for f in report.findings if not f.startswith("scatter"))
    assert finding.startswith("xi too low at 2-6 Mpc/h")
    assert "worst at 2-4 Mpc/h" in finding and "in 2 of 2 parameter sets" in finding
    (result,) = report.statistics
    assert result.max_z == pytest.approx(2, abs=0.5)
    assert result.noise_z == pytest.approx(np.sqrt(2 / 40))


def test_a_small_bias_is_distinguishable_and_bounded():
    rng = np.random.default_rng(0)
    report = judge(ensemble(rng, 400), ensemble(rng, 400, shift=np.array([0, 0, 0.4, 0])))
    assert report.grade is Grade.DISTINGUISHABLE
    limit = float(report.headline.split("significant bias is ")[1].split()[0])
    assert 0.4 < limit < 0.6
    assert f"up to {limit:.2f} of a single box's scatter" in report.findings[0]
    assert report.findings[0].startswith("xi too high at 6-9 Mpc/h")


def test_the_headline_tells_a_significant_bias_from_a_larger_one_by_chance():
    """One generated box is far off in the last bin: a mean that is off by 5, but by one sigma."""
    rng = np.random.default_rng(0)
    real, generated = ensemble(rng, 100), ensemble(rng, 100, shift=np.array([-0.7, 0, 0, 0]))
    generated[0, 3] += 500.0
    report = judge(real, generated, tolerance=0.4)
    (mean,) = (f for f in report.statistics[0].findings if not f.of_spread)
    largest = report.statistics[0].max_z
    assert largest > 4 and 0.5 < mean.size < 1.2
    assert f"the largest significant bias is {mean.size:.2f} of" in report.headline
    assert f"(up to {largest:.2f} is seen, but not established)" in report.headline


def test_each_finding_averages_the_bins_that_it_is_about():
    """The same bin is too low at one parameter set and too high at the other."""
    rng = np.random.default_rng(0)
    real, generated = ensemble(rng, 100), ensemble(rng, 100)
    generated[:100, 1:3] -= 2.0  # at Omega_m = 0.3, whose group is the second
    generated[100:, 1:3] += 1.5
    report = judge(real, generated)
    z = [c.z[1:3].mean() for c in report.statistics[0].comparisons]
    said = {f.split()[2]: f.split("on average ")[1] for f in report.findings}
    assert z[1] < 0 < z[0]
    assert said["low"] == f"{z[1]:+.2f} over the 2 bins too low of all parameter sets"
    assert said["high"] == f"{z[0]:+.2f} over the 2 bins too high of all parameter sets"


def test_tolerance_and_level_are_settings():
    rng = np.random.default_rng(0)
    real, generated = ensemble(rng, 400), ensemble(rng, 400, shift=0.4)
    assert judge(real, generated, tolerance=0.3).grade is Grade.FAKE
    assert judge(real, generated, alpha=1e-9).passed


def test_a_wrong_scatter_alone_is_found():
    rng = np.random.default_rng(0)
    narrow = judge(ensemble(rng, 100), ensemble(rng, 100, scale=0.7))
    assert narrow.grade is Grade.DISTINGUISHABLE
    assert "by the scatter between boxes only" in narrow.headline
    assert narrow.findings[0].startswith("scatter of xi between boxes too small at 2-13 Mpc/h")
    collapsed = judge(ensemble(rng, 100), ensemble(rng, 100, scale=0.1))
    assert collapsed.grade is Grade.FAKE and "off by a factor" in collapsed.headline


def test_the_floor_is_what_noise_gives():
    rng = np.random.default_rng(0)
    (result,) = judge(ensemble(rng, 200), ensemble(rng, 50)).statistics
    assert result.noise_z == pytest.approx(np.sqrt(1 / 200 + 1 / 50))
    assert result.floor_z == pytest.approx(result.noise_z, rel=0.25)
    assert result.rms_z == pytest.approx(result.noise_z, rel=1)


def test_bins_without_scatter_and_without_values_are_told_honestly():
    rng = np.random.default_rng(0)
    real, generated = ensemble(rng), ensemble(rng)
    real[:, 0] = generated[:, 0] = 128.0
    real[:, 1] = np.nan
    report = judge(real, generated)
    assert report.passed
    (result,) = report.statistics
    assert np.isnan(result.comparisons[0].z[0])
    assert result.tested.tolist() == [[True, False, True, True]] * 2
    assert any("4-6 Mpc/h is not tested" in note for note in report.notes)
    generated[:, 0] = 127.0
    report = judge(real, generated)
    assert report.grade is Grade.FAKE and "do not scatter" in report.headline
    assert np.isinf(report.statistics[0].max_z)
    json.loads(report.to_json(), parse_constant=pytest.fail)


def test_bins_without_values_at_one_parameter_set_are_tested_at_the_others():
    rng = np.random.default_rng(0)
    real, generated = ensemble(rng), ensemble(rng)
    real[:40, 1] = generated[:40, 1] = np.nan
    report = judge(real, generated)
    (result,) = report.statistics
    assert report.passed
    assert [g.real[0] for g in report.groups] == [40, 0]  # by their parameters
    assert result.tested.tolist() == [[True] * 4, [True, False, True, True]]
    assert any("4-6 Mpc/h is tested at some of the 2 parameter sets" in n for n in report.notes)
    generated[40:, 1] += 0.8
    report = judge(real, generated)
    (finding,) = report.statistics[0].findings
    assert "at 4-6 Mpc/h, up to" in finding.text and "in 1 of 2 parameter sets" in finding.text
    assert report.statistics[0].max_z == pytest.approx(finding.size)
    groups = json.loads(report.to_json())["statistics"][0]["groups"]
    assert [g["tested"] for g in groups] == result.tested.tolist()


def test_a_statistic_that_never_varies_is_noted_and_not_counted_as_a_test():
    rng = np.random.default_rng(0)
    counts = Statistic("galaxies", "galaxies", "", "", "", np.full((40, 1), 64.0), bin_names=("",))
    both = [counts, curve(ensemble(rng, 20))], [counts, curve(ensemble(rng, 20))]
    zeros = np.zeros((40, 0))
    report = validate(*both, real_parameters=zeros, generated_parameters=zeros, joint=False)
    assert report.passed and any("galaxies is the same in all boxes" in n for n in report.notes)
    xi = report.statistics[1]
    assert xi.mean_test.p_adjusted <= 2 * xi.mean_test.p_value
    assert report.to_dict()["statistics"][0]["rms_z"] is None


@pytest.mark.parametrize("constant", ["real", "generated"])
def test_a_number_that_must_be_constant_and_is_not_is_found(constant):
    """Real boxes all hold 64 galaxies, generated ones 64 on average; or the other way round."""
    counts = np.full((40, 1), 64.0), 64.0 + np.tile([-1.0, 1.0], 20)[:, None]
    real, generated = counts if constant == "real" else counts[::-1]
    statistics = [
        [Statistic("galaxies", "galaxies", "", "", "", values, bin_names=("",))]
        for values in (real, generated)
    ]
    report = judge_statistics(*statistics, boxes=40)
    assert report.grade is Grade.FAKE and "must not" in report.headline
    assert report.findings[0].startswith("scatter of galaxies between boxes too")
    json.loads(report.to_json(), parse_constant=pytest.fail)


def test_too_few_relabellings_are_noted():
    rng = np.random.default_rng(0)
    report = judge(ensemble(rng), ensemble(rng, shift=9), draws=19)
    assert any("too few" in note for note in report.notes)


def test_same_seed_same_report():
    rng = np.random.default_rng(0)
    real, generated = ensemble(rng), ensemble(rng)
    assert judge(real, generated, seed=3).to_json() == judge(real, generated, seed=3).to_json()


def test_summary_is_strict_json_with_every_figure():
    rng = np.random.default_rng(0)
    found = json.loads(judge(ensemble(rng), ensemble(rng, shift=3)).to_json())
    assert found["grade"] == "fake" and found["passed"] is False
    assert found["groups"][0]["parameters"] == {"Omega_m": 0.2, "sigma_8": 0.9}
    (xi,) = found["statistics"]
    assert xi["edges"] == EDGES.tolist() and len(xi["groups"]) == 2
    assert set(xi) >= {"rms_z", "max_abs_z", "noise_rms_z", "floor_rms_z", "mean_test", "findings"}
    assert len(xi["groups"][0]["z"]) == 4


VALUES = np.zeros((20, 4))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: curve(np.zeros(4)), "shape"),
        (lambda: curve(np.zeros((0, 4))), "at least"),
        (lambda: curve(np.full((3, 4), np.inf)), "finite or NaN"),
        (lambda: curve(np.zeros((3, 5))), "5 columns of values but 4 bins"),
        (lambda: Statistic("a", "", "", "", "", VALUES), "either edges or bin_names"),
        (lambda: judge_statistics([], []), "no statistic"),
        (lambda: judge_statistics([curve(VALUES)], [curve(VALUES, "v12")]), "same statistics"),
        (
            lambda: judge_statistics([curve(VALUES)], [curve(VALUES, edges=2 * EDGES)]),
            "different bins",
        ),
        (lambda: judge_statistics([curve(VALUES)], [curve(VALUES[:9])]), "9 generated"),
        (lambda: judge_statistics([curve(VALUES)], [curve(VALUES)], alpha=0.0), "alpha"),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(InputError, match=words) as error:
        call()
    assert "\n" not in str(error.value)


def judge_statistics(real, generated, boxes=20, **settings):
    zeros = np.zeros((boxes, 0))
    zeros_ = {"real_parameters": zeros, "generated_parameters": zeros}
    return validate(real, generated, **zeros_, **({"joint": False} | settings))
