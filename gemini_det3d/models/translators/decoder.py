"""The way back from an encoder's maps to an image, for one stream or several with shared weights.

Shape shorthand: B images, C channels, H x W map; maps are ``(B, H, W, C)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gemini_det3d.models.backbones import MiTBlock
from gemini_det3d.models.backbones.layers import convolve, run_block


class PixelShuffleUp(nn.Module):
    """Twice as many pixels per side out of a quarter of the channels, then a 1 x 1 convolution.

    Args:
        in_dim: Channels before, a multiple of 4.
        dim: Channels after.
    """

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        self.shuffle = nn.PixelShuffle(2)
        self.proj = nn.Conv2d(in_dim // 4, dim, 1)
        nn.init.xavier_uniform_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(self, features: Tensor) -> Tensor:
        """``(B, H, W, C)`` -> ``(B, 2 H, 2 W, D)``."""
        return convolve(lambda x: self.proj(self.shuffle(x)), features)


class PixelShuffleDecoder(nn.Module):
    """Shuffle up, add the encoder's map of that size, blocks without fusion; an image at the end.

    Args:
        dims: Channels of the encoder's stages, first stage first; multiples of 4.
        depths: Blocks of each level but the last stage's, in the same order.
        num_heads: As in the encoder, one per stage.
        sr_ratios: As in the encoder.
        mlp_ratio: As in the encoder.
        num_streams: Streams, each with norms of its own.
        out_channels: Of the image.
        with_checkpoint: Keep only the inputs of each block for the backward.

    Raises:
        ValueError: A width is no multiple of 4.
    """

    def __init__(
        self,
        dims: Sequence[int],
        depths: Sequence[int],
        num_heads: Sequence[int],
        sr_ratios: Sequence[int],
        mlp_ratio: float = 4,
        num_streams: int = 2,
        out_channels: int = 3,
        with_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        if any(dim % 4 for dim in dims):
            raise ValueError(f"dims={tuple(dims)} must be multiples of 4, to be shuffled")
        self.with_checkpoint = with_checkpoint
        levels = range(len(dims) - 2, -1, -1)
        self.ups = nn.ModuleList(PixelShuffleUp(dims[s + 1], dims[s]) for s in levels)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                MiTBlock(dims[s], num_heads[s], sr_ratios[s], mlp_ratio, num_streams=num_streams)
                for _ in range(depths[s])
            )
            for s in levels
        )
        self.to_image = PixelShuffleUp(dims[0], out_channels)
        # grey at first: a pixel that starts where tanh is flat would stay there, as would all of
        # its place in the 2 x 2 pattern
        nn.init.trunc_normal_(self.to_image.proj.weight, std=0.02)

    def forward(self, features: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """Decode.

        Args:
            features: For each stream the encoder's maps ``(B, C_s, H_s, W_s)``, largest first, each
                half the size of the one before.

        Returns:
            For each stream its image, ``(B, out_channels, 2 H_0, 2 W_0)``, -1 to 1.
        """
        maps = [[m.permute(0, 2, 3, 1) for m in stream] for stream in features]
        streams = [stream[-1] for stream in maps]
        for level, (up, blocks) in enumerate(zip(self.ups, self.blocks)):
            streams = [up(x) + stream[-2 - level] for x, stream in zip(streams, maps)]
            for block in blocks:
                streams = run_block(block, streams, None, self.with_checkpoint)
        return [torch.tanh(self.to_image(x)).permute(0, 3, 1, 2) for x in streams]
