import json
import os
import pickle
from dataclasses import dataclass
from typing import NamedTuple

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import physgen
from physgen import io
from physgen.errors import InputError


class Pair(NamedTuple):
    first: object
    second: object


@dataclass(frozen=True)
class Inner:
    widths: tuple[int, ...] = (8, 8)


@dataclass(frozen=True)
class Settings:
    layers: int = 2
    rate: float = 1e-3
    inner: Inner = Inner()
    other: Inner | None = None


def a_tree():
    return {
        "half": jnp.asarray([1.5, -2.25], jnp.bfloat16),
        "single": jnp.asarray([[np.pi, -0.0, np.nan, np.inf]], jnp.float32),
        "double": np.array([np.pi]),
        "complex": jnp.asarray(1 + 2j),
        "flag": jnp.asarray([True, False]),
        "count": jnp.asarray(7, jnp.int32),
        "empty": np.zeros((0, 3), np.float32),
        "keys": jax.random.split(jax.random.key(1), 3),
        "rbg": jax.random.key(1, impl="rbg"),
        "list": [jnp.zeros(2), Pair(jnp.ones(1), (jnp.ones(3),))],
        "a/b. c": {".": jnp.ones(1), "..": jnp.zeros(1), "": jnp.ones(2)},
        "nothing": None,
    }


def bits(leaf):
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf).tobytes()


def round_trip(tmp_path, tree, like):
    with h5py.File(tmp_path / "tree.h5", "w") as file:
        io.write_tree(file.create_group("tree"), tree)
    with io.open_hdf5(tmp_path / "tree.h5") as file:
        return io.read_tree(io.subgroup(file, "tree"), like)


def test_tree_round_trip_is_exact(tmp_path):
    tree = a_tree()
    back = round_trip(tmp_path, tree, tree)
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    for old, new in zip(jax.tree.leaves(tree), jax.tree.leaves(back), strict=True):
        assert new.dtype == old.dtype
        assert new.shape == old.shape
        assert bits(new) == bits(old)
    np.testing.assert_array_equal(
        jax.random.normal(back["rbg"], 3), jax.random.normal(tree["rbg"], 3)
    )


def test_tree_is_read_by_shapes_alone(tmp_path):
    tree = {"keys": jax.random.split(jax.random.key(1), 3), "x": jnp.ones((2, 3))}
    back = round_trip(tmp_path, tree, jax.eval_shape(lambda: tree))
    assert bits(back["keys"]) == bits(tree["keys"])
    assert bits(back["x"]) == bits(tree["x"])


def test_a_single_array_and_a_module_are_trees(tmp_path):
    assert round_trip(tmp_path, jnp.ones(3), jnp.zeros(3)).tolist() == [1, 1, 1]
    state = nnx.state(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), nnx.Param)
    like = nnx.state(nnx.Linear(2, 3, rngs=nnx.Rngs(1)), nnx.Param)
    back = round_trip(tmp_path, state, like)
    assert [bits(x) for x in jax.tree.leaves(back)] == [bits(x) for x in jax.tree.leaves(state)]


@pytest.mark.parametrize(
    "like, word",
    [
        ({"x": jnp.zeros(3)}, "shape|\\(3,\\)"),
        ({"x": jnp.zeros(2, jnp.int32)}, "int32"),
        ({"x": jnp.zeros(2, jnp.bfloat16)}, "bfloat16"),
        ({"x": jnp.zeros(2), "y": jnp.zeros(2)}, "'y'"),
        ({}, "'x'"),
        ({"z": jnp.zeros(2)}, "'z'"),
        ({"x": jax.random.key(0)}, "key"),
    ],
)
def test_tree_must_match(tmp_path, like, word):
    with pytest.raises(InputError, match=word) as error:
        round_trip(tmp_path, {"x": jnp.zeros(2)}, like)
    assert "\n" not in str(error.value)


def test_keys_of_another_generator_do_not_match(tmp_path):
    with pytest.raises(InputError, match="key"):
        round_trip(tmp_path, {"k": jax.random.key(0)}, {"k": jax.random.key(0, impl="rbg")})


def test_leaves_that_would_share_a_name_are_refused(tmp_path):
    class Twins:
        pass

    same = jax.tree_util.DictKey("x")
    jax.tree_util.register_pytree_with_keys(
        Twins, lambda _: (((same, np.ones(1)), (same, np.zeros(1))), None), lambda *_: Twins()
    )
    with pytest.raises(ValueError, match="same path"):
        round_trip(tmp_path, Twins(), Twins())


def test_atomic_path_writes_all_or_nothing(tmp_path):
    target = tmp_path / "out.txt"
    with io.atomic_path(target) as name:
        assert name.parent == tmp_path and name.suffix == ".txt"
        name.write_text("one")
        assert not target.exists()
    assert target.read_text() == "one"
    with pytest.raises(KeyboardInterrupt), io.atomic_path(target, overwrite=True) as name:
        name.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "one"
    with io.atomic_path(target, overwrite=True) as name:
        name.write_text("two")
    assert target.read_text() == "two"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_atomic_path_refuses(tmp_path):
    (tmp_path / "there").write_text("")
    for path, word in [
        (tmp_path / "there", "exists already"),
        (tmp_path, "is a folder"),
        (tmp_path / "missing" / "file", "does not exist"),
    ]:
        with pytest.raises(InputError, match=word), io.atomic_path(path):
            pytest.fail("must not get here")


def test_open_hdf5_says_what_is_wrong(tmp_path):
    (tmp_path / "text.h5").write_text("not at all")
    with h5py.File(tmp_path / "good.h5", "w") as file:
        file["x"] = np.arange(10_000)
    whole = (tmp_path / "good.h5").read_bytes()
    (tmp_path / "short.h5").write_bytes(whole[: len(whole) // 2])
    for name, word in [
        ("absent.h5", "does not exist"),
        (".", "is a folder"),
        ("text.h5", "not an HDF5 file"),
        ("short.h5", "damaged or incomplete"),
    ]:
        with pytest.raises(InputError, match=word) as error, io.open_hdf5(tmp_path / name):
            pytest.fail("must not get here")
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="'y'"), io.open_hdf5(tmp_path / "good.h5") as file:
        file["y"]


def a_model(path, **changes):
    parts = {
        "kind": "linear",
        "settings": Settings(layers=3, inner=Inner((4, 5)), other=Inner()),
        "parameters": {"w": jnp.arange(3.0)},
        "metadata": {"names": ["Omega_m"], "range": np.array([0.1, 0.5]), "n": np.int64(3)},
    }
    io.save_model(path, **(parts | changes))
    return path


def test_model_round_trip(tmp_path):
    model = io.read_model(a_model(tmp_path / "model.h5"))
    assert (model.kind, model.physgen_version) == ("linear", physgen.__version__)
    assert model.settings_as(Settings) == Settings(3, 1e-3, Inner((4, 5)), Inner())
    assert model.metadata == {"names": ["Omega_m"], "range": [0.1, 0.5], "n": 3}
    assert model.parameters({"w": jnp.zeros(3)})["w"].tolist() == [0, 1, 2]


def test_model_metadata_may_be_long(tmp_path):
    history = list(np.arange(50_000) / 7)
    model = io.read_model(a_model(tmp_path / "model.h5", metadata={"history": history}))
    assert model.metadata["history"] == history


def test_model_is_not_overwritten_unasked(tmp_path):
    path = a_model(tmp_path / "model.h5")
    with pytest.raises(InputError, match="exists"):
        a_model(path, kind="other")
    assert io.read_model(path).kind == "linear"
    a_model(path, kind="other", overwrite=True)
    assert io.read_model(path).kind == "other"


def test_model_with_other_settings_is_refused(tmp_path):
    model = io.read_model(a_model(tmp_path / "model.h5"))
    with pytest.raises(InputError, match="settings"):
        model.settings_as(Inner)
    with pytest.raises(InputError, match="wrong settings"):
        model.parameters({"w": jnp.zeros(4)})


def corrupted(tmp_path, change):
    path = a_model(tmp_path / "model.h5", overwrite=True)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def rewrite(name, value):
    def change(file):
        del file[name]
        file[name] = value

    return change


@pytest.mark.parametrize(
    "change, word",
    [
        (lambda f: f.attrs.__setitem__("schema_version", io.SCHEMA_VERSION + 1), "upgrade"),
        (lambda f: f.attrs.__delitem__("schema_version"), "not written by physgen"),
        (lambda f: f.attrs.__setitem__("kind", 3), "not written by physgen"),
        (lambda f: f.__delitem__("settings"), "not a model"),
        (rewrite("settings", "{"), "not JSON"),
        (rewrite("settings", "[" * 100_000), "not JSON"),
        (rewrite("settings", "[1]"), "not a JSON object"),
        (rewrite("settings", np.arange(3)), "not JSON"),
        (rewrite("metadata", np.void(b"\x80\x04.")), "not JSON"),
    ],
)
def test_corrupted_header(tmp_path, change, word):
    with pytest.raises(InputError, match=word):
        io.read_model(corrupted(tmp_path, change))


class Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle in the file was executed",)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.__delitem__("parameters"),
        lambda f: f.__delitem__("parameters/w"),
        rewrite("parameters/w", np.arange(4.0)),
        rewrite("parameters/w", np.arange(3)),
        rewrite("parameters/w", np.array(["a", "b", "c"], dtype="S1")),
        rewrite("parameters/w", np.void(pickle.dumps(Trap()))),
        rewrite("parameters/w", h5py.SoftLink("/parameters")),
        rewrite("parameters/w", h5py.ExternalLink("other.h5", "/w")),
        lambda f: f["parameters/w"].attrs.modify("dtype", "object"),
        lambda f: f["parameters"].create_dataset("huge", (10**9, 10**6), "f4", chunks=(1, 10**6)),
    ],
)
def test_hostile_parameters_are_refused(tmp_path, change):
    model = io.read_model(corrupted(tmp_path, change))
    with pytest.raises(InputError):
        model.parameters({"w": jnp.zeros(3)})


def test_flipped_bytes_never_do_worse_than_an_input_error(tmp_path):
    path = a_model(tmp_path / "model.h5")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(rng.integers(1, 5)):
            content[rng.integers(len(content))] = rng.integers(256)
        path.write_bytes(content)
        try:
            io.read_model(path).parameters({"w": jnp.zeros(3)})
        except InputError as error:
            assert "\n" not in str(error)


def test_settings_and_arrays_become_json():
    values = json.loads(io.to_json({"s": Settings(), "a": jnp.arange(2), "f": np.float32(0.5)}))
    assert values["s"]["inner"] == {"class": "Inner", "widths": [8, 8]}
    assert (values["a"], values["f"]) == ([0, 1], 0.5)
    with pytest.raises(TypeError):
        io.to_json({"f": open})
