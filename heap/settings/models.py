"""Encoders, and the HEAP head with its training."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from heap.settings.base import Count, Name, NotNegative, Positive, Real, Settings, Sha256, Share

Storage = Literal["float16", "uint8"]
# Plain names: timm would fetch `hf-hub:...` from the network and read `local-dir:...` from any path of this machine.
Architecture = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class VitEncoder(Settings):
    """A frozen Vision Transformer."""

    kind: Literal["vit"]
    architecture: Architecture
    """A name of `heap encoders` (dino_vits8, ...), or any ViT of timm with a CLS token."""
    weights: str = "auto"
    """`auto` (the published checkpoint), a file (.pth or .safetensors), or `random` (named so in every table)."""
    sha256: Sha256 | None = None
    """Refuse weights with another checksum; null records what was found."""
    facet: Literal["key", "query", "value", "token"] = "key"
    """What stands for a patch. LOST, TokenCut and FOUND use the keys."""
    block: int = -1
    """Which block; negative counts from the end."""
    patch_px: Count | None = None
    """States the patch size you expect; refused when the architecture has another."""
    supervision: Annotated[str, Field(min_length=1)] | None = None
    """How the weights were trained; every table's label carries it. Write SUPERVISED where labels were used."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the encoder; half precision needs CUDA. Its difference to float32, measured on the first photos,
    stands in the receipt as `precision_error`; above 5 % of the largest value it is refused."""
    batch_size: Count = 8
    """Photos of one grid encoded at once; sets memory, not values."""
    storage: Storage = "float16"
    """Features in the cache: `float16`, or `uint8` codes with ranges for each photo and channel, half the bytes."""


class CnnEncoder(Settings):
    """Feature maps of a convolutional backbone of timm: mostly SUPERVISED ones, so a test bed and a baseline."""

    kind: Literal["cnn"]
    architecture: Architecture
    """A convolutional model of timm (`heap encoders --timm PATTERN`)."""
    supervision: Annotated[str, Field(min_length=1)]
    """How the weights were trained, as `SUPERVISED on ImageNet`; every table's label carries it."""
    stages: Annotated[list[int | Literal["head"]], Field(min_length=1)]
    """Whose maps stand for a patch: numbers of timm's feature maps (-1 the last), or `head`, the network's last map."""
    attention_stage: int | Literal["head"] = "head"
    """Map whose L2 norm over channels stands for the attention that a CNN lacks (`attention_kind: feature_norm`)."""
    patch_px: Count
    """Stride of the finest of `stages` in pixels; refused when the architecture has another."""
    weights: str = "auto"
    """`auto` (timm's checkpoint), a file (.pth or .safetensors), or `random` (named so in every table)."""
    sha256: Sha256 | None = None
    """Refuse weights with another checksum; null records what was found."""
    pad_type: Literal["same"] | None = None
    """`same` for weights of TensorFlow, whose convolutions pad on one side; null is the architecture's own."""
    mean: Annotated[list[Real], Field(min_length=3, max_length=3)] | None = None
    """Mean of RGB in 0 to 1 that is taken off; null is the value timm states for the architecture."""
    std: Annotated[list[Positive], Field(min_length=3, max_length=3)] | None = None
    """Deviation of RGB that is divided by, likewise."""
    batch_size: Count = 8
    """Photos of one grid encoded at once; sets memory, not values."""
    storage: Storage = "float16"
    """Features in the cache: `float16`, or `uint8` codes with ranges for each photo and channel, half the bytes."""
    precision: ClassVar[str] = "float32"


class DescriptorEncoder(Settings):
    """Dense hand-made descriptors of colour, gradient and texture: no weights, no download, and no DINO."""

    precision: ClassVar[str] = "float32"
    batch_size: ClassVar[int] = 8

    kind: Literal["descriptors"]
    patch_px: Annotated[int, Field(ge=4, le=32)] = 8
    """Side of a patch."""
    storage: Storage = "float16"
    """Features in the cache: `float16`, or `uint8` codes with ranges for each photo and channel, half the bytes."""


Encoder = Annotated[VitEncoder | CnnEncoder | DescriptorEncoder, Field(discriminator="kind")]


class HeadSettings(Settings):
    """Shape of the HEAP head (docs/explanation/method.md)."""

    num_groups: Annotated[int, Field(ge=2, le=256)] = 16
    """M, group tokens. More find finer regions: planted IoU .725/.819/.845/.859 for 2/4/8/16."""
    num_layers: Annotated[int, Field(ge=1, le=12)] = 2
    """L, cross-attention blocks in which tokens query patches."""
    num_heads: Count = 4
    """Attention heads; must divide the encoder's feature size (checked when training starts)."""
    temperature: Positive | Literal["auto"] = "auto"
    """tau of the softmax over groups; lower is crisper. `auto`: a starting entropy of 0.2 log M on this encoder."""
    init: Literal["kmeans", "random"] = "kmeans"
    """Start of the tokens: spherical k-means of training patches, or random directions."""
    token_attention: bool = False
    """Self-attention between tokens. Steadied the seeds on real features with all-pairs L_neg."""


class LossSettings(Settings):
    """The losses and their weights (docs/explanation/method.md)."""

    variant: Literal["pure", "robust", "contrast", "no_seed"]
    """The prior: `pure` FOUND's background seed (fades), `robust` attention above its mean, `contrast` attention and
    border contrast over like patches (both kept at `prior`), or `no_seed`. Compared in docs/explanation/recipe.md."""
    intra: NotNegative | Literal["auto"] = "auto"
    """Weight of L_intra. `auto` brings it to 0.3 at the start, the order of the other two (10 on planted features)."""
    negative: NotNegative = 1.0
    """Weight of L_neg."""
    inter: NotNegative = 1.0
    """Weight of L_inter."""
    correlation_threshold: Real | Literal["auto"] = "auto"
    """b0: patch pairs correlated above it belong together. `auto`: the 65 % quantile of the correlations."""
    patches: Annotated[int, Field(ge=16)] = 224
    """Random patches a photo in L_intra; bounds its memory, which grows with the square."""
    negative_own: Share = 0.5
    """Share of L_neg that compares a photo's foreground with its own background; the rest: with every photo's.
    All alone is worse on real features (IoU .57 for .60); own alone failed on planted ones in short trainings."""
    rank_decay: Positive = 0.25
    """alpha of the weight exp(-alpha rank) in L_inter."""
    min_area: Share = 0.01
    """Regions with a smaller share of their photo stay out of L_inter."""
    bank: Annotated[int, Field(ge=0)] = 0
    """Regions of past batches that are neighbours in L_inter too (0: none), so that ranks span more than a batch."""
    prior: NotNegative = 1.0
    """kp, weight of the prior after the warm-up; used by `robust` (0.2 there) and `contrast`."""
    warmup_share: Share = 0.5
    """Share of the steps over which the warm-up target fades from 1 to 0."""


class TrainSettings(Settings):
    """Training of the head on cached features."""

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    """Seeds of initialisation, order of photos and sampled patches. Of several, one head is chosen without labels."""
    head: HeadSettings = HeadSettings()
    """Shape of the head."""
    loss: LossSettings
    """The losses."""
    steps: Count = 400
    """Optimiser steps."""
    batch_size: Annotated[int, Field(ge=2)] = 32
    """Photos a step; L_inter needs at least two."""
    learning_rate: Positive = 5e-4
    """AdamW's rate after warm-up, before the cosine decay."""
    weight_decay: NotNegative = 0.01
    """AdamW's decay."""
    grad_clip: Positive = 1.0
    """Gradients are clipped to this norm."""
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    """Steps of linear warm-up of the rate."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the head's large products; bfloat16 pays on a GPU. Similarities and losses stay float32."""
    checkpoint_every: Count = 100
    """Steps between checkpoints, from which a killed training resumes."""
    resident_gb: Positive = 12.0
    """Features up to this size stay in memory; larger caches are streamed shard by shard."""

    @model_validator(mode="after")
    def _whole(self) -> TrainSettings:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds} name one twice: each would train the same head")
        # One batch must not overwrite itself in the bank.
        least = self.head.num_groups * self.batch_size
        if 0 < self.loss.bank < least:
            raise ValueError(
                f"loss.bank holds {self.loss.bank} regions, fewer than a batch may have ({least}, head.num_groups x "
                "batch_size); 0 switches it off"
            )
        return self


class ModelSettings(Settings):
    """A model: an encoder and a head trained on its features of one dataset."""

    encoder: Name
    """Key of `encoders`."""
    train_on: Name
    """Dataset whose features the head is trained on. Nothing of its labels is read."""
    train_split: Name | None = None
    """Only this split of it; null takes all its images."""
    min_train_images: Annotated[int, Field(ge=2)] = 2
    """Refuse to train on fewer photos."""
    overrides: dict[str, object] = {}
    """Keys of `train` that differ for this model, nested as there ({head: {num_groups: 8}})."""
