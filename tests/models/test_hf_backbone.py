import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from spice_cli.errors import InvalidError, MissingError, UsageError
from spice_cli.ops.augment import MEAN, STD

transformers = pytest.importorskip("transformers")

from spice_cli.models.hf_backbone import HuggingFace  # noqa: E402

VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {**VISION, "vocab_size": 50, "num_hidden_layers": 1}
OWN = {"mean": (0.48, 0.46, 0.41), "std": (0.27, 0.26, 0.28)}


def network(kind: str):
    made = {
        "clip": lambda: transformers.CLIPModel(
            transformers.CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=16)
        ),
        "siglip": lambda: transformers.SiglipModel(
            transformers.SiglipConfig(vision_config=VISION, text_config=TEXT)
        ),
        "dinov2": lambda: transformers.Dinov2Model(transformers.Dinov2Config(**VISION)),
        "vit": lambda: transformers.ViTModel(transformers.ViTConfig(**VISION)),
    }
    return made[kind]().eval()


def saved(kind: str, folder: Path) -> Path:
    network(kind).save_pretrained(folder)
    settings = {"image_mean": OWN["mean"], "image_std": OWN["std"], "size": {"shortest_edge": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder / "model.safetensors"


@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov2", "vit"])
def test_features_are_the_towers_own(kind, tmp_path) -> None:
    file = saved(kind, tmp_path)
    family = HuggingFace("someone/small")
    facts = family.facts(file, own=True)
    ours = family.load(facts, load_file(file)).eval()
    theirs = transformers.AutoModel.from_pretrained(tmp_path).eval()
    plain = torch.rand(2, 3, 32, 32)

    def normal(mean, std):
        return (plain - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]

    with torch.no_grad():
        own = normal(**OWN)
        if kind in ("clip", "siglip"):
            found = theirs.get_image_features(own)
            expected = getattr(found, "pooler_output", found)
        else:
            expected = theirs(own).last_hidden_state[:, 0]
        images = normal(MEAN, STD)
        torch.testing.assert_close(ours(images), expected, rtol=1e-3, atol=1e-4)
        assert ours.maps(images).shape == (2, ours.features, 4, 4)
    again = family.build(facts)
    again.load_state_dict(ours.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(images), ours(images))


def test_what_trained_it_follows_from_its_kind(tmp_path) -> None:
    assert HuggingFace("a/b").facts(saved("clip", tmp_path), own=True).trained.endswith("images")
    facts = HuggingFace("a/b").facts(saved("dinov2", tmp_path), own=True)
    assert facts.trained == "trained without labels"
    file = saved("vit", tmp_path)
    assert HuggingFace("facebook/dino-vits16").facts(file, own=True).trained == facts.trained
    assert "labels" in HuggingFace("google/vit-base").facts(file, own=True).trained
    assert "unknown" in HuggingFace("a/b").facts(file, own=True).trained


def test_files_beside_the_weights_are_needed_and_checked(tmp_path) -> None:
    file = saved("dinov2", tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(InvalidError, match="does not say how images are prepared"):
        HuggingFace("a/b").facts(file, own=True)
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(InvalidError, match="cannot be read"):
        HuggingFace("a/b").facts(file, own=True)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(MissingError, match=r"no `preprocessor_config\.json` beside"):
        HuggingFace("a/b").facts(file, own=True)


def test_other_kinds_are_refused(tmp_path) -> None:
    file = saved("vit", tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UsageError, match="is a `bert`"):
        HuggingFace("a/b").facts(file, own=True)


def test_weights_that_do_not_fit_are_refused(tmp_path) -> None:
    file = saved("clip", tmp_path)
    family = HuggingFace("a/b")
    facts, state = family.facts(file, own=True), load_file(file)
    few = {name: value for name, value in state.items() if "post_layernorm" not in name}
    with pytest.raises(InvalidError, match="post_layernorm"):
        family.load(facts, few)
    with pytest.raises(InvalidError, match="other shapes"):
        family.load(facts, {**state, "visual_projection.weight": torch.ones(3, 3)})
