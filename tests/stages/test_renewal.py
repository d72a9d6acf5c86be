import torch

from spice_cli.stages.renewal import Labels, renewal_rounds


def test_labels_are_made_anew_at_even_distances_and_never_at_the_end() -> None:
    assert renewal_rounds(8, 3) == {2, 4, 6}
    assert renewal_rounds(20, 0) == set()
    assert max(renewal_rounds(3, 9)) < 3


def test_labels_are_known_in_the_order_of_images() -> None:
    labels = Labels(6, torch.tensor([4, 1]), torch.tensor([2, 0]))
    index, label = labels.known()
    assert index.tolist() == [1, 4]
    assert label.tolist() == [0, 2]
    labels.renew(torch.tensor([5]), torch.tensor([1]))
    assert [each.tolist() for each in labels.known()] == [[5], [1]]


def test_a_state_dict_remembers_them() -> None:
    labels = Labels(4, torch.tensor([0]), torch.tensor([3]))
    other = Labels(4, torch.tensor([1]), torch.tensor([2]))
    other.load_state_dict(labels.state_dict())
    assert [each.tolist() for each in other.known()] == [[0], [3]]
