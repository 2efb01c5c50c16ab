"""One layer of a model as a circuit, from boundary l to boundary l + 1, whatever its architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from assay.circuits.architecture import Architecture
from assay.circuits.catalogue import Configured, config_of
from assay.circuits.moe import Ids
from assay.circuits.relations import Fit, Relations, Scales
from assay.circuits.scales import LayerScales

from assay.graph import Builder, CircuitError


def layer(
    config: Configured, scales: LayerScales, index: int, tokens: int, routing: Ids | None = None
) -> bytes:
    """The circuit of layer `index` over `tokens` positions, in canonical bytes.

    With a `routing` it says which experts ran, [tokens, K]; else they are hidden.
    """
    return build(config, scales, index, tokens, routing).finish()


def build(
    config: Configured, scales: LayerScales, index: int, tokens: int, routing: Ids | None = None
) -> Builder:
    """The same, not yet checked and encoded."""
    given = Given(scales.sites, scales.weights)
    b = relations(config_of(config), given, index, tokens, routing)
    given.require_used()
    return b


def relations(
    config: Architecture, scales: Scales, index: int, tokens: int, routing: Ids | None = None
) -> Builder:
    """A layer's circuit with these scales, given or fitted on the way."""
    if tokens < 1 or not 0 <= index < config.num_layers:
        raise CircuitError("circuit-shape", f"layer {index} of {config.num_layers} over {tokens} tokens")
    b = Builder(f"{config.covers}.layer.{index}")
    shapes = config.layer_shapes()
    if set(scales.weights) != set(shapes):
        raise CircuitError("circuit-scale", "scales: the weights are not those of a layer")
    m = Relations(b, f"layers.{index}.", shapes, tokens, scales, routing)
    x = m.boundary_in(f"boundary.{index}", config.hidden_size)
    m.boundary_out(f"boundary.{index + 1}", config.layer(m, index, x))
    return b


class Given:
    """The scales of a registered model."""

    def __init__(self, sites: Mapping[str, int], weights: Mapping[str, int]) -> None:
        self.sites, self.weights = sites, weights
        self._used: set[str] = set()

    def site(self, name: str, fit: Callable[[Fit], int]) -> int:
        """Of a site that the scales have."""
        if name not in self.sites:
            raise CircuitError("circuit-scale", f"scales: none for {name}")
        self._used.add(name)
        return self.sites[name]

    def limit(self, site: str, fraction: int, most: Callable[[Fit], int]) -> None:
        """What does not fit has no circuit."""

    def require_used(self) -> None:
        """Raises if there are scales of sites that the architecture does not have."""
        if unknown := self.sites.keys() - self._used:
            raise CircuitError("circuit-scale", f"scales: unknown sites {', '.join(sorted(unknown))}")
