"""Figures for Prometheus: what an engine did is what they say."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.llm.config import SamplingParams
from app.llm.engine.engine import Engine
from app.llm.engine.request import Request
from app.services.engine_loop import EngineLoop, GenerationFailed
from app.services.gate import ComputeGate
from app.services.metrics import Metrics
from tests.fakes import IM_END, ScriptedModel, ScriptedRunner, eventually


def figures(metrics: Metrics, loop: EngineLoop) -> dict[str, float]:
    told = metrics.written({"m": loop}).decode()
    return {
        sample.name + "".join(f":{value}" for key, value in sample.labels.items() if key == "reason"): sample.value
        for family in text_string_to_metric_families(told)
        for sample in family.samples
        if "le" not in sample.labels
    }


def test_what_ran_is_what_is_told():
    metrics = Metrics()
    engine = Engine(ScriptedRunner(ScriptedModel("hello", pass_s=0.01), kv_cache_tokens=1000))
    loop = EngineLoop(engine, ComputeGate(), 8, watch=metrics.watch("m"))
    requests = [
        Request(name, (1, 2, 3), SamplingParams(most, temperature=0.0), frozenset({IM_END}))
        for name, most in (("stops", 40), ("full", 2), ("left", 40))
    ]

    async def run() -> dict[str, float]:
        stream = loop.submit(requests)
        await stream.next()
        loop.abort(["left"])
        running = figures(metrics, loop)
        ended = 0
        while ended < 2:
            ended += sum(event.finish_reason is not None for event in await stream.next() or ())
        return running

    running = asyncio.run(run())
    eventually(lambda: loop.running == 0)
    loop.close()
    told = figures(metrics, loop)
    assert 0 < running["inkling_kv_cache_usage_ratio"] <= 1
    assert running["inkling_requests_running"] >= 2
    assert told["inkling_requests_running"] == told["inkling_requests_waiting"] == 0
    assert told["inkling_kv_cache_usage_ratio"] == 0
    assert told["inkling_prompt_tokens_total"] == 9
    reasons = {reason: told[f"inkling_requests_total:{reason}"] for reason in ("stop", "length", "abort")}
    assert reasons == {"stop": 1, "length": 1, "abort": 1}
    assert told["inkling_generation_tokens_total"] >= 6 + 2 + 1
    assert told["inkling_time_to_first_token_seconds_count"] == 3
    assert told["inkling_request_seconds_count"] == 2
    tokens = told["inkling_generation_tokens_total"]
    assert told["inkling_time_per_output_token_seconds_count"] == tokens - 3


def test_a_step_that_fails_is_an_error():
    metrics = Metrics()

    def fail(_number: int) -> None:
        raise RuntimeError("broken")

    engine = Engine(ScriptedRunner(ScriptedModel("hello", before_pass=fail), kv_cache_tokens=1000))
    loop = EngineLoop(engine, ComputeGate(), 8, watch=metrics.watch("m"))

    async def run() -> None:
        stream = loop.submit([Request("a", (1,), SamplingParams(3), frozenset())])
        with pytest.raises(GenerationFailed):
            await stream.next()

    asyncio.run(run())
    assert figures(metrics, loop)["inkling_requests_total:error"] == 1
    loop.close()
