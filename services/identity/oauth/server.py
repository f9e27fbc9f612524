"""Authlib's server, over what was loaded for one request. It judges; saving is left to the handlers.

Its methods are synchronous and would ask a database on the way. Here everything that it may ask for is in
memory before it begins, so that a decision rests on one look at the state and is saved by one commit. The
only module that imports Authlib, which ships no types.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from authlib.common.urls import add_params_to_uri  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    AuthorizationServer,
    InvalidGrantError,
    InvalidRequestError,
    OAuth2Error,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.grants import (  # type: ignore[import-untyped]
    AuthorizationCodeGrant,
    ClientCredentialsGrant,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload  # type: ignore[import-untyped]
from authlib.oauth2.rfc7009 import RevocationEndpoint  # type: ignore[import-untyped]
from authlib.oauth2.rfc7636 import CodeChallenge  # type: ignore[import-untyped]
from authlib.oauth2.rfc8628 import (  # type: ignore[import-untyped]
    DeviceAuthorizationEndpoint,
    DeviceCodeGrant,
)

from libs.contracts.identity import AuthorizationParameters, ClientProof
from libs.errors import Refusal
from libs.oauth import InvalidRequest, every_oauth_refusal

EVERY_METHOD = ["none", "client_secret_basic", "client_secret_post"]
SECRET_METHODS = ["client_secret_basic", "client_secret_post"]
# Authlib insists on https. Whether the way here was safe is the gateway's matter, and this is no way.
IN_MEMORY = "https://in.memory/"
_REFUSALS = every_oauth_refusal()
# What is said of each, whatever Authlib would say: its texts repeat what was sent.
_UNSUPPORTED = {"request": "request_not_supported", "request_uri": "request_uri_not_supported"}

# Any client: one of the settings, or a service account.
FindClient = Callable[[str], Any]


class Redirected(Exception):
    """The request is refused, and the browser takes the refusal to the client: that address is its own."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


class Valid(NamedTuple):
    """An authorization request that may be answered."""

    client: Any
    redirect_uri: str
    scope: str


class WaitingDevice(Protocol):
    """What Authlib asks of a device."""

    def get_client_id(self) -> str: ...

    def get_scope(self) -> str: ...

    def get_user_code(self) -> str: ...

    def is_expired(self) -> bool: ...


def check_authorization(parameters: AuthorizationParameters, find: FindClient, issuer: str) -> Valid:
    """Raises a Refusal where the browser must stay with us, and Redirected where the client may hear it."""
    sent = {name: value for name, value in parameters.model_dump().items() if value is not None}
    server = _Server(find)
    server.register_grant(_CodeGrant, [_Challenge()])
    request = _Form(sent, None)
    try:
        grant = server.get_authorization_grant(request)
        redirect_uri = grant.validate_consent_request()
        _check_extras(sent, redirect_uri)
    except OAuth2Error as error:
        if not error.redirect_uri:
            raise _refusal(error) from None
        location = answer_to(error.redirect_uri, {"error": error.error}, parameters, issuer)
        raise Redirected(location) from None
    except ValueError:
        # Authlib repeats the address in its text, which may not hold just any character.
        raise InvalidRequest("the redirect address is not registered") from None
    return Valid(request.client, redirect_uri, request.scope)


def answer_to(
    redirect_uri: str, answer: Mapping[str, str], parameters: AuthorizationParameters, issuer: str
) -> str:
    """The way back to the client: with its state, and with who answers (RFC 9207)."""
    state = {} if parameters.state is None else {"state": parameters.state}
    return str(add_params_to_uri(redirect_uri, {**answer, **state, "iss": issuer}))


def check_code(form: Mapping[str, str | None], proof: ClientProof, find: FindClient, code: Any) -> Any:
    """The client that may redeem the code. `code` is None where there is none that is good."""
    server = _Server(find, code=code)
    server.register_grant(_CodeGrant, [_Challenge()])
    return _validated(server, form, proof).client


def check_device(
    form: Mapping[str, str | None],
    proof: ClientProof,
    find: FindClient,
    device: WaitingDevice | None,
    decision: tuple[str, bool] | None,
    too_soon: bool,
) -> Any:
    """The client whose device may have its tokens. `decision` is who decided, and whether they said yes."""
    server = _Server(find, device=device, decision=decision, too_soon=too_soon)
    server.register_grant(_DeviceGrant)
    return _validated(server, form, proof).client


def check_secret(form: Mapping[str, str | None], proof: ClientProof, find: FindClient) -> Any:
    """The service account that has proved to be itself."""
    server = _Server(find)
    server.register_grant(_SecretGrant)
    return _validated(server, form, proof).client


def start_device(
    form: Mapping[str, str | None], proof: ClientProof, find: FindClient
) -> tuple[Any, str, str]:
    """The client, the scope that it gets, and a code for a person to type."""
    endpoint = _DeviceEndpoint(_Server(find))
    request = _Form(form, proof)
    try:
        client = endpoint.authenticate_client(request)
        if not client.check_grant_type(DeviceCodeGrant.GRANT_TYPE):
            raise OAuth2Error(error="unauthorized_client")
        scope = client.get_allowed_scope(request.payload.scope)
        if scope is None:
            raise OAuth2Error(error="invalid_scope")
    except OAuth2Error as error:
        raise _refusal(error) from None
    return client, str(scope), str(endpoint.generate_user_code())


def check_revocation(
    form: Mapping[str, str | None], proof: ClientProof, find: FindClient, token: Any
) -> bool:
    """Whether there is something to end, and this client may end it."""
    endpoint = _Revocation(_Server(find))
    endpoint.found = token
    request = _Form(form, proof)
    try:
        client = endpoint.authenticate_endpoint_client(request)
        return endpoint.authenticate_token(request, client) is not None
    except OAuth2Error as error:
        raise _refusal(error) from None


def _validated(server: _Server, form: Mapping[str, str | None], proof: ClientProof) -> Any:
    request = _Form(form, proof)
    try:
        server.get_token_grant(request).validate_token_request()
    except OAuth2Error as error:
        raise _refusal(error) from None
    except ValueError:
        raise InvalidRequest("a parameter does not fit") from None
    return request


def _refusal(error: Any) -> Refusal:
    kind = _REFUSALS.get(error.error, InvalidRequest)
    return kind((kind.__doc__ or "").strip())


def _check_extras(sent: Mapping[str, str], redirect_uri: str) -> None:
    """What Authlib leaves to others. The address is the client's own by now."""
    for name, code in _UNSUPPORTED.items():
        if name in sent:
            raise OAuth2Error(error=code, redirect_uri=redirect_uri)
    if sent.get("response_mode", "query") != "query":
        raise InvalidRequestError("only query", redirect_uri=redirect_uri)
    prompts = sent.get("prompt", "").split()
    if not set(prompts) <= {"none", "login", "consent", "select_account"} or (
        "none" in prompts and len(prompts) > 1
    ):
        raise InvalidRequestError("no such prompt", redirect_uri=redirect_uri)
    age = sent.get("max_age", "0")
    if not (age.isascii() and age.isdecimal() and len(age) < 10):
        raise InvalidRequestError("max_age is a number of seconds", redirect_uri=redirect_uri)


class _Form(OAuth2Request):  # type: ignore[misc]
    """A request as it was sent, put together again from what came over the bus."""

    def __init__(self, form: Mapping[str, str | None], proof: ClientProof | None) -> None:
        sent = {name: value for name, value in form.items() if value is not None}
        headers = {}
        if proof and proof.basic:
            secret = proof.secret.get_secret_value() if proof.secret else ""
            pair = f"{quote(proof.id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        elif proof and proof.id:
            sent["client_id"] = proof.id
            if proof.secret:
                sent["client_secret"] = proof.secret.get_secret_value()
        super().__init__("POST", IN_MEMORY, headers=headers)
        self.payload = BasicOAuth2Payload(sent)

    @property
    def form(self) -> Any:
        return self.payload.data

    @property
    def args(self) -> Any:
        return self.payload.data


class _Server(AuthorizationServer):  # type: ignore[misc]
    """Knows what was loaded for one request, and nothing else."""

    def __init__(
        self,
        find: FindClient,
        code: Any = None,
        device: Any = None,
        decision: tuple[str, bool] | None = None,
        too_soon: bool = False,
    ) -> None:
        super().__init__()
        self.code, self.device, self.decision, self.too_soon = code, device, decision, too_soon
        self._find = find

    def query_client(self, client_id: str) -> Any:
        return self._find(client_id)

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: Any) -> Any:
        return request


class _CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = EVERY_METHOD

    def query_authorization_code(self, code: str, client: Any) -> Any:
        found = self.server.code
        return found if found is not None and found.client == client.get_client_id() else None


class _Challenge(CodeChallenge):  # type: ignore[misc]
    """PKCE by every client, and S256 alone: with `plain` whoever sees the request has the verifier."""

    SUPPORTED_CODE_CHALLENGE_METHOD: tuple[str, ...] = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        sent = grant.request.payload.data
        if not sent.get("code_challenge") or not sent.get("code_challenge_method"):
            raise InvalidRequestError("a code challenge with the method S256 is needed")
        super().validate_code_challenge(grant, redirect_uri)

    def get_authorization_code_challenge_method(self, authorization_code: Any) -> str:
        return "S256"


class _DeviceGrant(DeviceCodeGrant):  # type: ignore[misc]
    def query_device_credential(self, device_code: str) -> Any:
        if self.server.device is None:
            raise InvalidGrantError
        return self.server.device

    def query_user_grant(self, user_code: str) -> Any:
        return self.server.decision

    def should_slow_down(self, credential: Any) -> bool:
        return bool(self.server.too_soon)


class _SecretGrant(ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = SECRET_METHODS


class _DeviceEndpoint(DeviceAuthorizationEndpoint):  # type: ignore[misc]
    """Eight consonants: about 34 bits, and no words."""


class _Revocation(RevocationEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS = EVERY_METHOD
    found: Any = None

    def query_token(self, token: str, hint: str | None) -> Any:
        return self.found
