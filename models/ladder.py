"""One dial, the width, decides a model's shape; its parameter counts and FLOPs follow in closed form.

A second dial, the depth, is there for questions about depth itself: a step of decoding costs what its layers cost.

Depth and heads follow the width so that members of a family differ in scale and in nothing else. At the small end three
layers and narrow heads (16 wide; below that one head) make the loss a smooth function of width; from 256 upward the
ratio of width to depth is held at 64, about that of the GPT-2 series (Radford et al. 2019). Standard library only:
config modules import this.
"""

from dataclasses import dataclass

MIN_WIDTH, WIDTH_STEP = 4, 4
MIN_LAYERS = 3
WIDTH_PER_LAYER = 64
MIN_HEAD_WIDTH, MAX_HEAD_WIDTH = 16, 64


@dataclass(frozen=True)
class Shape:
    """The shape of a decoder whose width is given, and its depth where that does not follow the width.

    Raises ValueError where no family member has that width, and for fewer than one layer.
    """

    width: int
    layers: int | None = None

    def __post_init__(self) -> None:
        if self.layers is not None and self.layers < 1:
            raise ValueError(f"layers {self.layers}: give 1 or more")
        step = self.head_width if self.width > MIN_HEAD_WIDTH else WIDTH_STEP
        if self.width < MIN_WIDTH or self.width % step:
            lower = max(MIN_WIDTH, self.width // step * step)
            raise ValueError(
                f"width {self.width} is not a multiple of {step}, {MIN_WIDTH} or more: use {lower} or {lower + step}"
            )

    @property
    def name(self) -> str:
        """w0032, and w0032-l24 where the depth is given."""
        return f"w{self.width:04d}" + f"-l{self.layers}" * (self.layers is not None)

    @property
    def head_width(self) -> int:
        """The largest power of two that gives four heads or more, between 16 and 64; below 16 the width itself."""
        head_width = min(self.width, MIN_HEAD_WIDTH)
        while head_width < MAX_HEAD_WIDTH and self.width >= 8 * head_width:
            head_width *= 2
        return head_width

    @property
    def num_heads(self) -> int:
        """As many heads as fill the width."""
        return self.width // self.head_width

    @property
    def num_layers(self) -> int:
        """As asked for; else three, and from 256 upward a layer for every 64 of width."""
        return self.layers or max(MIN_LAYERS, self.width // WIDTH_PER_LAYER)

    @property
    def mlp_width(self) -> int:
        """Hidden width of the gated MLP: 8/3 of the width (Shazeer 2020), rounded up to a multiple of 8."""
        return -(-8 * self.width // 3 // 8) * 8

    @property
    def params_non_embedding(self) -> int:
        """Attention, MLP and norm weights; the embedding and the output head are left out."""
        attention = 4 * self.width * self.width
        mlp = 3 * self.width * self.mlp_width
        return self.num_layers * (attention + mlp + 2 * self.width) + self.width

    def params_with_head(self, vocab_size: int) -> int:
        """Non-embedding parameters and the output head: everything that multiplies at each token."""
        return self.params_non_embedding + vocab_size * self.width

    def params_total(self, vocab_size: int) -> int:
        """Everything: the embedding and the output head are not tied."""
        return self.params_with_head(vocab_size) + vocab_size * self.width

    def flops_per_token(self, vocab_size: int, sequence_length: int) -> int:
        """Training FLOPs a token (forward and backward), attention and head included.

        Two FLOPs a multiply-add, backward twice the forward; matrix multiplications only, as torch's FLOP counter
        counts them. Attention is counted over the whole sequence, masked half included, as its kernels compute it.
        """
        matmul_weights = self.num_layers * (4 * self.width**2 + 3 * self.width * self.mlp_width)
        head = vocab_size * self.width
        attention = self.num_layers * 2 * sequence_length * self.width
        return 3 * 2 * (matmul_weights + head + attention)
