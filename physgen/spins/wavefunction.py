"""Wavefunctions whose squared modulus is a normalised, autoregressive density.

|psi(s)|^2 = prod_i p(s_i | s_1 ... s_(i-1)): exact, independent samples and exact normalisation
(Hibat-Allah et al. 2020, arXiv:2002.02973). With symmetries, |psi|^2 is the mean over the images of
a configuration, which is normalised too and sampled by a random image of a sample.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int, Key, PRNGKeyArray
from numpy.typing import ArrayLike

from physgen.density import Density, leading_shape, trained_numbers
from physgen.errors import InputError
from physgen.nets.autoregressive import Autoregressive
from physgen.spins.variants import Parts, first_and_last, variant_parts

Image = tuple[tuple[int, ...], bool]  # an order of the sites, and whether all spins are flipped


class Wavefunction(Density):
    """psi(configuration), configurations being integers 0 (up) ... local_dimension - 1, shape (n,).

    Args:
        network: `local_dimension` outputs a site, twice as many with a phase.
        n: sites.
        phase: psi is complex; otherwise it is positive, up to `signs`.
        sector: the total 2 S_z of every configuration; None for all.
        images: of a symmetry group, the identity included.
        signs: 0 and 1 for each site; psi has a factor -1 for each down spin on a 1 (Marshall).
        made_of: the lattice and the ansatz that it was built from, to be saved with it.
    """

    context_shape = None

    def __init__(
        self,
        network: Autoregressive,
        n: int,
        *,
        local_dimension: int = 2,
        phase: bool = False,
        sector: int | None = None,
        images: tuple[Image, ...] = (),
        signs: tuple[int, ...] | None = None,
        made_of: Any = None,
    ):
        self.event_shape = (n,)
        self.network = network
        self.n = n
        self.local_dimension = local_dimension
        self.phase = phase
        self.sector = sector
        self.images = images or ((tuple(range(n)), False),)
        self.signs = signs
        self.made_of = made_of

    def __repr__(self) -> str:
        kind = "complex" if self.phase else "real" if self.signs else "positive"
        of_levels = "" if self.local_dimension == 2 else f" of {self.local_dimension} levels"
        return (
            f"<Wavefunction of {self.n} sites{of_levels}, {kind}; "
            f"{trained_numbers(self)} trained numbers>"
        )

    __str__ = __repr__

    @property
    def real(self) -> bool:
        """Whether psi is real."""
        return not self.phase

    def log_psi(self, configurations: ArrayLike) -> Complex[Array, "..."]:
        """The logarithm of psi, complex, of shape (...) for configurations (..., n).

        Its real part is half of `log_prob`, its imaginary part the phase.

        Raises:
            InputError: for another number of sites, or other symbols.
        """
        configurations = self._checked(configurations)
        parts = _all_parts(self, configurations.reshape(-1, self.n))
        parts = parts.reshape(*configurations.shape[:-1], 2)
        return jax.lax.complex(parts[..., 0], parts[..., 1])

    def log_prob(self, x: ArrayLike, context: None = None) -> Float[Array, "..."]:
        """log |psi|^2, normalised."""
        return 2 * jnp.real(self.log_psi(x))

    def sample(self, key: PRNGKeyArray, n: int, context: None = None) -> Int[Array, "n sites"]:
        """Independent configurations."""
        return _samples(self, jax.random.split(key, n))

    def at_keys(self, keys: Key[Array, " b"]) -> Int[Array, "b n"]:
        """A configuration for each key, inside a compiled function."""
        return jax.vmap(lambda key: self._sample(key, None))(keys)

    def _checked(self, configurations: ArrayLike) -> Int[Array, "..."]:
        given = jnp.asarray(configurations)
        leading_shape("configurations", given.shape, self.event_shape)
        d = self.local_dimension
        if given.size and not ((given >= 0) & (given < d) & (given == given.astype(int))).all():
            raise InputError(
                f"expected configurations of integers from 0 to {d - 1}, 0 for up, got entries "
                f"from {given.min()} to {given.max()}; take (1 - z) / 2 of Pauli z"
            )
        return given.astype(int)

    def _log_prob(self, x: Int[Array, " n"], context: Any) -> Float[Array, ""]:
        return 2 * self.parts(x)[0]

    def _sample(self, key: PRNGKeyArray, context: Any) -> Int[Array, " n"]:
        key_symbols, key_image = jax.random.split(key)
        configuration, _ = self.draw(key_symbols)
        images = self._images(configuration)
        return images[jax.random.randint(key_image, (), 0, len(images))]

    def draw(
        self, key: PRNGKeyArray, given: Int[Array, " n"] | None = None, known: Any = 0
    ) -> tuple[Int[Array, " n"], Float[Array, ""]]:
        """A sample of the network, and log p of it as it was drawn: before symmetries.

        The first `known` sites are as `given`.
        """
        uniform = jax.random.uniform(key, (self.n,))
        given = jnp.zeros(self.n, int) if given is None else given

        def step(state, inputs):
            carry, outputs, needed = state
            u, site = inputs
            log_p, _ = self._conditional(outputs, needed, site)
            below = jnp.cumsum(jnp.exp(log_p))
            symbol = jnp.sum(u * below[-1] >= below[:-1])
            symbol = jnp.minimum(symbol, self._highest(log_p))
            symbol = jnp.where(site < known, given[site], symbol)
            carry, outputs = self.network.advance(carry, symbol, site)
            return (carry, outputs, needed - self._value(symbol)), (symbol, log_p[symbol])

        carry, outputs = jax.tree.map(jnp.asarray, self.network.start())
        needed = jnp.asarray(self.sector or 0)
        _, (configuration, log_p) = jax.lax.scan(
            step, (carry, outputs, needed), (uniform, jnp.arange(self.n))
        )
        return configuration, log_p.sum()

    def network_log_prob(self, configuration: Int[Array, " n"]) -> Float[Array, ""]:
        """log p of a configuration under the network, before symmetries."""
        return 2 * self._of_image(configuration)[0]

    # ---- one configuration

    def parts(self, configuration: Int[Array, " n"]) -> Parts:
        """log |psi| and the phase, shape (2,)."""
        return self._joined(jax.vmap(self._of_image)(self._images(configuration)), configuration)

    def variants(
        self,
        configurations: Int[Array, "b n"],
        variants: Int[Array, "b k n"],
        changes: Bool[np.ndarray, "k n"],
        reach: int | None = None,
    ) -> tuple[Float[Array, "b k 2"], Float[Array, "b 2"]]:
        """Of configurations that differ from others at most where `changes` says, and of those.

        What the network knows of the sites before the first change is computed once for all; for
        `reach` see `physgen.spins.variants`.
        """
        orders, _ = self._orders()
        first, last = np.stack([first_and_last(changes[:, order]) for order in orders], axis=1)
        rest, own = variant_parts(
            self.network,
            self._parts_of_site,
            self._needed,
            self._images(configurations),
            self._images(variants).swapaxes(1, 2),
            first,
            last,
            reach,
        )
        joined = jax.vmap(self._joined)
        return jax.vmap(joined)(rest.swapaxes(1, 2), variants), joined(own, configurations)

    def site_parts(self, configuration: Int[Array, " n"]) -> Float[Array, "n 2"]:
        """What each site adds to log |psi| and to the phase, before symmetries and signs."""
        outputs = self.network(configuration)
        needed, sites = self._needed(configuration), jnp.arange(self.n)
        return jax.vmap(self._parts_of_site)(outputs, configuration, needed, sites)

    def _of_image(self, configuration: Int[Array, " n"]) -> Parts:
        return self.site_parts(configuration).sum(axis=0)

    def _joined(self, parts: Float[Array, "g 2"], configuration: Int[Array, " n"]) -> Parts:
        """Of a configuration, from those of its images."""
        if len(self.images) == 1:
            log_abs, phase = parts[0]
        else:
            log_abs = jax.nn.logsumexp(2 * parts[:, 0]) / 2 - np.log(len(self.images)) / 2
            weights = jnp.exp(parts[:, 0] - parts[:, 0].max())
            phase = jnp.arctan2(weights @ jnp.sin(parts[:, 1]), weights @ jnp.cos(parts[:, 1]))
        if self.signs is not None:
            phase = phase + jnp.pi * (jnp.asarray(self.signs) @ configuration % 2)
        return jnp.stack([log_abs, phase])

    # ---- one site, or many at once, which are then the last axes of all arrays

    def _parts_of_site(
        self,
        outputs: Float[Array, "outputs *b"],
        symbol: Int[Array, "*b"],
        needed: Int[Array, "*b"],
        site: Any,
    ) -> Float[Array, "2 *b"]:
        log_p, phases = self._conditional(outputs, needed, site)
        chosen = self._symbols(needed) == symbol[None]
        log_abs = jnp.sum(jnp.where(chosen, log_p, 0), axis=0) / 2
        phase = jnp.sum(jnp.where(chosen, phases, 0), axis=0) if self.phase else log_abs * 0
        return jnp.stack([log_abs, phase])

    def _conditional(
        self, outputs: Float[Array, "outputs *b"], needed: Int[Array, "*b"], site: Any
    ) -> tuple[Float[Array, "d *b"], Float[Array, "d *b"]]:
        """log p of each symbol, and its phase; symbols that leave the sector have none."""
        d = self.local_dimension
        logits = outputs[:d]
        if self.sector is not None:
            after = needed[None] - self._value(self._symbols(needed))
            most = (d - 1) * (self.n - 1 - jnp.asarray(site))
            logits = jnp.where(jnp.abs(after) <= most[None], logits, -1e9)
        phases = jnp.pi * jax.nn.soft_sign(outputs[d:]) if self.phase else logits * 0
        return jax.nn.log_softmax(logits, axis=0), phases

    def _symbols(self, like: Int[Array, "*b"]) -> Int[Array, "d *ones"]:
        return jnp.arange(self.local_dimension).reshape(-1, *[1] * like.ndim)

    def _value(self, symbol: Array) -> Array:
        """2 S_z of a symbol."""
        return self.local_dimension - 1 - 2 * symbol

    def _needed(self, configuration: Int[Array, " n"]) -> Int[Array, " n"]:
        """2 S_z that the sites from each on must sum up to, where there is a sector."""
        if self.sector is None:
            return jnp.zeros_like(configuration)
        values = self._value(configuration)
        return self.sector - jnp.cumsum(values) + values

    def _highest(self, log_p: Array) -> Array:
        """The largest symbol that is possible."""
        return self.local_dimension - 1 - jnp.argmax(log_p[::-1] > -1e8)

    def _orders(self) -> tuple[Int[np.ndarray, "g n"], np.ndarray]:
        return np.array([o for o, _ in self.images]), np.array([f for _, f in self.images])

    def _images(self, configurations: Int[Array, "*b n"]) -> Int[Array, "*b g n"]:
        orders, flips = self._orders()
        moved = configurations[..., None, :]
        if (orders != np.arange(self.n)).any():  # moving (b, k, n) entries takes a while
            moved = configurations[..., orders]
        return jnp.where(flips[:, None], self.local_dimension - 1 - moved, moved)


@jax.jit
def _all_parts(wavefunction: Wavefunction, configurations: Int[Array, "b n"]) -> Array:
    return jax.vmap(wavefunction.parts)(configurations)


@jax.jit
def _samples(wavefunction: Wavefunction, keys: Key[Array, " b"]) -> Int[Array, "b n"]:
    return wavefunction.at_keys(keys)
