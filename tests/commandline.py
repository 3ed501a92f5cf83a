"""The commands that porter has, asked for as click asks."""

from __future__ import annotations

from collections.abc import Iterator

import click

from porter.cli import cli


def inner(command: click.Command) -> dict[str, click.Command]:
    """The commands in a group by name; none are in a command that is no group."""
    if not isinstance(command, click.Group):
        return {}
    context = click.Context(command)
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: each for name, each in found.items() if each is not None}


def commands(group: click.Command = cli, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and group in a group, with the words that lead to it."""
    for name, command in inner(group).items():
        yield (*path, name), command
        yield from commands(command, *path, name)
