"""Nothing that is secret stands in a log or a trace, whatever level it is logged at."""

from __future__ import annotations

from deploy.local import LocalPortal
from libs.telemetry.tree import spans_of
from tests.portal import PASSWORD, somebody
from tests.system.test_trace import trace_of


async def test_logs_and_traces_hold_no_password_and_no_token(portal: LocalPortal) -> None:
    person = await somebody(portal.url)
    org = await person.make_org()
    other = await somebody(portal.url)
    invited = await person.call(
        "POST", f"/v1/orgs/{org}/invitations", 201, json={"email": other.email, "role": "viewer"}
    )
    renewed = await person.http.post(
        "/oauth/token", data={"grant_type": "refresh_token", "refresh_token": person.refresh_token}
    )
    assert renewed.status_code == 200, renewed.text
    refused = await person.http.post(
        "/v1/sessions", json={"email": person.email, "password": "wrong-" + PASSWORD}
    )
    assert refused.status_code == 401
    trace = refused.headers["mes-trace"]
    await trace_of(portal, trace, whole=lambda spans: any(span["service"] == "identity" for span in spans))
    assert spans_of(portal.folder.path / "traces", trace)

    secrets = {
        "password": PASSWORD,
        "access token": person.token,
        "refresh token": person.refresh_token,
        "second access token": renewed.json()["access_token"],
        "second refresh token": renewed.json()["refresh_token"],
        "invitation": invited.json()["token"],
    }
    files = [path for name in ("logs", "traces") for path in (portal.folder.path / name).iterdir()]
    assert len(files) > 10
    for file in files:
        text = file.read_bytes()
        found = [what for what, secret in secrets.items() if secret.encode() in text]
        assert not found, f"{file.name} holds the {found}"
