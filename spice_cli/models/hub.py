"""Files of the Hugging Face hub: from its cache, or fetched where it can be reached at all."""

from collections.abc import Callable
from pathlib import Path

from spice_cli.errors import MissingError

SECONDS = 5.0
"""How long the hub may take to answer the first time."""


def hub_file(repository: str, name: str, offline: str, say: Callable[[str], None]) -> Path:
    """Return a file of a repository; MissingError, with `offline` as the hint, if it is not here.

    Its own client tries for half a minute before it gives up, so it is only asked when the hub
    answers.
    """
    try:
        import huggingface_hub as hub
    except ImportError:
        raise MissingError(
            "the Hugging Face hub needs `huggingface_hub`, which is not installed",
            hint="pip install 'spice-cli[hf]'",
        ) from None
    found = hub.try_to_load_from_cache(repository, name)
    if isinstance(found, str):
        return Path(found)
    try:
        hub.get_session().head(hub.constants.ENDPOINT, timeout=SECONDS)
    except Exception:
        # Which of the client's many errors it is depends on where the network ends.
        raise MissingError(
            f"the weights of `{repository}` are not on this machine, and the hub does not answer",
            hint=offline,
        ) from None
    say(f"fetching `{name}` of `{repository}`")
    try:
        return Path(hub.hf_hub_download(repository, name))
    except (OSError, ValueError) as error:
        fault = str(error).strip().splitlines()
        raise MissingError(
            f"`{repository}` has no `{name}` for us: {fault[0] if fault else 'no answer'}",
            hint=offline,
        ) from None
