"""Every plan of the registry behaves as a plan must."""

import json

from plan_builders import plan

from partsong.plans import PLANS
from partsong.testing.plan_conformance import PlanConformance
from partsong.testing.scripted import said


class TestDirect(PlanConformance):
    def plan(self):
        return plan("direct", "mini")


class TestCascade(PlanConformance):
    def plan(self):
        return plan("cascade", [{"ask": "mini", "trust": {"logprob": 0.9}}, {"ask": "large"}])

    def models(self):
        return {"mini": said("no", logprobs=[-3.0]), "large": "yes"}


class TestCascadeByVerifier(PlanConformance):
    def plan(self):
        return plan("cascade", [{"ask": "mini", "trust": {"verifier": "judge"}}, {"ask": "large"}])


class TestCascadeBySamples(PlanConformance):
    def plan(self):
        return plan("cascade", [{"ask": "mini", "trust": {"samples": 4}}, {"ask": "large"}])


class TestCascadeByAgreement(PlanConformance):
    def plan(self):
        return plan("cascade", [{"ask": "mini", "trust": {"agrees_with": ["other"]}}, {"ask": "large"}])


class TestEnsemble(PlanConformance):
    def plan(self):
        return plan("ensemble", {"members": ["a", "b", "c", "a"], "merge": "majority", "quorum": 2})


class TestFrugal(PlanConformance):
    def plan(self):
        rated = {"mini": {"accuracy": 0.8, "cost_usd": 0.0002}, "large": {"accuracy": 0.95, "cost_usd": 0.005}}
        return plan("frugal", {"models": rated, "kind": "letter", "sure": 0.99})

    def models(self):
        return {"mini": "A", "large": "B"}


class TestPipeline(PlanConformance):
    def plan(self):
        return plan("pipeline", [{"ask": "a", "check": {"regex": "yes"}}, {"ask": "b", "prompt": "Say {{ previous }}"}])


class TestDecompose(PlanConformance):
    def plan(self):
        return plan("decompose", {"planner": "p", "workers": {"text": "w", "code": "c"}, "compose": "z", "otherwise": "o"})

    def models(self):
        nodes = [
            {"id": "one", "kind": "text", "prompt": "do", "needs": []},
            {"id": "two", "kind": "code", "prompt": "do", "needs": ["one"]},
            {"id": "three", "kind": "text", "prompt": "do", "needs": []},
        ]
        return {"p": json.dumps({"subtasks": nodes}), "w": "w", "c": "c", "z": "whole", "o": "instead"}


class TestLayers(PlanConformance):
    def plan(self):
        return plan("layers", {"proposers": ["a", "b", "a"], "rounds": 2, "aggregator": "z"})


def test_every_plan_is_known_by_its_own_kind():
    assert all(kind == made.kind for kind, made in PLANS.items())
    assert set(PLANS) == {"direct", "cascade", "ensemble", "frugal", "pipeline", "decompose", "layers"}
