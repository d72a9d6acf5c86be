"""TEMI's loss: pointwise mutual information of neighbours' clusters, weighted by agreement.

Adaloglou et al., BMVC 2023, https://arxiv.org/abs/2303.17896. Everything is in logarithms, of
students' and teachers' probabilities q_s(c|x) and q_t(c|x) of k clusters, for h heads.
"""

from collections.abc import Callable

from torch import Tensor


def pointwise_mutual_information(
    student: Tensor, teacher: Tensor, share: Tensor, beta: float
) -> Tensor:
    """Return log sum_c (q_s(c|x) q_t(c|x'))^beta / q_t(c), shape (...), from logarithms (..., k).

    `student` is of one image of a pair, `teacher` of the other; `share` is how often the teacher
    uses each cluster.
    """
    return (beta * (student + teacher) - share).logsumexp(-1)


def pair_weights(teacher: Tensor, whole: Callable[[Tensor], Tensor] = lambda own: own) -> Tensor:
    """Return how far the heads agree that pairs are of one cluster, (n,) within 0 and 1.

    w(x, x') = mean over heads of sum_c q_t(c|x) q_t(c|x'), from `teacher` (2, h, n, k). Where these
    are not all heads, `whole` turns what (h, n) is of them into what is of all.
    """
    return whole(teacher.sum(0).exp().sum(-1)).mean(0)


def temi_loss(
    student: Tensor,
    teacher: Tensor,
    share: Tensor,
    beta: float,
    weights: Tensor | None = None,
) -> Tensor:
    """Return each head's loss (h,): minus the weighted information of n pairs, both ways round.

    `student` and `teacher` (2, h, n, k) of both images of each pair, `share` (h, k) the running
    mean of the teacher's outputs. `weights` (n,) are those of all heads, where these are some.
    Gradients flow to the student alone.
    """
    teacher, share = teacher.detach(), share.detach()
    pmi = pointwise_mutual_information(student, teacher.flip(0), share[:, None], beta)
    weights = pair_weights(teacher) if weights is None else weights
    return -(weights * pmi.mean(0)).mean(-1)
