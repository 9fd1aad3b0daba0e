"""What a variational run tells the person who waits for it."""

from collections.abc import Mapping

from physgen.train.progress import ProgressLine, Stream


def energy_line(stream: Stream | None = None) -> ProgressLine:
    """A progress line of running means: the energy a site, its sigma in one step, the V-score."""
    return ProgressLine(stream, describe=_energy)


def _energy(means: Mapping[str, float]) -> list[str]:
    return [
        f"energy/n {means['energy']:.6f}",
        f"sigma {means['sigma']:.1e}",
        f"V-score {means['v_score']:.2e}",
    ]
