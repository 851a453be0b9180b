"""Tokens and epochs of each source of a mixture, planned as in GPT-3's table and counted in a run."""

from __future__ import annotations

import pytest
import torch

from app.llm.data import sources
from app.llm.data.sources import planned, used, windows_read
from app.llm.data.windows import Batches, Mixture, Windows


def test_the_table_of_gpt3(golden):
    """ch01.gpt3.datasets: 300 billion tokens in the shares of the table, which are rounded and sum to 101 %."""
    fact = golden("ch01.gpt3.datasets")["expected"]
    table = {name: row for name, row in fact.items() if isinstance(row, dict)}
    sizes = [row["tokens_billion"] * 10**9 for row in table.values()]
    shares = [row["share_pct"] for row in table.values()]
    assert sum(sizes) == fact["total_tokens_billion"] * 10**9
    assert sum(shares) == fact["shares_sum_pct"]
    trained = fact["trained_tokens_billion"] * 10**9
    uses = dict(zip(table, planned(sizes, shares, trained), strict=True))
    for name, row in table.items():
        assert uses[name].share == pytest.approx(row["share_pct"] / 101)
        assert uses[name].epochs == pytest.approx(row["share_pct"] / 100 * 300 / row["tokens_billion"], rel=0.01)
    assert sum(use.tokens_read for use in uses.values()) == pytest.approx(trained, abs=5)
    assert uses["CommonCrawl (filtered)"].epochs < 0.45
    assert uses["Wikipedia"].epochs == pytest.approx(2.97, abs=0.01)


def test_a_mixture_like_gpt3s_reads_what_the_table_plans(golden):
    """The table at a millionth of its size: a run of 300,000 tokens, counted window by window."""
    table = [row for row in golden("ch01.gpt3.datasets")["expected"].values() if isinstance(row, dict)]
    sizes = [row["tokens_billion"] * 1000 for row in table]
    shares = [row["share_pct"] for row in table]
    parts = [Windows(torch.zeros(size, dtype=torch.uint8), 20, 20) for size in sizes]
    batches = Batches(Mixture(parts, shares), 30, seed=1)
    for counted, plan in zip(used(batches, 500, 20), planned(sizes, shares, 300_000), strict=True):
        assert counted.tokens == plan.tokens
        assert counted.tokens_read == pytest.approx(plan.tokens_read, rel=0.1)
        assert counted.epochs == pytest.approx(plan.epochs, rel=0.1)


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("steps", [0, 1, 5, 9, 10, 11, 47])
def test_it_counts_what_the_batches_have(steps, drop_last):
    parts = [Windows(torch.arange(start, start + size), 3, 2) for start, size in ((0, 40), (100, 90), (200, 11))]
    batches = Batches(Mixture(parts, [1.0, 1.0, 2.0]), 7, seed=5, drop_last=drop_last)
    read = [0, 0, 0]
    for step in range(steps):
        for row in batches[step][0]:
            read[int(row[0]) // 100] += 1
    assert windows_read(batches, steps) == read


def test_one_source_reads_all():
    batches = Batches(Windows(torch.arange(100), 9, 10), 2, seed=None)  # 10 windows of 9
    (use,) = used(batches, 15, tokens_a_window=9)
    assert (use.tokens, use.share, use.tokens_read, use.epochs) == (100, 1.0, 270, 2.7)
    assert used(batches, 0, 9)[0].share == 0.0


def test_it_counts_in_pieces(monkeypatch):
    batches = Batches(Mixture([Windows(torch.arange(size), 1, 1) for size in (301, 101)], [1.0, 1.0]), 7, seed=5)
    whole = windows_read(batches, 100)
    monkeypatch.setattr(sources, "_COUNTED_AT_ONCE", 3)
    assert windows_read(batches, 100) == whole


@pytest.mark.parametrize("limit", ["COUNTED", "COUNTED_EPOCHS"])
def test_what_is_not_counted_has_its_share(monkeypatch, limit):
    parts = [Windows(torch.arange(size), 1, 1) for size in (301, 101)]
    batches = Batches(Mixture(parts, [3.0, 1.0]), 7, seed=5)
    exact = windows_read(batches, 1000)
    monkeypatch.setattr(sources, limit, 3 if limit == "COUNTED_EPOCHS" else 500)
    estimated = windows_read(batches, 1000)
    assert sum(estimated) == sum(exact) == 7000
    assert estimated == pytest.approx(exact, abs=20)
