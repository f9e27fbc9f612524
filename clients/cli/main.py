"""The command line `mes`. Commands live in the modules beside this one; here they get their names."""

from __future__ import annotations

import sys

import typer

from clients.cli import dead, demo, placing, publishing, screen, signing, tracing, watching
from clients.cli.failures import Failure

app = typer.Typer(
    help="Publish, roll out and watch Module Federation applications.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done · 1 refused · 2 usage · 3 unreachable · 4 not signed in",
)
app.command()(signing.login)
app.command()(signing.logout)
app.command()(publishing.publish)
app.command()(placing.deploy)
app.command()(placing.rollback)
app.command()(placing.status)
app.command()(watching.watch)
app.command()(tracing.trace)
app.add_typer(dead.app, name="dead")
app.command()(demo.demo)


def main() -> None:
    try:
        app()
    except Failure as failure:
        screen.show(failure, for_programs="--json" in sys.argv)
        sys.exit(failure.code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
