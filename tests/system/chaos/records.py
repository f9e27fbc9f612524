"""What the databases hold at the end, read behind the services' backs, and what must be true of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pymongo import MongoClient

from libs.contracts.envelope import Fact, Stream
from tests.system.chaos.ledger import Effect, Ledger

SERVICES = ("identity", "registry", "deploy", "audit")
FOLLOWED = ("identity", "registry", "deploy")
_TARGET = ("app", "version", "environment")
_ROLLOUT = ("deploy.rollout_started", "deploy.version_went_live", "deploy.rollout_succeeded")


@dataclass
class Records:
    """Everything of one moment. `problems` grows with each comparison."""

    facts: dict[Stream, list[Fact]]
    heads: dict[Stream, int]
    unsent: int
    # Audit's entries of each organization, in the order of their ordinals.
    entries: dict[str, list[dict[str, Any]]]
    slugs: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, url: str) -> Records:
        facts: dict[Stream, list[Fact]] = {}
        heads: dict[Stream, int] = {}
        entries: dict[str, list[dict[str, Any]]] = {}
        unsent = 0
        client: MongoClient[dict[str, Any]] = MongoClient(url, tz_aware=True)
        with client:
            for service in SERVICES:
                for head in client[service]["heads"].find():
                    heads[Stream(service, head["_id"])] = int(head["sequence"])
                unsent += client[service]["outbox"].count_documents({})
                for row in client[service]["journal"].find().sort("_id", 1):
                    found = [Fact.decode(bytes(body)) for body in row["bodies"]]
                    assert row["_id"] == f"{row['org']}:{found[-1].sequence:020d}", row["_id"]
                    facts.setdefault(Stream(service, row["org"]), []).extend(found)
            for row in client["audit"]["entries"].find({}, {"data": 0}):
                entries.setdefault(row["org"], []).append(row)
        for recorded in entries.values():
            recorded.sort(key=lambda entry: int(entry["ordinal"]))
        records = cls(facts, heads, unsent, entries)
        for fact in records.all("identity"):
            if fact.type == "identity.organization_created":
                records.slugs[fact.org] = fact.data["slug"]
        return records

    def all(self, *services: str) -> list[Fact]:
        return [fact for stream, facts in self.facts.items() if stream.service in services for fact in facts]

    @property
    def are_quiet(self) -> bool:
        """Everything was sent, and audit has as many entries as there is to record."""
        recorded = sum(entry["service"] in FOLLOWED for found in self.entries.values() for entry in found)
        return not self.unsent and recorded == len(self.all(*FOLLOWED))

    # ---- what must hold ----

    def check_sequences(self) -> None:
        for stream, facts in self.facts.items():
            found = [fact.sequence for fact in facts]
            if found != list(range(1, len(found) + 1)):
                self.problems.append(f"{stream} has sequences {_gaps(found)}")
            if self.heads.get(stream) != len(found):
                self.problems.append(f"{stream} has {len(found)} facts and the head {self.heads.get(stream)}")

    def check_requests(self) -> None:
        """A request commits once: all its facts have that one moment, and none of them is there twice."""
        moments: dict[str, set[Any]] = {}
        for fact in self.all(*SERVICES):
            if fact.request:
                moments.setdefault(fact.request, set()).add((fact.service, fact.time))
        for request, found in moments.items():
            if len(found) > 1:
                self.problems.append(f"request {request} was applied at {sorted(map(str, found))}")
        counts = Counter((f.request, f.type, f.subject) for f in self.all(*SERVICES) if f.request)
        for key, count in counts.items():
            if count > 1:
                self.problems.append(f"{count} times {key}")

    def check_ledger(self, ledger: Ledger) -> None:
        """Acknowledged ⊆ applied ⊆ sent, and applied once each."""
        applied = Counter(self.effects())
        for effect, count in applied.items():
            if count != 1:
                self.problems.append(f"{effect} was applied {count} times")
        sent = {effect for write in ledger.writes for effect in _effects_of(write.effect)}
        acknowledged = {effect for write in ledger.acknowledged for effect in _effects_of(write.effect)}
        self.problems += [f"acknowledged and lost: {effect}" for effect in acknowledged - applied.keys()]
        self.problems += [f"applied and never sent: {effect}" for effect in applied.keys() - sent]
        rollouts: dict[tuple[str, ...], str] = {
            (self.slugs[fact.org], *(fact.data[name] for name in _TARGET)): fact.data["rollout"]
            for fact in self.all("deploy")
            if fact.type == _ROLLOUT[0]
        }
        for write in ledger.acknowledged:
            if write.effect[0] == "rollout" and write.answer:
                made, answered = rollouts.get(write.effect[1:]), write.answer.body["id"]
                if made != answered:
                    self.problems.append(f"{write.effect} was answered {answered}, and {made} was made")

    def effects(self) -> list[Effect]:
        """What the journals say was done by our writers."""
        found: list[Effect] = []
        for fact in self.all(*FOLLOWED):
            org, data = self.slugs.get(fact.org, ""), fact.data
            match fact.type:
                case "registry.app_created":
                    found.append(("app", org, data["app"]))
                case "registry.version_published":
                    found.append(("version", org, data["app"], data["version"]))
                case "registry.attempt_refused" | "deploy.attempt_refused" | "identity.attempt_refused":
                    found.append(("refused", org, str(data["attempt"].get("name", data))))
                case "identity.organization_created":
                    found.append(("org", data["slug"]))
                case kind if kind in _ROLLOUT:
                    found.append((kind, org, *(data[name] for name in _TARGET)))
        return found

    def check_reactions(self) -> None:
        """Registry marks each version that went live, once for each time."""
        caused = Counter(
            (fact.org, fact.data["app"], fact.data["environment"], fact.data["version"])
            for fact in self.all("deploy")
            if fact.type == "deploy.version_went_live"
        )
        made = Counter(
            (fact.org, fact.data["app"], fact.data["environment"], fact.data["live"])
            for fact in self.all("registry")
            if fact.type == "registry.versions_placed"
        )
        if caused != made:
            self.problems.append(f"went live but not marked, or twice: {caused - made} {made - caused}")

    def check_audit(self) -> None:
        orgs = {stream.org for stream in self.facts}
        for org in orgs:
            entries = self.entries.get(org, [])
            ordinals = [int(entry["ordinal"]) for entry in entries]
            if ordinals != list(range(1, len(entries) + 1)):
                self.problems.append(f"audit of {org} is numbered {_gaps(ordinals)}")
            for service in FOLLOWED:
                facts = [fact.id for fact in self.facts.get(Stream(service, org), [])]
                recorded = [entry["id"] for entry in entries if entry["service"] == service]
                if facts != recorded:
                    missing, twice = set(facts) - set(recorded), len(recorded) - len(set(recorded))
                    self.problems.append(
                        f"audit of {service}/{org}: {len(recorded)} of {len(facts)}, {twice} twice, "
                        f"missing {sorted(missing)[:5]}, in order: {recorded == sorted(recorded)}"
                    )


def _effects_of(effect: Effect) -> list[Effect]:
    """A rollout is three facts; everything else is one."""
    return [(kind, *effect[1:]) for kind in _ROLLOUT] if effect[0] == "rollout" else [effect]


def _gaps(found: list[int]) -> str:
    counts = Counter(found)
    missing = sorted(set(range(1, max(found, default=0) + 1)) - set(found))[:10]
    twice = [number for number, count in counts.items() if count > 1][:10]
    return f"1..{max(found, default=0)}, missing {missing}, twice {twice}"
