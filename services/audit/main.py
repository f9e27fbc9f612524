"""Wires audit together and runs it."""

from __future__ import annotations

from datetime import timedelta

from libs.service.service import Service
from services.audit import handlers, store
from services.audit.settings import AuditSettings

LINGER = timedelta(milliseconds=150)


def main() -> None:
    settings = AuditSettings()
    service = Service("audit", settings, store.DOCUMENTS)
    service.commands(handlers.record_refusal)
    service.queries(handlers.list_entries)
    # Only gateways listen to audit, each while it is up; there may be none.
    service.relay.mandatory = False
    # A moment's delay is nothing to a log, and saves most of its commits under load.
    service.follows(handlers.Recorder(service.database).record, linger=LINGER)
    service.run()


if __name__ == "__main__":
    main()
