"""What the documented schema allows, and what it does not, is never answered with a fault of ours (G9)."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.schemas import BaseSchema

from deploy.local import LocalPortal
from tests.gateway.conftest import Tenant, a_tenant
from tests.gateway.table import ROUTES

EXAMPLES = 6
# They answer for as long as the client listens.
STREAMS = ("/v1/orgs/{org}/events", "/discovery/{org}/{env}/events")
# These would end what the examples after them are made with.
ENDINGS = {("DELETE", "/v1/orgs/{org}"), ("DELETE", "/v1/sessions/current")}
DOCUMENTED = sorted(
    {
        (route.method, route.path.replace(":path}", "}"))
        for route in ROUTES
        if route.guard and route.path not in STREAMS and route.method != "HEAD"
    }
    - ENDINGS
)


@pytest.fixture(scope="module")
def schema(portal: LocalPortal) -> BaseSchema:
    document = requests.get(f"{portal.url}/openapi.json", timeout=30).json()
    return schemathesis.openapi.from_dict(document)


@pytest.fixture(scope="module")
async def tenant(portal: LocalPortal) -> Tenant:
    """One of its own, as anything may become of it here."""
    return await a_tenant(portal.gateways[0])


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fits", "does not"])
@pytest.mark.parametrize(("method", "path"), DOCUMENTED)
def test_no_input_is_answered_with_a_fault(
    portal: LocalPortal, schema: BaseSchema, tenant: Tenant, method: str, path: str, mode: GenerationMode
) -> None:
    operation = schema[path][method]
    if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
        pytest.skip("any text fits its path, and it takes nothing else")
    known = {
        "org": tenant.org,
        "app": tenant.app,
        "env": "production",
        "version": "1.0.0",
        "rollout": tenant.rollout,
        "user": tenant.viewer.id,
        "path": "page.js",
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
        assert response.status_code < 500, f"{response.status_code} {response.text}\n{case.as_curl_command()}"
        (trace,) = response.headers["mes-trace"]
        assert len(trace) == 32
        if response.status_code >= 400:
            assert response.headers["content-type"] == ["application/problem+json"]
            assert response.json()["trace_id"] == trace

    answered()
