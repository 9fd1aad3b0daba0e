"""What a variational run tells the person who waits for it."""

from collections.abc import Mapping

from physgen.train.progress import ProgressLine, Stream


def energy_line(stream: Stream | None = None) -> ProgressLine:
    """A progress line: the energy a site, its sigma in one step, the V-score.

    Means over the last dispatch: these fall by decades, and a longer mean would lag behind.
    """
    return ProgressLine(stream, smoothing=0.0, describe=_energy)


def _energy(means: Mapping[str, float]) -> list[str]:
    return [
        f"energy/n {means['energy']:.6f}",
        f"sigma {means['sigma']:.1e}",
        f"V-score {means['v_score']:.2e}",
    ]
