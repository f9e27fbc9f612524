"""What a start tells about itself. The screen shows it; tests are content with silence."""

from typing import Protocol


class Progress(Protocol):
    def waiting(self, parts: list[str]) -> None:
        """These parts are still on their way; none: others write to the terminal from here on."""

    def ready(self, part: str, seconds: float) -> None:
        """That part is there."""

    def note(self, text: str) -> None:
        """Something takes longer than usual, and why."""


class Silence:
    """Tells nothing."""

    def waiting(self, parts: list[str]) -> None: ...

    def ready(self, part: str, seconds: float) -> None: ...

    def note(self, text: str) -> None: ...
