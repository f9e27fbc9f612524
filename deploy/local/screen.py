"""What a person sees of a start: what it waits for, what is ready, and how to go on."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape

from deploy.local.failures import CannotStart
from deploy.local.portal import LocalPortal


class Screen:
    """A Progress in the terminal: a spinner for what is awaited, a line for what is done."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._status = self._console.status("starting")

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._status.stop()

    def waiting(self, parts: list[str]) -> None:
        if parts:
            self._status.update(f"waiting for {', '.join(parts)}")
        else:
            self._status.stop()

    def ready(self, part: str, seconds: float) -> None:
        self._console.print(f"[green]✓[/] {part:<12} [dim]{seconds:5.1f} s[/]")

    def note(self, text: str) -> None:
        self._console.print(f"[yellow]•[/] {escape(text)}", soft_wrap=True)

    def summary(self, portal: LocalPortal, seconds: float) -> None:
        """The address, the sign-in, what to try, where to look."""
        self._status.stop()
        lines = {
            "portal": f"{portal.url}  (reference: {portal.url}/docs)",
            "sign in": f"{portal.admin.email}  {portal.admin.password}",
            "try": f".venv/bin/mes login --url {portal.url} --email {portal.admin.email}",
            "": ".venv/bin/mes status",
            " ": ".venv/bin/mes watch registry.list_apps",
            "logs": str(portal.folder.path / "logs"),
            "stop": "Ctrl-C; the data stays",
        }
        self._console.print(f"\n[bold green]MES Portal is ready[/] [dim]after {seconds:.1f} s[/]")
        for name, value in lines.items():
            # Not folded to the window's width: these are there to be copied.
            self._console.print(f"  [dim]{name:<8}[/] {escape(value)}", soft_wrap=True)

    def failure(self, failure: CannotStart) -> None:
        self._status.stop()
        self._console.print(f"[bold red]✗[/] {escape(failure.reason)}", soft_wrap=True)
        if failure.hint:
            self._console.print(escape(failure.hint), soft_wrap=True)
