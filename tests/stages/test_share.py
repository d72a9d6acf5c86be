import subprocess
import sys

import torch
from torch import nn

from spice_cli.stages.share import Share


def test_the_compiler_is_not_loaded_where_nothing_is_shared() -> None:
    code = "import sys, spice_cli.stages.pretrain; sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_what_a_process_takes_and_gives_is_left_alone_by_the_compiler() -> None:
    share = Share(nn.Linear(2, 2), None, rank=0, world=1)  # type: ignore[arg-type]
    assert share.take.__func__._torchdynamo_disable and share.give.__func__._torchdynamo_disable
    assert share.take.__func__ is share.take.__func__
    (rows,) = share.take(nn.Identity(), (torch.ones(3, 2),))
    assert rows.shape == (3, 2)
