"""The `hubgate` command: what it consists of, and how it ends."""

import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

import typer

from cli.accounts import accounts, api_keys, service_tokens
from cli.certificates import certificates
from cli.controls import list_pauses, pause, resume, rules, suppressions
from cli.decisions import decisions
from cli.deliveries import deliveries
from cli.doctor import doctor
from cli.errors import CliError, ExitCode
from cli.installation import secret_commands
from cli.instances import instances
from cli.integrations import integrations
from cli.keys import keys
from cli.logs import logs
from cli.messages import messages
from cli.options import Json
from cli.output import print_json, say, warn
from cli.serve import edge, migrate, policycore, sender
from cli.store import store
from cli.up import up
from cli.webhooks import webhooks

_INTERRUPTED = 130


def version(json: Json = False) -> None:
    """Show the version of this program."""
    try:
        number = installed_version("hubgate")
    except PackageNotFoundError:
        number = "unknown: not installed"
    if json:
        print_json({"version": number})
    else:
        say(f"hubgate {number}")


def build_app() -> typer.Typer:
    """The command with everything below it."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="A gateway between 3CX phone systems and WhatsApp that lets no message pass without a decision.",
    )
    for command in (up, migrate, doctor, version, pause, resume):
        app.command()(command)
    app.command("pauses")(list_pauses)
    groups = {
        "account": accounts,
        "api-key": api_keys,
        "instance": instances,
        "integration": integrations,
        "service-token": service_tokens,
        "suppress": suppressions,
        "rules": rules,
        "decisions": decisions,
        "key": keys,
        "store": store,
        "message": messages,
        "webhook": webhooks,
        "log": logs,
        "certificates": certificates,
        "secrets": secret_commands,
        "deliveries": deliveries,
        "edge": edge,
        "policycore": policycore,
        "sender": sender,
    }
    for name, group in groups.items():
        app.add_typer(group, name=name)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code: see `cli.errors.ExitCode`. Expected failures show no traceback."""
    try:
        build_app()(args=None if arguments is None else list(arguments), prog_name="hubgate")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else ExitCode.DONE
    except CliError as error:
        warn(f"hubgate: {error}")
        return error.code
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has left, as `head` does.
        sys.stderr.close()
        return ExitCode.DONE
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
