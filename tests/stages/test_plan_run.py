import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spice_cli.settings.configs import stage_config
from spice_cli.stages.choice import Known, sections
from spice_cli.stages.pace import Pace, Timed
from spice_cli.stages.plan_run import choose, default_minutes, last_stage


def known(**given: object) -> Known:
    about = {
        "images": 2_000,
        "side": 32,
        "clusters": 10,
        "gray": False,
        "trained": False,
        "backbone": None,
        "cuda": False,
        "minutes": 15.0,
    }
    return Known(**(about | given))  # type: ignore[arg-type]


def pace(seconds: float) -> Pace:
    return Pace(Timed(seconds, seconds, seconds), 128, 2, 24, 10**6, 10**6, 256, 512)


def picked(about: Known, seconds: float = 0.05) -> dict[str, dict[str, object]]:
    chosen = choose(about, lambda values: pace(seconds))
    assert all(choice.why for choice in chosen)
    return sections(chosen)  # type: ignore[return-value]


@settings(deadline=None, max_examples=60)
@given(
    images=st.integers(100, 100_000),
    side=st.sampled_from([8, 16, 28, 32, 64, 96, 224]),
    clusters=st.one_of(st.none(), st.integers(2, 12)),
    gray=st.booleans(),
    trained=st.booleans(),
    cuda=st.booleans(),
    minutes=st.floats(1, 600),
    seconds=st.floats(1e-3, 10),
)
def test_settings_for_any_folder_are_valid_and_fit_it(
    images: int, seconds: float, **given: object
) -> None:
    about = known(images=images, **given)
    found = picked(about, seconds)
    configs = {stage: stage_config(stage, section, {}) for stage, section in found.items()}
    if about.trained:
        assert "pretrain" not in found
    else:
        pretrain = configs["pretrain"]
        assert pretrain.batch_size <= images / 4
        assert "queue" not in pretrain.settings
        assert pretrain.epochs >= 2
        assert (pretrain.views.size or about.side) <= about.side
        assert pretrain.warmup < pretrain.epochs
    reliable = configs["select-reliable"]
    assert reliable.settings["neighbors"] <= images / (about.clusters or 10)
    assert reliable.min_per_cluster <= images / (about.clusters or 10)
    assert configs["semi"].batch_size <= images / 4


def test_time_decides_how_long_features_are_trained_and_by_which_network() -> None:
    fast, slow = picked(known(), 0.01)["pretrain"], picked(known(), 1.0)["pretrain"]
    assert (fast["backbone"], slow["backbone"]) == ("resnet14", "small")
    assert slow["epochs"] < fast["epochs"]  # type: ignore[operator]
    assert slow["epochs"] == int(0.6 * 15 * 60 / (2_000 // 256))
    longer = picked(known(minutes=150.0), 1.0)["pretrain"]
    assert (longer["backbone"], longer["epochs"]) == ("resnet14", fast["epochs"])


def test_a_network_that_is_asked_for_is_taken_however_slow() -> None:
    assert picked(known(backbone="resnet50"), 100)["pretrain"]["backbone"] == "resnet50"


def test_grey_images_are_neither_coloured_nor_mirrored() -> None:
    found = picked(known(gray=True, side=8))
    assert found["pretrain"]["views"] == {
        "crop": [0.4, 1.0], "blur": 0.0, "flip": 0.0, "saturation": 0.0, "hue": 0.0, "gray": 0.0,
    }  # fmt: skip
    assert "embed" not in found
    assert found["semi"]["weak"] == {"flip": 0.0, "pad": 1}


@pytest.mark.parametrize(("trained", "whose"), [(True, "trained network"), (False, "these images")])
def test_heads_are_of_the_graph_and_why_tells_whose_features(trained: bool, whose: str) -> None:
    chosen = choose(known(trained=trained), lambda values: pace(0.05))
    heads = next(choice for choice in chosen if choice.stage == "self-label")
    assert heads.values["method"] == "graph"
    assert whose in heads.why


def test_few_images_and_trained_networks_end_with_clusters() -> None:
    assert last_stage(known(images=100)) == "self-label"
    assert last_stage(known(trained=True)) == "self-label"
    assert last_stage(known()) == "semi"


@pytest.mark.parametrize(("images", "minutes"), [(100, 10), (30_000, 30), (10**6, 60)])
def test_more_images_get_more_time(images: int, minutes: float) -> None:
    assert default_minutes(images) == minutes
