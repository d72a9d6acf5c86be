"""The config of each stage, by its name."""

from spice_cli.config.embed import Embed
from spice_cli.config.frozen import Frozen
from spice_cli.config.pretrain import Pretrain
from spice_cli.config.select_reliable import SelectReliable
from spice_cli.config.self_label import SelfLabel
from spice_cli.config.semi import Semi

SECTIONS: dict[str, type[Frozen]] = {
    "pretrain": Pretrain,
    "embed": Embed,
    "self-label": SelfLabel,
    "select-reliable": SelectReliable,
    "semi": Semi,
}
"""The sections of a recipe beside `data`, in the order the stages run."""
