"""stde completion SHELL: a script that completes commands, flags, groups, choices, keys and runs.

The script asks `stde _complete "the line up to the cursor"` for words, one a line. A line of
`:files` or `:directories` among them asks the shell to add its own.
"""

import argparse
import contextlib
import importlib
import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from stde_cli.cli.arguments import Parser

_BASH = """\
_stde() {
    local line="${COMP_LINE:0:COMP_POINT}" word
    # Words are broken at = and : too; the part before the last break is typed already.
    local current="${line##* }" IFS=$'\\n'
    COMPREPLY=()
    for word in $(stde _complete "$line" 2>/dev/null); do
        case "$word" in
            :files) compopt -o default ;;
            :directories) compopt -o plusdirs ;;
            *) COMPREPLY+=("${word#"${current%"${current##*[=:]}"}"}") ;;
        esac
    done
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=./] ]] && compopt -o nospace
}
complete -F _stde stde
"""

_ZSH = """\
#compdef stde
_stde() {
    local -a found words_found
    found=("${(@f)$(stde _complete "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)}")
    words_found=(${found:#:*})
    (( $#words_found )) && compadd -S '' -Q -- $words_found
    compset -P '--*='
    (( ${found[(I):files]} )) && _files
    (( ${found[(I):directories]} )) && _files -/
}
compdef _stde stde
"""

_FISH = """\
function __stde_complete
    set --local found (stde _complete (commandline --current-process --cut-at-cursor) 2>/dev/null)
    string match --invert ':*' -- $found
    contains -- :files $found; and __fish_complete_path (commandline --current-token)
    contains -- :directories $found; and __fish_complete_directories (commandline --current-token)
end
complete --command stde --no-files --arguments '(__stde_complete)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def parser() -> Parser:
    parser = Parser(
        "completion",
        'Print the completion script of a shell. bash, zsh: eval "$(stde completion bash)"; '
        "fish: stde completion fish | source.",
    )
    parser.add_argument("shell", choices=sorted(_SCRIPTS))
    return parser


def main(arguments: list[str]) -> int:
    print(_SCRIPTS[parser().parse_args(arguments).shell], end="")
    return 0


def complete(arguments: list[str]) -> int:
    """Print the words that may follow the given line."""
    from stde_cli.cli.main import COMMANDS

    *before, typed = (arguments[0] if arguments else "").lstrip().split(" ")
    _, *given = filter(None, before or ["stde"])
    if not given:
        words = [name for name in [*COMMANDS, "--help", "--version"] if name.startswith(typed)]
    elif given[0] in COMMANDS:
        words = _words(given[0], given[1:], typed)
    else:
        words = []
    print("\n".join(words))
    return 0


def _words(command: str, given: list[str], typed: str) -> list[str]:
    """The words for `typed`, of a command that was `given` others before."""
    behind_hydra = command in ("solve", "bench", "reference")
    parser = _hydra_parser() if behind_hydra else _parser(command)
    flags = {flag: action for action in parser._actions for flag in action.option_strings}
    flag, equals, value = typed.partition("=")
    if typed.startswith("-") and not equals:
        return sorted(flag for flag in flags if flag.startswith(typed) and flag.startswith("--"))
    if flag in flags:
        words = _values(flags[flag], value)
        return [word if word.startswith(":") else f"{flag}={word}" for word in words]
    awaited = flags.get(given[-1]) if given else None
    if awaited is not None and awaited.nargs is None:
        return _values(awaited, typed)
    if behind_hydra:
        directories = _given_values(flags["--config-dir"], given)
        earlier = [word for word in given if "=" in word and not word.startswith("-")]
        return _overrides(command, earlier, typed, directories)
    positional = [action for action in parser._actions if not action.option_strings]
    return _values(positional[0], typed) if positional else []


def _parser(command: str) -> argparse.ArgumentParser:
    return importlib.import_module(f"stde_cli.cli.{command}").parser()


def _hydra_parser() -> argparse.ArgumentParser:
    from hydra._internal.utils import get_args_parser

    return get_args_parser()


def _values(argument: argparse.Action, typed: str) -> list[str]:
    """What an argument may be."""
    if argument.choices is not None:
        return [str(choice) for choice in argument.choices if str(choice).startswith(typed)]
    match argument.metavar or argument.dest:
        case "RUN":
            found = sorted(str(file.parent) for file in Path("runs").glob("**/config.yaml"))
            return [*(run for run in found if run.startswith(typed)), ":directories"]
        case "FILE":
            return [":files"]
        case "DIR" | "config_dir" | "config_path":
            return [":directories"]
        case "group":
            from stde_cli.cli.list import GROUPS

            return [group for group in GROUPS if group.startswith(typed)]
    return []


def _given_values(flag: argparse.Action, given: Sequence[str]) -> list[str]:
    """The values that a flag has, in words of their own or behind an =."""
    pairs = [word.partition("=")[::2] for word in given if "=" in word]
    pairs += pairwise(given)
    return [value for name, value in pairs if name in flag.option_strings]


def _overrides(command: str, given: list[str], typed: str, directories: Sequence[str]) -> list[str]:
    """Groups, choices and keys: those of configs/, and of `directories` of the user's own."""
    from hydra import version
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.core_plugins.bash_completion import BashCompletion
    from hydra._internal.utils import create_config_search_path
    from hydra.core.utils import setup_globals

    from stde_cli.config.composition import config_directory
    from stde_cli.config.schema import register

    register()
    version.setbase("1.3")
    setup_globals()
    # Hydra's completion speaks of what it cannot complete; a shell wants words alone.
    with contextlib.redirect_stdout(io.StringIO()):
        path = create_config_search_path(str(config_directory()))
        for directory in directories:
            path.append("command-line", f"file://{Path(directory).expanduser().absolute()}")
        loader = ConfigLoaderImpl(path)
        line = " ".join([*given, typed])
        return BashCompletion(loader)._query(config_name=command, line=line)
