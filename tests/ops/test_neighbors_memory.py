import subprocess
import sys

import pytest

CODE = """
import resource, torch
from spice_cli.ops.neighbors import nearest
rows = torch.nn.functional.normalize(torch.randn(60_000, 512))
nearest(rows, 100)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_neighbours_of_60_000_rows_of_512_take_less_than_2_gigabytes() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 2 * 2**30
