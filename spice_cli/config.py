"""What a person may choose. Torch-free, frozen, strict about unknown keys; each default once.

Where the paper (https://arxiv.org/abs/2103.09382, first version) and its released code differ,
`variant` picks a side and every single setting can still be set; `None` is what the variant says.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Area = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Precision = Literal["auto", "bf16", "fp32"]
Variant = Literal["code", "paper"]
Compile = Literal["auto", "on", "graphs", "off"]
"""`auto`: on a GPU, where the stage is long; `graphs`: with CUDA graphs too."""


class Frozen(BaseModel):
    """The base of every config and every manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataSpec(Frozen):
    """Which images, and how they are split. Never which labels."""

    name: str
    """A name in the catalogue, or an absolute path."""
    root: str | None = None
    """Where downloads are kept, or the directory of ImageNet or Tiny-ImageNet."""
    test: str | None = None
    """The Parquet file that holds the test images, relative to the directory."""
    size: Annotated[int, Field(ge=4, le=1024)] | None = None
    """Side in pixels that images are resized to; none keeps a size that all images share."""
    protocol: Literal["whole", "split"] = "whole"
    """`whole`: train and evaluate on train and test together. `split`: train on train, evaluate on
    test."""
    skip_bad: bool = False


class Views(Frozen):
    """The two random views of contrastive pretraining (MoCo v2's and SimCLR's)."""

    size: Annotated[int, Field(ge=4)] | None = None
    """Side of a view in pixels; none is the image's own."""
    crop: tuple[Area, Area] = (0.2, 1.0)
    """Share of the image's area that a crop keeps."""
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    flip: Share = 0.5
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Largest rotation in degrees, either way."""
    brightness: Annotated[float, Field(ge=0)] = 0.4
    contrast: Annotated[float, Field(ge=0)] = 0.4
    saturation: Annotated[float, Field(ge=0)] = 0.4
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    jitter: Share = 0.8
    """How often the four colour changes above are applied."""
    gray: Share = 0.2
    blur: Share = 0.5
    blur_sigma: tuple[Positive, Positive] = (0.1, 2.0)

    @field_validator("crop", "ratio", "blur_sigma")
    @classmethod
    def _ordered(cls, pair: tuple[float, float]) -> tuple[float, float]:
        if pair[0] > pair[1]:
            raise ValueError("the lower bound comes first")
        return pair


class Weak(Frozen):
    """Weak views: shifted by up to `pad` pixels, mirrored with probability `flip`."""

    pad: Annotated[int, Field(ge=0)] = 4
    flip: Share = 0.5


class Strong(Frozen):
    """Strong views: `operations` of RandAugment's fourteen, then one square cut out."""

    policy: Literal["scan", "fixmatch"] = "scan"
    """Magnitudes: SCAN's (shear and shift up to .1) or FixMatch's (up to .3)."""
    operations: Annotated[int, Field(ge=0)] = 4
    cutout: Share = 0.5
    """Largest side of the square, as a share of the image's side."""
    pad: Annotated[int, Field(ge=0)] = 0
    flip: Share = 0.5


class Pretrain(Frozen):
    """Pretraining. Unknown keys are the method's own and end up in `settings`."""

    method: str = "moco"
    backbone: str = "resnet18"
    stem: Literal["auto", "small", "patch", "pool", "imagenet"] = "auto"
    width: Count | None = None
    """Channels of the first stage; none is the backbone's own."""
    clusters: Annotated[int, Field(ge=2)] | None = Field(None, exclude_if=lambda k: k is None)
    """For methods that need it; none: as many as the data set declares classes."""
    epochs: Count = 200
    batch_size: Annotated[int, Field(ge=2)] = 512
    optimizer: Literal["sgd", "adam", "muon", "lars"] = "sgd"
    """As in the references: `adam` for CC, `lars` for batches of thousands, which leaves biases and
    batch norms without decay; `muon` needs fewer passes (and AdamW for what is no matrix)."""
    lr: Positive = 0.06
    adam_lr: Positive = 0.003
    """AdamW's rate beside Muon."""
    momentum: Share = 0.9
    """Of SGD, LARS and Muon; Adam's first beta."""
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    warmup: Annotated[float, Field(ge=0)] = 0.0
    """Epochs over which the rate rises linearly from nothing."""
    precision: Precision = "auto"
    compile: Compile = "auto"
    views: Views = Views()
    settings: dict[str, JsonValue] = {}

    @model_validator(mode="after")
    def _nesterov(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("`nesterov` needs a `momentum` above 0")
        return self


class Embed(Frozen):
    """Features of every image."""

    views: Annotated[int, Field(ge=0)] = 0
    """How many weak and how many strong views to store beside the plain embeddings."""
    weak: Weak = Weak()
    strong: Strong = Strong()
    flip: bool = False
    """Average the features of each image and its mirror image."""
    batch_size: Count = 512
    precision: Precision = "auto"


class Space(Frozen):
    """Further features of the same images."""

    name: str
    """A run that has `embed`, or a `.safetensors` or `.npy` file of one row an image."""
    sha256: str | None = None
    """Of what is there; filled in."""


class SelfLabel(Frozen):
    """Clusters of the embeddings. Unknown keys are the method's own and end up in `settings`.

    The numbers below are those of `spice`; other methods have their own where none are given.
    """

    method: str = "spice"
    clusters: Annotated[int, Field(ge=2)] | None = None
    """None: as many as the data set declares classes."""
    heads: Count = 10
    epochs: Count = 100
    batch_size: Count = 128
    """Images an update."""
    lr: Positive = 0.005
    views: Literal["auto", "live", "cached", "plain"] = "auto"
    """`cached`: those that `embed --views` stored; `live`: new ones each epoch, through the
    backbone; `plain`: none, the embeddings themselves; `auto`: the first of these that can be,
    but never `live` through a backbone that others trained, which is large as a rule."""
    weak: Weak = Weak()
    strong: Strong = Strong()
    spaces: tuple[Space, ...] = ()
    """Further feature spaces, for methods that look at several."""
    precision: Precision = "auto"
    settings: dict[str, JsonValue] = {}

    @field_validator("spaces", mode="before")
    @classmethod
    def _named(cls, spaces: object) -> object:
        listed = [spaces] if isinstance(spaces, str) else spaces
        if not isinstance(listed, list | tuple):
            return listed
        return tuple({"name": each} if isinstance(each, str) else each for each in listed)


class SelectReliable(Frozen):
    """Reliable samples. Unknown keys are the method's own, see `settings`."""

    method: str = "spice"
    index: Literal["exact", "ivf", "hnsw"] = "exact"
    """How neighbours are found. `ivf` and `hnsw` miss some and need faiss; they pay from some
    100,000 images."""
    min_per_cluster: Annotated[int, Field(ge=0)] = 0
    """Clusters that keep fewer than this take so many of their best members instead."""
    settings: dict[str, JsonValue] = {}


class Semi(Frozen):
    """Training on labels and on guesses. Unknown keys are the method's own, see `settings`."""

    method: str = "fixmatch"
    init: Literal["pretrain", "random"] = "pretrain"
    """`pretrain`: the run's own weights; `random`: as the released code does."""
    backbone: str | None = None
    """None: the run's own."""
    steps: Count | None = None
    """Updates at most; none is what `ops.schedule.semi_steps` plans for the reliable labels."""
    batch_size: Count = 64
    ratio: Count = 7
    """Unlabelled images for each labelled one (mu)."""
    unlabelled: bool = Field(False, exclude_if=lambda used: not used)
    """Whether the unlabelled images that `pretrain` sees are guessed at and learnt from as well,
    where the data set has any (STL-10)."""
    lr: Positive = 0.03
    momentum: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Nesterov's."""
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the unlabelled loss (lambda_u)."""
    ema: Share = 0.999
    """Share of the past in the moving average of the weights, which is what counts."""
    stop: Share = 0.005
    """End when less than this share of the moving average's predictions changes between two looks,
    of which there are 40 in the planned steps; 0: never."""
    patience: Count = 3
    """Looks in a row at which that must be so."""
    weak: Weak = Weak()
    strong: Strong = Strong(policy="fixmatch", operations=3, cutout=0.5, pad=4)
    precision: Precision = "auto"
    compile: Compile = "auto"
    settings: dict[str, JsonValue] = {}


SECTIONS: dict[str, type[Frozen]] = {
    "pretrain": Pretrain,
    "embed": Embed,
    "self-label": SelfLabel,
    "select-reliable": SelectReliable,
    "semi": Semi,
}
"""The sections of a recipe beside `data`, in the order the stages run."""
