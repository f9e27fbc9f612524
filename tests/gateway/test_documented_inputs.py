"""What the documented schema allows, and what it does not, is never answered with a fault of ours (G9)."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode

from deploy.local import LocalPortal
from tests.gateway.conftest import Tenant, a_tenant
from tests.gateway.table import DOCUMENT

EXAMPLES = 6
SCIM = "application/scim+json"
# They answer for as long as the client listens.
STREAMS = ("/v1/orgs/{org}/events", "/discovery/{org}/{env}/events")
# These would end what the examples after them are made with.
ENDINGS = (("delete", "/v1/orgs/{org}"), ("delete", "/v1/sessions/current"))
OPERATIONS = [
    (method, path)
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if path not in STREAMS and (method, path) not in ENDINGS
]
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)


def takes_more_than_a_path(method: str, path: str) -> bool:
    """Any text fits a path; elsewhere there is something that could be wrong."""
    operation = DOCUMENT["paths"][path][method]
    return "requestBody" in operation or any(one["in"] == "query" for one in operation.get("parameters", ()))


CASES = [
    pytest.param(method, path, mode, id=f"{method} {path} {mode.value}")
    for method, path in OPERATIONS
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode is GenerationMode.POSITIVE or takes_more_than_a_path(method, path)
]


def refusal_type(path: str) -> str:
    """In the form that clients of that standard understand."""
    if path.startswith("/scim/"):
        return SCIM
    return "application/json" if path.startswith("/oauth/") else "application/problem+json"


@pytest.fixture(scope="module")
async def tenant(portal: LocalPortal) -> Tenant:
    """One of its own, as anything may become of it here."""
    return await a_tenant(portal.gateways[0])


def test_most_operations_are_tried() -> None:
    assert len(OPERATIONS) > 35
    assert len(CASES) > 60


@pytest.mark.parametrize(("method", "path", "mode"), CASES)
def test_no_input_is_answered_with_a_fault(
    portal: LocalPortal, tenant: Tenant, method: str, path: str, mode: GenerationMode
) -> None:
    operation = SCHEMA[path][method]
    known = {
        "org": tenant.org,
        "app": tenant.app,
        "env": "production",
        "version": "1.0.0",
        "rollout": tenant.rollout,
        "user": tenant.viewer.id,
        "path": "page.js",
        **tenant.more,
    }

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), inside=st.booleans())
    def answered(case: Case[Any], inside: bool) -> None:
        if inside and case.path_parameters:
            # Otherwise hardly any example would get past the door.
            named = {name: known[name] for name in case.path_parameters if name in known}
            case.path_parameters = {**case.path_parameters, **named}
        response = case.call(
            base_url=portal.url,
            headers={**dict(case.headers or {}), "authorization": f"Bearer {tenant.owner.token}"},
            timeout=30,
        )
        # What is not built says so.
        not_built = path.endswith("/{org}/.search") and response.status_code == 501
        assert response.status_code < 500 or not_built, f"{response.text}\n{case.as_curl_command()}"
        (trace,) = response.headers["mes-trace"]
        assert len(trace) == 32
        if response.status_code >= 400:
            assert response.headers["content-type"] == [refusal_type(path)]
            assert refusal_type(path) == SCIM or response.json()["trace_id"] == trace

    answered()
