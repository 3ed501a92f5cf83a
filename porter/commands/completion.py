"""``porter completion``: what makes a shell complete porter's commands, options and targets."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from porter.errors import EnvironmentFailed


@click.command(name="completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that makes SHELL complete porter's commands and options.

    \b
    bash  porter completion bash > ~/.local/share/bash-completion/completions/porter
    zsh   porter completion zsh > ~/.zfunc/_porter      (with fpath+=~/.zfunc before compinit)
    fish  porter completion fish > ~/.config/fish/completions/porter.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # click has these three
    root = click.get_current_context().find_root().command
    try:
        click.echo(kind(root, {}, "porter", "_PORTER_COMPLETE").source(), nl=False)
    except (OSError, RuntimeError) as error:  # click asks bash for its version
        raise EnvironmentFailed(f"no completion for {shell}", str(error), f"Install {shell} 4.4 or newer.") from error
