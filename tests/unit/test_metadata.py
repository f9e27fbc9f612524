"""The discovery documents, judged by a library's own rules for them."""

from __future__ import annotations

from authlib.oauth2.rfc8414 import AuthorizationServerMetadata  # type: ignore[import-untyped]
from authlib.oidc.discovery import OpenIDProviderMetadata  # type: ignore[import-untyped]

from gateway import metadata

ISSUER = "https://portal.example.org"


def test_the_documents_are_as_the_standards_have_them() -> None:
    AuthorizationServerMetadata(metadata.authorization_server(ISSUER)).validate()
    openid = metadata.openid(ISSUER)
    # OpenID Connect wants RS256 as well; we sign with one algorithm, and say so.
    assert openid["id_token_signing_alg_values_supported"] == ["ES256"]
    openid["id_token_signing_alg_values_supported"] = ["ES256", "RS256"]
    OpenIDProviderMetadata(openid).validate()


def test_nothing_is_offered_that_weakens_the_code_flow() -> None:
    said = metadata.openid(ISSUER)
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert said["response_types_supported"] == ["code"]
    assert "implicit" not in said["grant_types_supported"]
    assert "password" not in said["grant_types_supported"]
    assert said["authorization_response_iss_parameter_supported"] is True
