"""log psi of many configurations that differ from one, without repeating what they share.

A configuration that differs from site f on has the conditionals of the one it came from before f.
A recurrent network goes on from the carry at f: the rests of all of them are packed end to end into
lanes of equal length that run side by side in one scan, so that half of the work of evaluating
n flips from the start remains. A parallel network takes groups of similar f together.

The carry of a recurrent network forgets: some sites after the change little is left of it, and what
is left acts on the rest of the chain in linear order, by derivatives that one reverse pass over the
configuration gives for all its variants. With `reach`, n flips cost n * reach steps of the cell.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from physgen.nets.autoregressive import Autoregressive, Parallel, Recurrent, step_by_step

GROUPS = 8

Parts = Array  # of a site or a configuration: log |psi|, phase
Conditional = Callable[[Array, Array, Array, Any], Parts]  # (outputs, symbol, needed, site)


@dataclass(frozen=True)
class Lanes:
    """Which rest runs where: tables of (times, lanes) or (times, starts at that time).

    rest: the number of the configuration; site: whose symbol is consumed. fresh: the rest begins.
    lane, alive: of each start after time 0; where not alive there is none. end: time and lane at
    which each configuration is done, (k, 2).
    """

    rest: Int[np.ndarray, "t l"]
    site: Int[np.ndarray, "t l"]
    fresh: Bool[np.ndarray, "t l"]
    lane: Int[np.ndarray, "t r"]
    alive: Bool[np.ndarray, "t r"]
    end: Int[np.ndarray, "k 2"]


def first_and_last(
    changes: Bool[np.ndarray, "k n"],
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """The first and the last site that each variant may differ in."""
    return changes.argmax(axis=1), changes.shape[1] - 1 - changes[:, ::-1].argmax(axis=1)


def rest_lengths(
    first: Int[np.ndarray, "*k"], last: Int[np.ndarray, "*k"], n: int, reach: int | None
) -> Int[np.ndarray, "*k"]:
    """Sites that are evaluated after the first change; all of them where changes lie far apart."""
    whole = n - 1 - first
    if reach is None:
        return whole
    return np.where(2 * (last - first) > reach, whole, np.minimum(whole, reach))


def pack(first: Int[np.ndarray, " k"], lengths: Int[np.ndarray, " k"]) -> Lanes:
    """Rests from `first` on, the longest first, each into the first lane with room."""
    time = max(int(lengths.max(initial=0)), 1)
    free: list[int] = []
    place = np.zeros((len(first), 2), int)  # lane, time of the start
    for number in np.argsort(-lengths, kind="stable"):
        lane = next((i for i, room in enumerate(free) if room >= lengths[number]), len(free))
        if lane == len(free):
            free.append(time)
        place[number] = lane, time - free[lane]
        free[lane] -= int(lengths[number])
    shape = time, max(len(free), 1)
    rest, site, fresh = np.zeros(shape, int), np.zeros(shape, int), np.zeros(shape, bool)
    end = np.zeros((len(first), 2), int)
    starts: list[list[int]] = [[] for _ in range(time)]
    for number, (lane, start) in enumerate(place):
        stop = start + lengths[number]
        rest[start:stop, lane] = number
        site[start:stop, lane] = first[number] + np.arange(lengths[number])
        end[number] = max(stop - 1, 0), lane
        if lengths[number]:
            fresh[start, lane] = True
            if start:
                starts[start].append(lane)
    most = max(map(len, starts))
    lanes, alive = np.zeros((time, most), int), np.zeros((time, most), bool)
    for t, begun in enumerate(starts):
        lanes[t, : len(begun)], alive[t, : len(begun)] = begun, True
    return Lanes(rest, site, fresh, lanes, alive, end)


def variant_parts(
    network: Autoregressive,
    conditional: Conditional,
    needed: Callable[[Array], Array],
    configurations: Int[Array, "b g n"],
    variants: Int[Array, "b g k n"],
    first: Int[np.ndarray, "g k"],
    last: Int[np.ndarray, "g k"],
    reach: int | None = None,
) -> tuple[Float[Array, "b g k 2"], Float[Array, "b g 2"]]:
    """The parts of log psi of the variants, k of each configuration, and of the configurations.

    Args:
        conditional: (outputs of a site, its symbol, what is needed from it on, the site) -> parts;
            of many at once, which are then the last axes of all of these.
        needed: what each site of a configuration is needed for, given the symbols before it.
        first, last: no variant differs before, or after, these sites.
        reach: sites after the first change that are evaluated, what follows being added in linear
            order; None for all of them. Parallel networks evaluate all.
    """
    if isinstance(network, Parallel):
        by_groups = partial(_by_groups, network, conditional, needed, first=first)
        return jax.vmap(by_groups)(configurations, variants)
    b, g, n = configurations.shape
    k = first.shape[1]
    outputs, carries = jax.vmap(jax.vmap(partial(step_by_step, network)))(configurations)
    here = jax.vmap(jax.vmap(needed))(configurations)
    of_sites = jax.vmap(jax.vmap(conditional), in_axes=(0, 0, 0, None))
    own = jax.vmap(of_sites, in_axes=(1, 1, 1, None), out_axes=1)(
        outputs, configurations, here, np.arange(n)
    )
    before = jnp.cumsum(jnp.pad(own, ((0, 0), (0, 0), (1, 0), (0, 0))), axis=2)
    of, changed = np.repeat(np.arange(g), k), first.reshape(-1)
    rows = variants.reshape(b, g * k, n)
    symbols = rows[:, np.arange(g * k), changed]
    shared = before[:, of, changed]
    shared += of_sites(outputs[:, of, changed], symbols, here[:, of, changed], changed)
    reach = n if reach is None else reach
    lengths = rest_lengths(changed, last.reshape(-1), n, reach)
    shared += before[:, of, n] - before[:, of, changed + lengths + 1]

    def flat(tree):
        return jax.tree.map(lambda leaf: leaf.reshape(b, g * n, *leaf.shape[3:]), tree)

    slopes = None
    if (lengths < n - 1 - changed).any():
        of_one = partial(_slopes, network, conditional)
        slopes = flat(jax.vmap(jax.vmap(of_one))(configurations, here, carries))
    for together in (lengths > reach, (lengths > 0) & (lengths <= reach)):
        some = np.flatnonzero(together)
        if some.size:
            rest = _rests(
                network,
                conditional,
                needed,
                flat(carries),
                slopes,
                rows[:, some],
                of[some],
                changed[some],
                lengths[some],
            )
            shared = shared.at[:, some].add(rest)
    return shared.reshape(b, g, k, 2), before[:, :, -1]


def _rests(
    network: Autoregressive,
    conditional: Conditional,
    needed: Callable[[Array], Array],
    carries: Any,
    slopes: Any,
    variants: Int[Array, "b k n"],
    of: Int[np.ndarray, " k"],
    first: Int[np.ndarray, " k"],
    lengths: Int[np.ndarray, " k"],
) -> Float[Array, "b k 2"]:
    """What the sites after the first change add; `of` is the configuration that a variant is of.

    Rests that end before the chain does must be as long as the longest: they go on by the slopes.
    Lanes and configurations are the last axes of all arrays: products with the weights then leave
    gates and probabilities in rows that a processor takes several at a time.
    """
    plan, n = pack(first, lengths), variants.shape[-1]
    batched = isinstance(network, Recurrent)
    advance = network.advance if batched else over_lanes(network.advance)
    wanted = jax.vmap(jax.vmap(needed))(variants)
    known = jax.tree.map(lambda carry: jnp.moveaxis(carry, 0, -1), carries)
    before = of[plan.rest] * n + plan.site  # of a lane's site, among the carries
    inputs = (
        jnp.moveaxis(variants[:, plan.rest, plan.site], 0, -1),
        jnp.moveaxis(variants[:, plan.rest, plan.site + 1], 0, -1),
        jnp.moveaxis(wanted[:, plan.rest, plan.site + 1], 0, -1),
        *map(jnp.asarray, (plan.site, before, plan.fresh, plan.lane, plan.alive)),
    )

    def step(state, inputs):
        carry, total = state
        symbol, following, wanted, site, before, fresh, lane, alive = inputs
        for i in range(plan.lane.shape[1]):
            place = partial(_replace, lane=lane[i], row=before[lane[i]], alive=alive[i])
            carry = jax.tree.map(place, carry, known)
        carry, outputs = advance(carry, symbol, site)
        parts = conditional(outputs, following, wanted, site[:, None] + 1)
        total = jnp.where(fresh[None, :, None], 0, total) + parts
        return (carry, total), total

    begin = jax.tree.map(lambda carry: jnp.moveaxis(carry[before[0]], 0, -2), known)
    zero = jnp.zeros((2, plan.rest.shape[1], len(variants)), jax.tree.leaves(begin)[0].dtype)
    (carry, _), totals = jax.lax.scan(step, (begin, zero), inputs)
    rests = jnp.moveaxis(totals[plan.end[:, 0], :, plan.end[:, 1]], -1, 0)
    cut = np.flatnonzero(lengths < n - 1 - first)
    if not cut.size:
        return rests
    lane, there = plan.end[cut, 1], of[cut] * n + first[cut] + lengths[cut]

    def onward(carry, known, slope):
        change = jnp.moveaxis(carry[..., lane, :], (-2, -1), (1, 0)) - known[:, there]
        product = change[:, :, None] * slope[:, there]
        return product.sum(axis=tuple(range(3, product.ndim)))

    return rests.at[:, cut].add(sum(jax.tree.leaves(jax.tree.map(onward, carry, carries, slopes))))


def _slopes(
    network: Autoregressive,
    conditional: Conditional,
    configuration: Int[Array, " n"],
    wanted: Int[Array, " n"],
    carries: Any,
) -> Any:
    """Of what all later sites add to the parts: derivatives by the carry before each, (n, 2, ...).

    The conditional of the site itself, which that carry has already given, is not among them.
    """

    def step(after, inputs):
        carry, symbol, following, wanted, site = inputs

        def onward(carry):
            carry, outputs = network.advance(carry, symbol, site)
            return carry, conditional(outputs, following, wanted, site + 1)

        _, pull = jax.vjp(onward, carry)
        slope = jax.vmap(lambda *cotangents: pull(cotangents)[0])(after, jnp.eye(2))
        return slope, slope

    sites = jnp.arange(len(configuration))
    inputs = carries, configuration, jnp.roll(configuration, -1), jnp.roll(wanted, -1), sites
    end = jax.tree.map(lambda carry: jnp.zeros((2, *carry.shape[1:]), carry.dtype), carries)
    before_last = jax.tree.map(lambda rows: rows[:-1], inputs)
    _, slopes = jax.lax.scan(step, end, before_last, reverse=True)
    return jax.tree.map(lambda rows, zero: jnp.concatenate([rows, zero[None]]), slopes, end)


def over_lanes(function: Callable[..., Any]) -> Callable[..., Any]:
    """function(x, ..., site) mapped over the lanes and configurations that are x's last axes."""

    def mapped(*arguments):
        *arrays, site = arguments
        alone = jax.vmap(function, in_axes=(*[-1] * len(arrays), None), out_axes=-1)
        lanes = jax.vmap(alone, in_axes=(*[-2] * len(arrays), 0), out_axes=-2)
        return lanes(*arrays, site)

    return mapped


def _replace(memory: Array, known: Array, *, lane: Array, row: Array, alive: Array) -> Array:
    """The memory (..., lanes, b) with a row of the known (rows, ..., b) in the lane, if alive."""
    old = jax.lax.dynamic_index_in_dim(memory, lane, memory.ndim - 2, keepdims=False)
    new = jnp.where(alive, known[row], old)
    return jax.lax.dynamic_update_index_in_dim(memory, new, lane, memory.ndim - 2)


def _by_groups(
    network: Parallel,
    conditional: Conditional,
    needed: Callable[[Array], Array],
    configurations: Int[Array, "g n"],
    variants: Int[Array, "g k n"],
    first: Int[np.ndarray, "g k"],
) -> tuple[Float[Array, "g k 2"], Float[Array, "g 2"]]:
    sites = np.arange(configurations.shape[1])
    every = np.arange(len(first))[:, None]

    def evaluate(configuration):
        outputs, carry = network.prefix(configuration)
        parts = jax.vmap(conditional)(outputs, configuration, needed(configuration), sites)
        return jnp.cumsum(jnp.pad(parts, ((1, 0), (0, 0))), axis=0), carry

    before, carries = jax.vmap(evaluate)(configurations)
    parts = jnp.zeros((*first.shape, 2), before.dtype)
    order = np.argsort(first, axis=1, kind="stable")
    for group in np.array_split(order, min(GROUPS, first.shape[1]), axis=1):
        start = int(first[every, group].min())

        def rest(carry, variant, start=start):
            outputs = network.suffix(carry, variant, start)
            wanted = needed(variant)[start:]
            rows = jax.vmap(conditional)(outputs, variant[start:], wanted, sites[start:])
            return rows.sum(axis=0)

        of_one = jax.vmap(rest, in_axes=(None, 0))
        after = jax.vmap(of_one)(carries, variants[every, group])
        parts = parts.at[every, group].set(before[:, start][:, None] + after)
    return parts, before[:, -1]
