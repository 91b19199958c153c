"""The ready meshes at work, each against servers that speak its vendors' protocols."""

import shutil
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from providers.anthropic import AnthropicServer
from providers.gemini import GeminiServer
from providers.openai import OpenAIServer
from providers.replies import Reply

import partsong
from partsong.contracts import Answer

MESHES = Path(__file__).resolve().parents[3] / "deploy/meshes"
ENV = {"OPENAI_API_KEY": "test-key", "ANTHROPIC_API_KEY": "test-key", "GEMINI_API_KEY": "test-key"}


KEY_OF = {"claude": "ANTHROPIC_API_KEY", "thinker": "ANTHROPIC_API_KEY", "writer": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY"}


@asynccontextmanager
async def opened(folder: Path, name: str, **urls: str):
    """Open the ready mesh, its models at these addresses."""
    own = "".join(
        f"  {model}: {{base_url: '{url}', api_key: {{env: {KEY_OF.get(model, 'OPENAI_API_KEY')}}}}}\n" for model, url in urls.items()
    )
    shutil.copytree(MESHES, folder, dirs_exist_ok=True)
    path = folder / "own.yaml"
    path.write_text(f"extends: {name}.yaml\nversion: 1\nmodels:\n{own}")
    async with partsong.open(path, env=ENV) as mesh:
        yield mesh


def sources(answer: Answer) -> set[str]:
    return {line.model for line in answer.bill}


@pytest.mark.parametrize(("logprob", "asked"), [(-0.01, {"mini"}), (-2.0, {"mini", "large"})])
async def test_the_faq_cascade_asks_the_large_model_only_when_unsure(tmp_path, logprob, asked):
    async with (
        OpenAIServer(lambda _: Reply("In the app, under Card.", logprob=logprob)) as server,
        opened(tmp_path, "faq-cascade", mini=server.url, large=server.url) as mesh,
    ):
        answer = await mesh.ask("How do I change my PIN?")
    assert isinstance(answer, Answer)
    assert sources(answer) == asked


async def test_the_vote_of_three_takes_what_two_say(tmp_path):
    async with (
        OpenAIServer(lambda _: "The answer is 391.") as gpt,
        AnthropicServer(lambda _: "390") as claude,
        GeminiServer(lambda _: "17 * 23 = 391") as gemini,
        opened(tmp_path, "vote-of-three", gpt=gpt.url, claude=claude.url, gemini=gemini.url) as mesh,
    ):
        answer = await mesh.ask("17 * 23?")
    assert isinstance(answer, Answer)
    assert max(answer.votes, key=answer.votes.__getitem__) == "391"


@pytest.mark.parametrize(("second", "strong"), [("refund", False), ("delivery", True)])
async def test_the_cost_saver_asks_the_strong_model_where_the_cheap_ones_differ(tmp_path, second, strong):
    async with (
        OpenAIServer(lambda _: "refund") as one,
        OpenAIServer(lambda _: second) as other,
        opened(tmp_path, "cost-saver", llama=one.url, qwen=other.url, mini=one.url, strong=one.url) as mesh,
    ):
        answer = await mesh.ask("Where is my money?")
    assert isinstance(answer, Answer)
    assert ("strong" in sources(answer)) == strong


async def test_the_cost_saver_asks_the_strong_model_when_a_cheap_one_is_down(tmp_path):
    async with (
        OpenAIServer(lambda _: "refund") as up,
        OpenAIServer(key="another") as down,
        opened(tmp_path, "cost-saver", llama=down.url, qwen=up.url, mini=up.url, strong=up.url) as mesh,
    ):
        answer = await mesh.ask("Where is my money?")
    assert isinstance(answer, Answer)
    assert answer.source == "strong"


async def test_the_cost_saver_sends_code_to_the_strong_model_at_once(tmp_path):
    async with (
        OpenAIServer(lambda _: "It sorts.") as server,
        opened(tmp_path, "cost-saver", llama=server.url, qwen=server.url, mini=server.url, strong=server.url) as mesh,
    ):
        answer = await mesh.ask("```python\ndef f(xs):\n    return sorted(xs)\n```\nWhat does this do?")
    assert isinstance(answer, Answer)
    assert sources(answer) == {"strong"}


async def test_the_assembly_line_hands_each_stage_what_was_written_before(tmp_path):
    async with (
        OpenAIServer(lambda asked: "A draft." if "Bicycles are cheap." in asked.prompt else "No notes!") as writer,
        AnthropicServer(lambda asked: "A checked answer." if "A draft." in asked.prompt else "Bicycles are cheap.") as thinker,
        opened(tmp_path, "assembly-line", thinker=thinker.url, writer=writer.url) as mesh,
    ):
        answer = await mesh.ask("Should we insure our bicycles?")
    assert isinstance(answer, Answer)
    assert answer.text == "A checked answer."


async def test_customer_feedback_is_taken_apart_and_its_parts_come_back_together(tmp_path):
    def planner(asked):
        if asked.schema is not None or "Which of these parts" in asked.prompt:
            return '{"parts": ["pain_points", "reply"]}'
        return "- it came late"

    async with (
        OpenAIServer(planner) as cheap,
        AnthropicServer(lambda asked: "Dear customer, sorry." if "it came late" in asked.prompt else "?") as writer,
        opened(tmp_path, "customer-feedback", planner=cheap.url, writer=writer.url) as mesh,
    ):
        answer = await mesh.ask("My parcel came two weeks late.")
    assert isinstance(answer, Answer)
    assert {candidate.source for candidate in answer.candidates} == {"pain_points by planner", "reply by writer"}
    assert "Dear customer, sorry." in answer.text
