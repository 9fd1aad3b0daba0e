"""The embeddings that a posterior can be saved with."""

from physgen.nets.clouds import CloudEmbedding
from physgen.nets.convolution import CNNEmbedding
from physgen.nets.embedding import NoEmbedding
from physgen.nets.residual import MLPEmbedding
from physgen.nets.sequence import TransformerEmbedding
from physgen.nets.sets import DeepSetsEmbedding, SetTransformerEmbedding

PADDED = DeepSetsEmbedding, SetTransformerEmbedding, TransformerEmbedding, CloudEmbedding

AnyEmbedding = (
    NoEmbedding
    | MLPEmbedding
    | CNNEmbedding
    | TransformerEmbedding
    | DeepSetsEmbedding
    | SetTransformerEmbedding
    | CloudEmbedding
)


def takes_missing(embedding: AnyEmbedding) -> bool:
    """Whether an observation may hold NaN: rows that are absent, or single entries."""
    return isinstance(embedding, PADDED) or getattr(embedding, "missing", False)
