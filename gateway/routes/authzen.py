"""AuthZEN 1.0: decisions with their reasons, searches, and where to find them. Routes only translate."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from gateway.authzen import searches
from gateway.authzen.asking import Asking, DecisionNotYours
from gateway.authzen.questions import (
    ActionSearch,
    Evaluation,
    Evaluations,
    QuestionInvalid,
    ResourceSearch,
    SubjectSearch,
    parsed,
    read,
)
from gateway.door import InOrg, Public, SignedIn
from gateway.problems import problem_response
from libs.contracts import identity as i
from libs.contracts.base import Frozen
from libs.errors import Refusal

REQUEST_ID = "x-request-id"


class _Named(APIRoute):
    """The caller's own name for a request comes back with its answer, refusals included."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def named(request: Request) -> Response:
            try:
                response = await handle(request)
            except Refusal as refusal:
                response = problem_response(refusal)
            given = request.headers.get(REQUEST_ID)
            if given:
                response.headers[REQUEST_ID] = given[:200]
            return response

        return named


router = APIRouter(tags=["who may"], route_class=_Named)
_BODY = {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}, "required": True}}


class NewVocabulary(Frozen):
    meanings: tuple[i.Meaning, ...] = ()
    resources: dict[str, str] = {}  # noqa: RUF012  # a field of a model, which copies it
    subjects: dict[str, i.KnownSubject] = {}  # noqa: RUF012
    properties: dict[str, dict[str, dict[str, Any]]] = {}  # noqa: RUF012


@router.post("/access/v1/evaluation", openapi_extra=_BODY)
async def evaluation(request: Request, door: SignedIn) -> Response:
    asked = read(Evaluation, await _body(request))
    return _answer(await _decide(Asking(door), asked))


@router.post("/access/v1/evaluations", openapi_extra=_BODY)
async def evaluations(request: Request, door: SignedIn) -> Response:
    """Answers in the order of the questions. Without any, it is one question like the other."""
    body = await _body(request)
    asked, asking = read(Evaluations, body), Asking(door)
    if not asked.evaluations:
        return _answer(await _decide(asking, read(Evaluation, body)))
    answers: list[dict[str, Any]] = []
    stop_at = {"deny_on_first_deny": False, "permit_on_first_permit": True}.get(
        asked.options.evaluations_semantic
    )
    for one in asked.evaluations:
        try:
            answer = await _decide(asking, read(Evaluation, asked.put_together(one)))
        except (QuestionInvalid, DecisionNotYours) as refusal:
            # One that cannot be understood, or may not be asked, is denied; the others are answered.
            error = {"status": refusal.status, "message": refusal.detail}
            answer = {"decision": False, "context": {"error": error}}
        answers.append(answer)
        if answer["decision"] is stop_at:
            break
    return _answer({"evaluations": answers})


@router.post("/access/v1/search/subject", openapi_extra=_BODY)
async def search_subject(request: Request, door: SignedIn) -> Response:
    search, asking = read(SubjectSearch, await _body(request)), Asking(door)
    organization = await asking.organization(None, search.resource)
    asking.check(organization, None, organization.resource(search.resource) if organization else None)
    assert organization is not None
    return _answer(searches.subjects(organization, search))


@router.post("/access/v1/search/resource", openapi_extra=_BODY)
async def search_resource(request: Request, door: SignedIn) -> Response:
    """In the organization that the header `Mes-Org` names, or that the key belongs to."""
    search, asking = read(ResourceSearch, await _body(request)), Asking(door)
    organization = await asking.organization(search.subject, None)
    who = organization.subject(search.subject) if organization else None
    asking.check(organization, who, None)
    assert organization is not None
    visible = asking.visible(organization, who)
    return _answer(await searches.resources(organization, search, door.portal, visible))


@router.post("/access/v1/search/action", openapi_extra=_BODY)
async def search_action(request: Request, door: SignedIn) -> Response:
    search, asking = read(ActionSearch, await _body(request)), Asking(door)
    organization = await asking.organization(search.subject, search.resource)
    if organization:
        who, where = organization.subject(search.subject), organization.resource(search.resource)
        asking.check(organization, who, where)
        return _answer(searches.actions(organization, search))
    asking.check(None, None, None)
    return _answer({"results": []})


@router.get("/.well-known/authzen-configuration")
async def configuration(request: Request, door: Public) -> dict[str, str]:
    base = (door.portal.settings.public_url or str(request.base_url)).rstrip("/")
    access = f"{base}/access/v1"
    return {
        "policy_decision_point": base,
        "access_evaluation_endpoint": f"{access}/evaluation",
        "access_evaluations_endpoint": f"{access}/evaluations",
        "search_subject_endpoint": f"{access}/search/subject",
        "search_resource_endpoint": f"{access}/search/resource",
        "search_action_endpoint": f"{access}/search/action",
    }


@router.get("/v1/orgs/{org}/vocabulary", response_model=i.Vocabulary)
async def vocabulary(door: InOrg) -> Response:
    return await door.query(i.GetVocabulary(org=door.org))


@router.put("/v1/orgs/{org}/vocabulary", response_model=i.Vocabulary)
async def set_vocabulary(body: NewVocabulary, door: InOrg) -> Response:
    """What the organization's applications mean by the words in which they ask for decisions."""
    command = i.SetVocabulary.model_validate(
        {"org": door.org, "if_revision": door.if_revision(), **body.model_dump()}
    )
    return await door.command(command)


async def _decide(asking: Asking, asked: Evaluation) -> dict[str, Any]:
    organization = await asking.organization(asked.subject, asked.resource)
    who = organization.subject(asked.subject) if organization else None
    where = organization.resource(asked.resource) if organization else None
    asking.check(organization, who, where)
    assert organization is not None
    return organization.decide(asked.subject, asked.action, asked.resource).answer(organization)


async def _body(request: Request) -> Any:
    return parsed(request.headers.get("content-type", ""), await request.body())


def _answer(value: dict[str, Any]) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
