import torch
import torch.nn.functional as F

from spice_cli.stages.gallery import shown


def test_each_kind_is_what_it_says() -> None:
    angle = torch.linspace(0, 1, 50)
    embeddings = torch.stack([angle.cos(), angle.sin()], 1)
    members = torch.arange(10, 40)
    confidence = torch.linspace(1, 0.1, 30)
    found = shown(members, confidence, embeddings, 4, torch.Generator().manual_seed(0))
    center = F.normalize(embeddings[members[:15]].mean(0), dim=0)
    cosine = embeddings[members] @ center
    assert found.prototypes.tolist() == members[cosine.argsort(descending=True)[:4]].tolist()
    assert found.doubtful.tolist() == [39, 38, 37, 36]
    assert len(found.typical.unique()) == 4
    assert set(found.typical.tolist()) <= set(members.tolist())


def test_without_embeddings_prototypes_are_the_most_confident() -> None:
    members, confidence = torch.tensor([3, 5, 8]), torch.tensor([0.2, 0.9, 0.5])
    found = shown(members, confidence, None, 2, torch.Generator())
    assert found.prototypes.tolist() == [5, 8]
    assert found.doubtful.tolist() == [3, 8]


def test_an_empty_cluster_shows_nothing() -> None:
    none = torch.empty(0, dtype=torch.int64)
    found = shown(none, torch.empty(0), torch.eye(3), 4, torch.Generator())
    assert [len(rows) for rows in (found.prototypes, found.typical, found.doubtful)] == [0, 0, 0]


def test_a_small_cluster_shows_all_it_has() -> None:
    found = shown(torch.tensor([1]), torch.ones(1), torch.eye(3), 4, torch.Generator())
    assert (found.prototypes.tolist(), found.typical.tolist(), found.doubtful.tolist()) == (
        [1],
        [1],
        [1],
    )
