"""Wires audit together and runs it."""

from __future__ import annotations

from libs.service.service import Service
from services.audit import handlers, store
from services.audit.settings import AuditSettings


def main() -> None:
    settings = AuditSettings()
    service = Service("audit", settings, store.DOCUMENTS)
    service.commands(handlers.record_refusal)
    service.queries(handlers.list_entries)
    # Everything that anybody tells; what audit itself tells is skipped by the frame.
    service.follows(handlers.Recorder(service.database).record, "#")
    service.run()


if __name__ == "__main__":
    main()
