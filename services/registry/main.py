"""Wires registry together and runs it."""

from __future__ import annotations

from libs.objects import Objects
from libs.service.service import Service
from services.registry.apps import handlers as apps
from services.registry.apps.store import APPS
from services.registry.settings import RegistrySettings
from services.registry.versions import handlers as versions
from services.registry.versions.store import VERSIONS


def main() -> None:
    settings = RegistrySettings()
    service = Service("registry", settings, [APPS, VERSIONS])
    publishing = versions.Versions(Objects.at(settings.objects_url), service.database)
    service.commands(apps.create_app, apps.update_app, publishing.publish_version)
    service.queries(
        apps.get_app, apps.list_apps, versions.get_version, versions.get_files, versions.list_versions
    )
    service.follows(publishing.follow_rollouts)
    service.background.append(publishing.clear_uploads)
    service.run()


if __name__ == "__main__":
    main()
