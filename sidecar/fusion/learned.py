"""Late fusion by a trained network, in the place of the product of experts."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sidecar.errors import PackError
from sidecar.fusion.alignment import Evidence
from sidecar.fusion.calibration import reference_prior
from sidecar.fusion.late import Fused, ProductOfExperts, log_likelihood_ratio
from sidecar.fusion.simplex import log_of, softmax
from sidecar.types import EMOTIONS, FloatArray, Modality

WIDTH: Final = len(EMOTIONS) + 4
"""Numbers that the network reads of each modality; see `features`."""


class Network(Protocol):
    """A loaded graph: `evidence` float32 (batch, 3, 12) -> `logits` float32 (batch, 8) over EMOTIONS."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]: ...


class LearnedFusion:
    """The emotions are the network's; weights and affect stay those of the product of experts.

    A network knows what it was trained on, whole evidence: where the total weight is below one full witness, its
    opinion is drawn towards the prior as far as the product's is.
    """

    blocking: ClassVar[bool] = True

    def __init__(self, network: Network, product: ProductOfExperts) -> None:
        self._network = network
        self._product = product

    def fuse(self, evidence: Mapping[Modality, Evidence]) -> Fused:
        """Total: no evidence gives the prior. Raises `PackError` for a graph of other outputs."""
        beside = self._product.fuse(evidence)
        if not evidence:
            return beside
        logits = self._network.run({"evidence": features(evidence, beside.weights)[None]})["logits"]
        if logits.shape != (1, len(EMOTIONS)) or not np.isfinite(logits).all():
            raise PackError(f"fusion network: logits {logits.shape}, want finite (1, {len(EMOTIONS)}); train it anew")
        opinion = softmax(logits[0])
        prior = log_of(reference_prior())
        pull = min(1.0, self._product.pull(beside.weights))
        return Fused(softmax(prior + pull * (log_of(opinion) - prior)), opinion, beside.affect, beside.weights)


def features(evidence: Mapping[Modality, Evidence], weights: Mapping[Modality, float]) -> FloatArray:
    """(3, 12) float32, a row a modality in the order of `Modality`, zeros where it is missing.

    Eight log ratios of posterior to prior, valence, arousal and dominance, all times the modality's weight, and the
    weight: a faint modality says little.
    """
    table = np.zeros((len(Modality), WIDTH), np.float32)
    for row, modality in enumerate(Modality):
        if (each := evidence.get(modality)) is not None:
            said = each.prediction
            affect = (said.valence, said.arousal, said.dominance)
            table[row] = weights[modality] * np.array([*log_likelihood_ratio(said), *affect, 1.0], np.float32)
    return table
