"""What networks must be for a transport."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Bool, Float


@runtime_checkable
class VelocityField(Protocol):
    """What a network must be: v(time, x, context, mask), shape of x, unbatched.

    time is in [0, 1], from base to data; context is an array, or whatever else `loss` and
    `transport` are given, None where unconditional; `mask` marks the real points of a padded set
    (True) and is None for events that are not sets.
    """

    def __call__(
        self,
        time: Float[Array, ""],
        x: Array,
        context: Any,
        mask: Bool[Array, " n"] | None,
    ) -> Array: ...


@runtime_checkable
class SumOfPairs(Protocol):
    """A velocity field that is, but for features that depend on all points, a sum over pairs.

    With features held at those of points elsewhere, `pair_sum` gives the velocity at x, which is
    v(x) where the features are those of x, and its divergence while the features stay; None where
    the field is no such sum. Most of the divergence is this one: probes have the rest to estimate.
    """

    def pair_sum(
        self,
        time: Float[Array, ""],
        features_at: Array,
        x: Array,
        context: Any,
        mask: Bool[Array, " n"] | None,
    ) -> tuple[Array, Float[Array, ""]] | None: ...
