"""/v1/models as the public client asks for it."""

import openai
import pytest

from tests.api.openai.conftest import MODEL


def test_what_there_is(client):
    one = client()
    [card, *_] = one.models.list().data
    assert (card.id, card.object, card.owned_by) == (MODEL, "model", "inkling")
    assert one.models.retrieve(MODEL) == card
    with pytest.raises(openai.NotFoundError):
        one.models.retrieve("gpt-9")


def test_one_that_ships_stays(client):
    with pytest.raises(openai.ConflictError) as refusal:
        client().models.delete(MODEL)
    assert refusal.value.response.headers["x-should-retry"] == "false"
