"""The book in code: tokenizers, data, model, engine, training. Pure; free of torch at this level.

Shape letters, everywhere: B batch, T new tokens, S all tokens seen, E emb_dim, H heads, D = E / H, V vocab.
"""
