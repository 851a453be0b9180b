"""Two models side by side, as the server sends it: all of it without script."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from app.api.pages.render import STRICT_POLICY
from tests.evaluated import House, house_on, settings_in

MARKUP = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_on(settings_in(tmp_path_factory.mktemp("house"))) as made:
        yield made


def test_two_models_stand_side_by_side(house: House) -> None:
    job_id = house.done({"kind": "perplexity", "max_rows": 1, "window": 4, "against": ["two"]})
    answer = house.client.get("/ui/compare", params={"a": "one", "b": "two"})
    assert (answer.status_code, answer.headers["content-security-policy"]) == (200, STRICT_POLICY)
    assert 'href="/ui/generate?model=one&amp;against=two"' in answer.text
    assert f'<a href="/ui/jobs/{job_id}">{job_id}</a>' in answer.text
    first, second = house.report(job_id)
    figures = f"<td>{first['perplexity']:.3f}</td><td>{second['perplexity']:.3f}</td>"
    assert (
        f'class="compare__differs"><th scope="row">perplexity <span class="unseen">(differs)</span></th>{figures}'
        in answer.text
    )
    assert '<tr><th scope="row">emb_dim</th><td>16</td><td>16</td></tr>' in answer.text
    other = house.client.get("/ui/compare", params={"a": "one", "b": "smollm2-135m-instruct"}).text
    assert '<tr class="compare__differs"><th scope="row">emb_dim' in other
    assert "Nothing yet" in other


def test_what_two_classifiers_mistake_stands_side_by_side(house: House) -> None:
    house.add_classifier("strict", ("ham", MARKUP))
    house.add_classifier("lenient", ("ham", MARKUP), 0.5)
    rows = house.add_rows([{"text": "ab", "label": "ham"}, {"text": "ba", "label": MARKUP}])
    job_id = house.done({"kind": "accuracy", "against": ["lenient"]}, model="strict", dataset=rows)
    page = house.client.get("/ui/compare", params={"a": "strict", "b": "lenient"}).text
    for report in house.report(job_id):
        of = page.split(f'aria-label="Confusion matrix of {report["model"]} in {job_id}"')[1].split("</table>")[0]
        numbers = [int(each) for each in re.findall(r">(\d+)</a>", of)]
        assert numbers == [number for row in report["confusion"] for number in row]
        assert f"/ui/models/{report['model']}?evaluation={job_id}&amp;is=1&amp;told=0" in of
    assert "<script>alert" not in page


def test_what_can_be_compared_is_chosen_in_a_form(house: House) -> None:
    page = house.client.get("/ui/compare").text
    assert '<form class="sheet compare__form" method="get" action="/ui/compare">' in page
    assert page.count("<option selected>") == 2
    answer = house.client.get("/ui/compare", params={"a": "one", "b": MARKUP})
    assert (answer.status_code, "there is no model" in answer.text) == (404, True)
    assert "<script>alert" not in answer.text
