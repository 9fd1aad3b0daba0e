"""Products of matrices with their factors rounded as an accelerator rounds them, on any machine."""

from jax._src.lax.lax import _dot_general_lower
from jax.extend.core.primitives import dot_general_p
from jax.interpreters import mlir
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

MANTISSA_BITS = {"tensorfloat32": 10, "bfloat16": 7}


def round_products(kind: str) -> None:
    """Compile all products after this with factors of 8 bits of exponent and few of mantissa.

    Sums stay in single precision, as JAX_DEFAULT_MATMUL_PRECISION has them on a GPU.
    """
    bits = MANTISSA_BITS[kind]

    def rounded(factor):
        i32 = ir.IntegerType.get_signless(32)
        return stablehlo.reduce_precision(
            factor,
            exponent_bits=ir.IntegerAttr.get(i32, 8),
            mantissa_bits=ir.IntegerAttr.get(i32, bits),
        )

    def lower(ctx, left, right, **how):
        return _dot_general_lower(ctx, rounded(left), rounded(right), **how)

    mlir.register_lowering(dot_general_p, lower, platform="cpu")
