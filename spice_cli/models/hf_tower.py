"""Image towers that transformers can build, and what of their output is the feature."""

from typing import Any

from torch import Tensor

from spice_cli.models.pretrained import Tower

CLASSES = {
    "clip": "CLIPVisionModelWithProjection",
    "clip_vision_model": "CLIPVisionModelWithProjection",
    "siglip": "SiglipVisionModel",
    "siglip_vision_model": "SiglipVisionModel",
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
    "dinov3_vit": "DINOv3ViTModel",
    "vit": "ViTModel",
}
"""By what `config.json` says that it is."""


class HubTower(Tower):
    """CLIP's projected image embedding, SigLIP's pooled one, and else the class token."""

    def __init__(self, net: Any, kind: str) -> None:
        super().__init__()
        self.net = net
        self.projected, self.pooled = kind.startswith("clip"), kind.startswith("siglip")
        self.patch = int(net.config.patch_size)

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 3, h, w) to features (n, d)."""
        found = self.net(pixel_values=images)
        if self.projected:
            pooled: Tensor = found.image_embeds
        elif self.pooled:
            pooled = found.pooler_output
        else:
            pooled = found.last_hidden_state[:, 0]
        return pooled

    def maps(self, images: Tensor) -> Tensor:
        """Return the last token of each patch; CLIP's are projected as its image embedding is."""
        side = images.shape[-1] // self.patch
        tokens = self.net(pixel_values=images).last_hidden_state[:, -side * side :]
        if self.projected:
            inner = getattr(self.net, "vision_model", self.net)
            tokens = self.net.visual_projection(inner.post_layernorm(tokens))
        out: Tensor = tokens.mT.reshape(len(tokens), -1, side, side)
        return out
