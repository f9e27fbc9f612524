"""A foreign issuer of tokens for tests: keys, a key set served on loopback, tokens of any shape."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, Key, RSAKey

ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}


@dataclass
class ForeignIssuer:
    """`published` are the keys in the key set; `url` is its `iss`."""

    url: str
    published: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    down: bool = False

    def new_key(self, kind: str = "RSA", published: bool = True, **more: Any) -> Key:
        parameters: Any = {"kid": secrets.token_hex(6), "use": "sig", "alg": ALGORITHMS[kind], **more}
        rsa = kind == "RSA"
        key: Key = RSAKey.generate_key(2048, parameters) if rsa else ECKey.generate_key("P-256", parameters)
        if published:
            self.published.append(dict(key.as_dict(private=False)))
        return key

    def withdraw(self, key: Key) -> None:
        self.published = [one for one in self.published if one["kid"] != key.kid]

    def document(self, path: str) -> dict[str, Any] | None:
        if path.endswith("/.well-known/openid-configuration"):
            return {"issuer": self.url, "jwks_uri": f"{self.url.rstrip('/')}/jwks"}
        return {"keys": self.published} if path.endswith("/jwks") else None


def signed(key: Key, claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
    """`header` adds to what is usual, or replaces it; None leaves a field out."""
    fields: dict[str, Any] = {"alg": ALGORITHMS.get(str(key.key_type), "HS256"), "kid": key.kid, "typ": "JWT"}
    fields = {name: value for name, value in {**fields, **(header or {})}.items() if value is not None}
    registry = jws.JWSRegistry(algorithms=[fields["alg"]], strict_check_header=False)
    return jws.serialize_compact(fields, json.dumps(claims).encode(), key, registry=registry)


def unsigned(claims: dict[str, Any], header: dict[str, Any]) -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), b"")
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def confused(key: Key, claims: dict[str, Any]) -> str:
    """HMAC with the public key's text as its secret. By hand: libraries know better than to do that."""
    head = unsigned(claims, {"alg": "HS256", "kid": key.kid, "typ": "JWT"})[:-1]
    assert isinstance(key, ECKey)
    digest = hmac.new(key.as_pem(private=False), head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def claims(issuer: ForeignIssuer, **more: Any) -> dict[str, Any]:
    """What every shape has; None leaves a claim out."""
    now = int(time.time())
    usual = {"iss": issuer.url, "sub": "user_1", "iat": now, "exp": now + 60}
    return {name: value for name, value in {**usual, **more}.items() if value is not None}


@contextmanager
def serving(path: str = "") -> Iterator[ForeignIssuer]:
    """An issuer on a port of its own, until the block ends."""
    issuer = ForeignIssuer("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked += 1
            found = None if issuer.down else issuer.document(self.path)
            body = json.dumps(found).encode()
            self.send_response(200 if found else 503)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_address[1]}{path}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
