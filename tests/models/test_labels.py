import pytest

from spice_cli.models.labels import ALONE, CAPTIONS, IMAGENET, SUPERVISED, UNKNOWN, trained


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("in1k", IMAGENET),
        ("a1_in1k", IMAGENET),
        ("augreg_in21k_ft_in1k", IMAGENET),
        ("fb_in22k", IMAGENET),
        ("mae", ALONE),
        ("fcmae", ALONE),
        ("fcmae_ft_in22k_in1k", IMAGENET),
        ("dino", ALONE),
        ("lvd142m", ALONE),
        ("dinov3_lvd1689m", ALONE),
        ("in22k_ijepa", ALONE),
        ("seer_ft_in1k", IMAGENET),
        ("openai", CAPTIONS),
        ("laion2b_s34b_b79k", CAPTIONS),
        ("webli", CAPTIONS),
        ("openai_ft_in1k", IMAGENET),
        ("fb_swsl_ig1b_ft_in1k", IMAGENET),
        ("openai_ft_else", SUPERVISED),
        ("untrained", UNKNOWN),
        ("", UNKNOWN),
        ("mim_m38m", UNKNOWN),
    ],
)
def test_a_tag_says_whether_labels_trained_the_weights(tag, said) -> None:
    assert trained(tag) == said
