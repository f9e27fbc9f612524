"""What can stop a start, said so that the reader knows what to do next."""


class CannotStart(Exception):
    """The portal cannot start. `hint` is the next step: a command to run or a file to read."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(f"{reason}\n{hint}" if hint else reason)
        self.reason = reason
        self.hint = hint
