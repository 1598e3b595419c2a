"""What training curves and encoders are, in plain words."""

from __future__ import annotations

from dataclasses import dataclass

from heap.evaluate.names import encoder_kind

# What the columns of history.csv mean, and which way is good. Unknown ones are drawn without words.
COLUMNS = {
    "loss": "what the training minimises: the weighted sum of the losses",
    "intra": "L_intra: below zero where patches that look alike share a region",
    "negative": "L_neg: small where foreground and background differ",
    "inter": "L_inter: small where similar regions of different photos agree",
    "prior": "distance to the warm-up target",
    "gradient_norm": "length of the gradient before clipping",
    "learning_rate": "size of a step: a short rise, then a fall to zero",
    "prior_weight": "weight of the warm-up target in the loss",
    "photos_per_s": "photos trained on a second",
    "waiting_share": "share of the time spent waiting for photos; near zero is good",
    "rho": "correlation of the map with the attention; far from zero is good",
    "area": "mean foreground; 0.10 to 0.45 is usual",
    "entropy": "blur of the patches' assignment; below 0.5 is good",
    "undecided": "share of patches between foreground and background; below 0.3 is good",
    "groups": "groups a photo uses; one alone is a collapse",
    "border": "mean foreground on the photo's edge; low is good",
    "framing": "how much more the edge is like the background than like the foreground; high is good, decides the seed",
}
# The headings of a training's curves: what each tells, and the columns below it.
CURVES = [
    ("Losses", "What the training minimises, and its parts.", ["loss", "intra", "negative", "inter", "prior"]),
    (
        "Signs of a collapse",
        "None of them reads a label. A head that calls everything foreground, copies the attention, or puts a photo "
        "into one group shows here.",
        ["area", "undecided", "entropy", "groups", "border", "framing", "rho"],
    ),
    (
        "Course",
        "",
        ["learning_rate", "gradient_norm", "prior_weight", "photos_per_s", "waiting_share"],
    ),
]


@dataclass(frozen=True)
class Note:
    """What an encoder is; `loud` where figures made with it must not be taken for DINO's."""

    text: str
    loud: bool


_NOTES = {
    "untrained": Note(
        "UNTRAINED: this encoder has random weights. The page shows that the programs run; it says nothing about "
        "what HEAP finds with a trained encoder.",
        True,
    ),
    "hand-made": Note(
        "HAND-MADE: the features are computed descriptors of colour, gradient and texture, not learned ones. "
        "Figures are not comparable with those of DINO or of the paper.",
        True,
    ),
    "unverified": Note(
        "A frozen encoder from a weights file whose checksum nobody has stated (see encoders.sha256).", False
    ),
    "trained": Note(
        "A frozen, self-supervised encoder; only the small head on top of it was trained, without labels.", False
    ),
}


def encoder_note(label: str) -> Note:
    """Return in plain words what the encoder of a label is."""
    return _NOTES[encoder_kind(label)]
