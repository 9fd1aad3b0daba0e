"""Networks that take (x, context) and know no physics."""

from physgen.nets.clouds import CloudEmbedding
from physgen.nets.convolution import CNNEmbedding
from physgen.nets.embedding import Embedding, EmbeddingSettings, NoEmbedding
from physgen.nets.missing import WithMissing
from physgen.nets.mlp import MLP, VelocityMLP
from physgen.nets.p3m import P3MNetwork, P3MSettings
from physgen.nets.pairs import PairNetwork, PairSettings
from physgen.nets.residual import MLPEmbedding, ResidualMLP
from physgen.nets.sequence import TransformerEmbedding
from physgen.nets.sets import DeepSetsEmbedding, SetTransformerEmbedding

__all__ = [
    "MLP",
    "CNNEmbedding",
    "CloudEmbedding",
    "DeepSetsEmbedding",
    "Embedding",
    "EmbeddingSettings",
    "MLPEmbedding",
    "NoEmbedding",
    "P3MNetwork",
    "P3MSettings",
    "PairNetwork",
    "PairSettings",
    "ResidualMLP",
    "SetTransformerEmbedding",
    "TransformerEmbedding",
    "VelocityMLP",
    "WithMissing",
]
