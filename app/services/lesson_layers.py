"""The book's feed-forward part, asked for its bend and its shapes (section 4.3). Knows no HTTP."""

from __future__ import annotations

from app.schemas.lessons import FeedForwardIn, FeedForwardOut


def feed_forward(body: FeedForwardIn) -> FeedForwardOut:
    """What GELU and ReLU make of some numbers, and how wide a feed-forward part is inside."""
    import torch

    from app.llm.lessons.cost import parameter_count
    from app.llm.lessons.feed_forward import GELU, FeedForward

    values = torch.tensor(body.values)
    with torch.device("meta"):  # shapes without numbers
        part = FeedForward(body.emb_dim)
        given = torch.empty(body.batch_size, body.tokens, body.emb_dim)  # (B, T, E)
        widened = part.layers[0](given)  # (B, T, 4 E)
        narrowed = part(given)  # (B, T, E)
    return FeedForwardOut(
        values=values.tolist(),
        gelu=GELU()(values).tolist(),
        relu=values.relu().tolist(),
        shapes=[list(one.shape) for one in (given, widened, narrowed)],
        parameters=parameter_count(part),
    )
