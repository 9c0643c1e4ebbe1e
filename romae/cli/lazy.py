"""A group of commands that imports a command's module when it is asked for."""

from importlib import import_module
from typing import Any

import click

from romae.errors import nearest


class LazyGroup(click.Group):
    """``commands_at`` maps names to ``"module:attribute"``; listed in that order."""

    def __init__(self, *args: Any, commands_at: dict[str, str] | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.commands_at = commands_at or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands_at, *self.commands]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.commands_at:
            return super().get_command(ctx, name)
        module, _, attribute = self.commands_at[name].partition(":")
        return getattr(import_module(module), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and name not in self.list_commands(ctx):
            known = nearest(name, self.list_commands(ctx))
            raise click.UsageError(f"unknown command {name!r}. {known}", ctx=ctx)
        return super().resolve_command(ctx, args)
