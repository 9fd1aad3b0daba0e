"""A small regression problem to train on."""

import jax
import jax.numpy as jnp
import numpy as np

from physgen.train import Silent, fit

KEY = jax.random.key(7)


def regression(n=200, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    return {"x": x, "y": x @ np.array([1.0, -2.0, 3.0], np.float32) + 0.5}


def linear():
    return {"w": jnp.zeros(3), "b": jnp.zeros(())}


def squared_error(params, key, batch):
    del key
    return jnp.mean((batch["x"] @ params["w"] + params["b"] - batch["y"]) ** 2)


def sgd(key, state, batch):
    """Stochastic gradient descent with noise, so that every key matters."""
    loss, gradient = jax.value_and_grad(squared_error)(state, key, batch)
    noise = 1e-3 * jax.random.normal(key, (3,))
    state = jax.tree.map(lambda p, g: p - 0.05 * g, state, gradient)
    return {**state, "w": state["w"] + noise}, {"loss": loss}


def run(settings, step=sgd, state=None, data=None, **options):
    options = {"report": Silent()} | options
    return fit(
        KEY, step, linear() if state is None else state, data or regression(), settings, **options
    )


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)
