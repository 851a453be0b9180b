"""The page of models, as the server sends it."""

from __future__ import annotations

from fastapi.testclient import TestClient


def test_the_page_says_what_an_import_may_be(client: TestClient) -> None:
    answer = client.get("/ui/models")
    assert answer.status_code == 200
    settings = client.app.state.runtime.settings
    assert f'data-max-bytes="{settings.max_model_upload_bytes}"' in answer.text
    assert str(settings.effective_import_dir) in answer.text
    assert settings.hub_url in answer.text
    assert 'href="/ui/models" aria-current="page"' in answer.text
    for field in ("revision", "hub-file", "licence"):
        assert f'<label for="{field}">' in answer.text
    assert "'unsafe-inline'" not in answer.headers["content-security-policy"]
