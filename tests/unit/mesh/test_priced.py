"""Priced: a budget is refused where a model that may be asked has no price, however it comes to be asked."""

import pytest

from partsong.errors import MeshError
from partsong.mesh import Mesh, load_text
from partsong.mesh.priced import check_priced

MESH = """\
version: 1
models:
  dear: {adapter: recorded, file: outcomes.jsonl, price: {input: 1, output: 1}, fallbacks: [spare]}
  spare: {adapter: recorded, file: outcomes.jsonl, price: {input: 1, output: 1}, fallbacks: [unpriced]}
  plain: {adapter: recorded, file: outcomes.jsonl, price: {input: 0, output: 0}}
  unpriced: {adapter: recorded, file: outcomes.jsonl}
plans:
  calm: {direct: plain}
  inner: {direct: dear}
  outer: {cascade: [{ask: plain, trust: {verifier: unpriced}}, {ask: plain}]}
  vote: {ensemble: {members: [plain, inner], merge: majority}}
"""


@pytest.fixture
def mesh(tmp_path):
    def mesh(head: str = "") -> Mesh:
        (tmp_path / "outcomes.jsonl").touch()
        return load_text(MESH + head, tmp_path, env={}).mesh

    return mesh


@pytest.mark.parametrize("use", ["unpriced", "outer", "spare", "dear", "inner", "vote", None])
def test_whatever_may_ask_a_model_without_a_price_is_refused(mesh, use):
    with pytest.raises(MeshError, match="unpriced has no price") as caught:
        check_priced(mesh(), use)
    assert caught.value.problems[0].code == "no-price"
    assert caught.value.problems[0].remedy


@pytest.mark.parametrize("use", ["plain", "calm", "nobody"])
def test_what_asks_priced_models_alone_is_not_refused(mesh, use):
    check_priced(mesh(), use)


@pytest.mark.parametrize("use", ["spare", "dear", "inner", "vote"])
def test_fallbacks_do_not_count_where_the_mesh_has_them_off(mesh, use):
    check_priced(mesh("fallbacks: off\n"), use)
