"""What the OpenAPI document tells beside what FastAPI finds: answers of the edge, and where what was made is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.api.errors import refusals
from app.errors import NotReady, TooLarge, UnsupportedFormat

MADE = {
    "/datasets": ("/datasets/{dataset_id}", "id"),
    "/jobs": ("/jobs/{job_id}", "id"),
    "/jobs/{job_id}/duplicate": ("/jobs/{job_id}", "id"),
    "/tokenizers": ("/tokenizers/{name}", "name"),
    "/branches": ("/branches/{branch_id}", "id"),
    "/models": ("/models/{name}", "name"),
    "/models/upload": ("/models/{name}", "name"),
    "/v1/files": ("/v1/files/{file_id}", "id"),
    "/v1/fine_tuning/jobs": ("/v1/fine_tuning/jobs/{job_id}", "id"),
}
"""Where a POST makes something: the path of what it makes, and the field of the answer that names it."""

FORMS = {"multipart/form-data", "application/x-www-form-urlencoded"}
BLANK = {"const": "", "description": "The same as left out."}

Document = dict[str, Any]


def complete(document: Document) -> Document:
    """Add them to a document."""
    for operation in (each for path in document["paths"].values() for each in path.values()):
        always = refusals(NotReady) | (refusals(TooLarge, UnsupportedFormat) if "requestBody" in operation else {})
        for status, told in always.items():
            operation["responses"].setdefault(str(status), told)
        for kind in FORMS & operation.get("requestBody", {"content": {}})["content"].keys():
            _tell_of_blanks(document, operation["requestBody"]["content"][kind]["schema"])
    for path in MADE.keys() & document["paths"].keys():
        for status, told in document["paths"][path]["post"]["responses"].items():
            if status.startswith("2"):
                told["links"] = dict(_links(document, *MADE[path]))
    return document


def _tell_of_blanks(document: Document, schema: Document) -> None:
    """A form's field that is blank is the same as one that is left out, as browsers send all that they show."""
    form = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    for name in form["properties"].keys() - form.get("required", []):
        kinds = form["properties"][name].get("anyOf", [])
        if kinds and BLANK not in kinds:
            kinds.append(BLANK)


def _links(document: Document, made: str, field: str) -> Iterator[tuple[str, Document]]:
    parameter = made.partition("{")[2].removesuffix("}")
    for path, operations in document["paths"].items():
        if path.partition("}")[0] + "}" == made and path.count("{") == 1:
            for operation in operations.values():
                parameters = {f"path.{parameter}": f"$response.body#/{field}"}
                yield operation["operationId"], {"operationId": operation["operationId"], "parameters": parameters}
