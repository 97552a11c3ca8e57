"""stde completion SHELL: a script that completes commands, groups, choices and keys.

The script asks `stde _complete "the line up to the cursor"` for words, one a line.
"""

import contextlib
import io

from stde_cli.cli.arguments import Parser

_BASH = """\
_stde() {
    local line="${COMP_LINE:0:COMP_POINT}" word
    # Words are broken at = and : too; the part before the last break is typed already.
    local current="${line##* }" IFS=$'\\n'
    COMPREPLY=()
    for word in $(stde _complete "$line" 2>/dev/null); do
        COMPREPLY+=("${word#"${current%"${current##*[=:]}"}"}")
    done
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=./] ]] && compopt -o nospace
}
complete -F _stde stde
"""

_ZSH = """\
#compdef stde
_stde() {
    local -a words_found
    words_found=("${(@f)$(stde _complete "${LBUFFER}" 2>/dev/null)}")
    compadd -S '' -Q -- $words_found
}
compdef _stde stde
"""

_FISH = """\
function __stde_complete
    stde _complete (commandline --cut-at-cursor) 2>/dev/null
end
complete --command stde --no-files --arguments '(__stde_complete)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def main(arguments: list[str]) -> int:
    parser = Parser(
        "completion",
        'Print the completion script of a shell. bash, zsh: eval "$(stde completion bash)"; '
        "fish: stde completion fish | source.",
    )
    parser.add_argument("shell", choices=sorted(_SCRIPTS))
    print(_SCRIPTS[parser.parse_args(arguments).shell], end="")
    return 0


def complete(arguments: list[str]) -> int:
    """Print the words that may follow the given line."""
    from stde_cli.cli.main import COMMANDS

    line = arguments[0] if arguments else ""
    _, _, rest = line.lstrip().partition(" ")
    command, typed, rest = rest.lstrip().partition(" ")
    if not typed:
        words = [name for name in COMMANDS if name.startswith(command)]
    elif command in ("solve", "bench"):
        words = _overrides(command, rest)
    elif command in ("resume", "evaluate", "predict"):
        words = _runs(rest.split(" ")[-1])
    elif command == "completion":
        words = [shell for shell in _SCRIPTS if shell.startswith(rest)]
    else:
        words = []
    print("\n".join(words))
    return 0


def _overrides(command: str, line: str) -> list[str]:
    from hydra import initialize_config_dir, version
    from hydra._internal.core_plugins.bash_completion import BashCompletion
    from hydra.core.global_hydra import GlobalHydra

    from stde_cli.cli.hydra_app import config_directory
    from stde_cli.config.schema import register

    register()
    version.setbase("1.3")
    # Hydra's completion speaks of what it cannot complete; a shell wants words alone.
    with (
        contextlib.redirect_stdout(io.StringIO()),
        initialize_config_dir(str(config_directory()), version_base="1.3"),
    ):
        loader = GlobalHydra.instance().config_loader()
        return BashCompletion(loader)._query(config_name=command, line=line)


def _runs(typed: str) -> list[str]:
    from pathlib import Path

    found = sorted(str(file.parent) for file in Path("runs").glob("**/config.yaml"))
    return [run for run in found if run.startswith(typed)]
