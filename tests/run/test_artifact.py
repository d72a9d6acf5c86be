import os
from pathlib import Path

import pytest

from spice_cli.errors import InvalidError
from spice_cli.run.artifact import artifact_file, aside, locate
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run


@pytest.mark.parametrize("place", [artifact_file, lambda *a: aside(artifact_file(*a))])
def test_what_is_no_regular_file_is_not_found(whole: Run, tmp_path: Path, place: object) -> None:
    record, file = whole.record(Stage.SEMI), place(whole.path, Stage.SEMI)  # type: ignore[operator]
    outside = artifact_file(whole.path, Stage.SEMI).replace(tmp_path / "outside")
    file.symlink_to(outside)
    with pytest.raises(InvalidError, match="is a link: what a run reads and writes lies in it"):
        locate(whole.path, record)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(InvalidError, match="is no regular file"):
        locate(whole.path, record)
