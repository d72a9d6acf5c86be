"""Make the run that stays in the tests when the format of runs changes, or a release adds to it.

    python tests/runs/make.py tests/runs/2-next

Run once, from the root of the repository, by the program that is to be remembered; never again:
later programs must open it.
"""

import os
import subprocess
import sys
from pathlib import Path

RECIPE = Path("tests/runs/recipe.toml")
LEFT_OUT = ("again.json", "confusion.png", "report.html", ".lock")
"""Files that later programs need not read."""


def main() -> None:
    """Run all stages on digits, as small as it gets."""
    run = Path(sys.argv[1])
    line = ["run", "digits", "--recipe", str(RECIPE), "--clusters", "4", "-r", str(run)]
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "spice_cli", *line], check=True, env=settings)
    for name in LEFT_OUT:
        (run / name).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
