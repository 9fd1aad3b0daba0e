"""What a run of simulations has so far: the results, and the failures with their reasons."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from physgen.errors import InputError
from physgen.inference.pieces import Piece, join
from physgen.inference.store import usable_rows

_HOPELESS = 1e-6  # the chance of so many failures without one success, if the share is allowed
_LONGEST_REASON = 300


class Tally:
    """Collects results by number, and refuses those that cannot become one array.

    Args:
        parameters: of every simulation of the run.
        names: of the parameters, for messages.
        max_failed_share: how large a share of the run may fail.
        missing: NaN in an observation stands for what was not observed.
    """

    def __init__(
        self,
        parameters: Float[np.ndarray, "n d"],
        names: Sequence[str],
        max_failed_share: float,
        missing: bool = False,
    ):
        self.done = self.failed = 0
        self._parameters = parameters
        self._names = names
        self._share = max_failed_share
        self._missing = missing
        self._pieces: list[Piece] = []
        self._fresh: list[Piece] = []
        self._shape: tuple[int, ...] | None = None
        self._why = ""

    def add(self, piece: Piece) -> None:
        """Count what an earlier run has done.

        Raises:
            InputError: if its parameters are not those of this run.
        """
        expected = self._parameters[piece.index]
        if len(piece.index) and not (
            piece.parameters.shape == expected.shape
            and np.allclose(piece.parameters, expected, 1e-4, 1e-6 * np.abs(expected).max(axis=0))
        ):
            raise InputError(
                "expected a store made with the same prior, got one of other parameters; resume "
                "it with its own, or choose another store"
            )
        self._pieces.append(piece)
        self._count(piece)

    def take(
        self, numbers: Int[np.ndarray, " m"], results: Float[np.ndarray, "m *x"] | Exception
    ) -> None:
        """Count results, or an exception that stands for all of them; NaN and infinity fail.

        Raises:
            InputError: for a shape that differs from the earlier ones, and for too many failures.
        """
        if isinstance(results, Exception):
            good, why = np.zeros(len(numbers), bool), f"{type(results).__name__}: {results}"
            results = np.zeros((len(numbers), *(self._shape or (0,))))
        else:
            self._require_shape(numbers, results)
            good, why = usable_rows(results, self._missing), "NaN or infinity in what it returned"
        failed = numbers[~good]
        piece = Piece(numbers[good], self._parameters[numbers[good]], results[good], failed)
        if len(failed) and not self._why:
            self._why = f"at {self._where(int(failed[0]))}: {why[:_LONGEST_REASON]}"
        self._fresh.append(piece)
        self._count(piece)
        self.require_enough()

    def too_many(self, failed: int, done: int) -> bool:
        """Whether so many failures are more than may be, or no success is to be expected."""
        total = len(self._parameters)
        hopeless = failed == done and (done == total or self._share**failed < _HOPELESS)
        return hopeless or failed > self._share * total

    def fresh(self) -> Piece | None:
        """What came since it was last kept."""
        return join(self._fresh) if self._fresh else None

    def keep(self, piece: Piece) -> None:
        """Take note that `fresh` is safe."""
        self._pieces.append(piece)
        self._fresh.clear()

    def joined(self) -> Piece:
        """All that was kept or added."""
        return join(self._pieces)

    def require_enough(self) -> None:
        """Raise InputError for too many failures."""
        if self.too_many(self.failed, self.done):
            total = len(self._parameters)
            why = f", the first {self._why}" if self._why else ""
            raise InputError(
                f"expected at most {self._share:.0%} of {total} simulations to fail, got "
                f"{self.failed} of {self.done}{why}; mend the simulator, narrow the "
                "prior, or raise max_failed_share"
            )

    def _count(self, piece: Piece) -> None:
        self.done += len(piece)
        self.failed += len(piece.failed)
        if len(piece.index):
            self._shape = piece.observations.shape[1:]

    def _require_shape(self, numbers: np.ndarray, results: np.ndarray) -> None:
        shape = results.shape[1:]
        if 0 not in shape and self._shape in (None, shape):
            return
        expected = "with numbers in them" if self._shape is None else f"of shape {self._shape}"
        where = self._where(int(numbers[0]))
        raise InputError(
            f"expected observations {expected}, got shape {shape} at {where}; pad them, or reduce "
            "them to summaries"
        )

    def _where(self, number: int) -> str:
        pairs = zip(self._names, self._parameters[number], strict=True)
        return ", ".join(f"{name}={value:.6g}" for name, value in pairs)
