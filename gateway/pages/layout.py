"""What all pages have in common: one look, and a policy under which nothing but the page itself runs.

No scripts, no assets from elsewhere, no frames. Texts are ours; what a request says is not shown again, but
for what identity knows it by: a client's registered name, a device's address.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape

from starlette.responses import HTMLResponse

_STYLE = """\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:Canvas;color:CanvasText}
main{width:min(24rem,calc(100vw - 3rem));padding:2rem 0}
h1{font-size:1.35rem;margin:0 0 .75rem}
p{margin:0 0 1rem}
label{display:block;margin:0 0 1rem;font-size:.9rem}
input{display:block;box-sizing:border-box;width:100%;margin-top:.25rem;padding:.6rem;font:inherit;\
border:1px solid GrayText;border-radius:.4rem;background:Field;color:FieldText}
button{font:inherit;padding:.6rem 1.1rem;margin:0 .5rem .5rem 0;border-radius:.4rem;\
border:1px solid GrayText;background:ButtonFace;color:ButtonText;cursor:pointer}
button.main{background:#1f4fd8;border-color:#1f4fd8;color:#fff}
.wrong{border-left:.25rem solid #c62828;padding-left:.75rem}
.code{font:600 1.5rem/1.2 ui-monospace,monospace;letter-spacing:.15em}
dl{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1rem;margin:0 0 1rem;overflow-wrap:anywhere}
dt{opacity:.7}dd{margin:0}
small{opacity:.7}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def page(title: str, body: str, status: int = 200, leads_to: str = "") -> HTMLResponse:
    """`leads_to` is where a form's answer may redirect: browsers check that against the policy too."""
    document = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    response = HTMLResponse(document, status)
    response.headers.update(policy(leads_to))
    return response


def policy(leads_to: str = "") -> dict[str, str]:
    form_action = f"'self' {leads_to}".strip()
    return {
        "content-security-policy": (
            f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {form_action}; "
            "frame-ancestors 'none'; base-uri 'none'"
        ),
        "x-frame-options": "DENY",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
    }


def form(action: str, token: str, fields: str) -> str:
    return (
        f'<form method="post" action="{escape(action)}" autocomplete="on">'
        f'<input type="hidden" name="form" value="{escape(token)}">{fields}</form>'
    )


def field(label: str, name: str, kind: str = "text", autocomplete: str = "off", more: str = "") -> str:
    return (
        f"<label>{escape(label)}"
        f'<input name="{name}" type="{kind}" autocomplete="{autocomplete}" maxlength="320" {more}></label>'
    )


def button(label: str, value: str, main: bool = False) -> str:
    look = ' class="main"' if main else ""
    return f'<button name="action" value="{value}"{look}>{escape(label)}</button>'


def wrong(text: str) -> str:
    return f'<p class="wrong" role="alert">{escape(text)}</p>' if text else ""


def sentence(text: str) -> str:
    return f"<p>{escape(text)}</p>"
