"""A command line into a call: flags are the command's own parameters, and a refusal is one line that says what to type.

    from img2img_hub.cli.parsing import parse

    call = parse({"square": square}, prog="numbers", description="Numbers.", arguments=["square", "--number", "3"])
    print(call())

tyro reads the flags' types and the help texts off the parameters. What it refuses it explains in a box over many lines;
here it is one, by the same words, and with the nearest flag where somebody mistyped one.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import partial, wraps
from io import BytesIO, StringIO, TextIOWrapper
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import tyro

from img2img_hub.cli.elsewhere import ELSEWHERE
from img2img_hub.errors import listing

Command = Callable[..., Any]


class UsageError(ValueError):
    """A command line that cannot be run as it stands; the message, one line, says what to type."""


def parse(
    commands: Mapping[str, Command], *, prog: str, description: str, arguments: Sequence[str]
) -> Callable[[], Any]:
    """The call that a command line asks for, its arguments checked.

    Args:
        commands: by name; each parameter is a flag, and each field of one that is a data class.

    Raises:
        UsageError: it asks for none.
        SystemExit: it asks for help, which is printed.
    """
    words = list(arguments)
    command = commands.get(words[0]) if words else None
    if command is not None:
        words[1:] = _switches_said_in_full(words[1:], flags_of(command))
    ask = partial(
        tyro.extras.subcommand_cli_from_dict,
        {name: _later(command) for name, command in commands.items()},
        prog=prog,
        description=description,
        args=words,
        config=(tyro.conf.OmitArgPrefixes,),
        use_underscores=True,
    )
    if _wants_help(words):
        return ask()
    try:
        with redirect_stderr(StringIO()):
            return ask()
    except SystemExit as end:
        if not end.code:
            raise
    raise UsageError(_refusal(words, commands, prog=prog, boxed=_explanation(ask)))


def flags_of(command: Command) -> dict[str, Any]:
    """{name of a flag: its type} of a command, but for those that are set in Python alone."""
    found: dict[str, Any] = {}
    for name, hint in get_type_hints(command, include_extras=True).items():
        if name == "return":
            continue
        bare = bare_type(hint)
        if is_dataclass(bare):
            hints = get_type_hints(bare, include_extras=True)
            found |= {item.name: hints.get(item.name, item.type) for item in fields(bare)}
        else:
            found[name] = hint
    return {name: hint for name, hint in found.items() if tyro.conf.Suppress not in _notes(hint)}


def bare_type(hint: Any) -> Any:
    """A type without what it is annotated with."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint


def _notes(hint: Any) -> tuple[Any, ...]:
    return getattr(hint, "__metadata__", ())


def _later(command: Command) -> Command:
    """The command, called later: reading flags is one thing, and what they start is another."""

    @wraps(command)
    def bound(*args: Any, **kwargs: Any) -> Callable[[], Any]:
        return partial(command, *args, **kwargs)

    return bound


def _wants_help(words: Sequence[str]) -> bool:
    return bool({"-h", "--help"} & set(words)) or any(word.startswith("--tyro-") for word in words)


def _switches_said_in_full(words: Sequence[str], flags: Mapping[str, Any]) -> list[str]:
    """`--cpu True` as `--cpu`, and `--cpu False` as `--no_cpu`: of a flag that is a switch both are meant so."""
    said: list[str] = []
    for word in words:
        last = said[-1].removeprefix("--") if said and said[-1].startswith("--") else ""
        name = last.replace("-", "_")
        if bare_type(flags.get(name)) is bool and word.lower() in ("true", "false"):
            said[-1] = f"--{name}" if word.lower() == "true" else f"--no_{name}"
        else:
            said.append(word)
    return said


# --- refusals ---------------------------------------------------------------------------------------------------------


def _refusal(words: Sequence[str], commands: Mapping[str, Command], *, prog: str, boxed: str) -> str:
    """Why tyro did not take the words, in one line."""
    name = words[0] if words else ""
    if name not in commands:
        return _which_command(name, words, commands, prog=prog)
    command, help = commands[name], f"`{prog} {name} --help` explains every flag"
    flags = flags_of(command)
    for word in words[1:]:
        if unknown := _unknown(word, flags):
            return unknown_flag(unknown, name, commands, help=help)
    missing = re.findall(r"^\s{2,8}--(\w+)(?: .*)?$", boxed, re.MULTILINE)
    if missing and boxed.startswith("Missing from"):
        each = [f"--{flag} ({about})" if (about := _about(flag, boxed)) else f"--{flag}" for flag in missing]
        return f"{name} needs {' and '.join(each)}; {help}"
    if boxed.startswith("Unrecognized"):
        strays = [part for part in re.split(r",\s*", boxed.partition(":")[2].strip()) if part and part in words]
        after = _before(strays[0], words) if strays else None
        place = f" after {after}" if after else ""
        return f"{listing(strays or list(words[1:]), limit=3)}{place} belongs to no flag: leave it out; {help}"
    return _in_words(boxed)


def _which_command(name: str, words: Sequence[str], commands: Mapping[str, Command], *, prog: str) -> str:
    there = f"there are {', '.join(commands)}"
    if not name:
        return f"say what to do: {there}, as in `{prog} {next(iter(commands))} --help`"
    if name.startswith("-"):
        found = [word for word in words if word in commands]
        if found:
            return f"{found[0]} stands first: `{prog} {found[0]} {name} …`"
        return f"{name} comes after what to do: {there}, as in `{prog} {next(iter(commands))} {name} …`"
    near = get_close_matches(name.lower(), list(commands), n=1, cutoff=0.5)
    return f"there is no {name}{f': did you mean {near[0]}?' if near else ''}; {there}"


def _unknown(word: str, flags: Mapping[str, Any]) -> str | None:
    """The flag that a word tries to be, without its dashes, if there is none of that name."""
    if not (tried := re.match(r"--?([A-Za-z][\w.-]*)", word)):
        return None
    name = tried[1].replace("-", "_")
    known = name in flags or (name.startswith("no_") and bare_type(flags.get(name[3:])) is bool)
    return None if known and word.startswith("--") else tried[1]


def unknown_flag(tried: str, name: str, commands: Mapping[str, Command], *, help: str) -> str:
    """What to type in the place of a flag that command `name` has not."""
    flags = flags_of(commands[name])
    plain = tried.replace("-", "_")
    if plain in flags:
        return f"-{tried} has one dash: type --{plain}"
    start = f"--{tried} is no flag of {name}"
    cure = ELSEWHERE.get(plain, "") if "output_dir" in flags else ""  # it trains
    if cure and set(re.findall(r"--(\w+)", re.sub("`.*?`", "", cure))) <= flags.keys() | {"no_flip"}:
        return f"{start}: {cure}"
    if others := [other for other, command in commands.items() if plain in flags_of(command)]:
        return f"{start}, but of {listing(others)}: leave it out, or take {others[0]}"
    if near := get_close_matches(plain, [*flags, *(f"no_{flag}" for flag in _switches(flags))], n=1, cutoff=0.75):
        return f"{start}: did you mean --{near[0]}?"
    near = get_close_matches(plain, list(flags), n=1, cutoff=0.6)
    return f"{start}: did you mean --{near[0]}? {help}" if near else f"{start}; {help}"


def _switches(flags: Mapping[str, Any]) -> Iterator[str]:
    return (name for name, hint in flags.items() if bare_type(hint) is bool)


def _before(word: str, words: Sequence[str]) -> str | None:
    """The flag behind which a word stands."""
    before = [each for each in words[: words.index(word)] if each.startswith("--")]
    return before[-1] if before else None


def _about(flag: str, boxed: str) -> str:
    """What the help text says of a flag that is missing, as far as its first full stop."""
    found = re.search(rf"^\s*--{flag}\b[^\n]*\n\s+(.*?)\s*\(required\)", boxed, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()).split(". ")[0].rstrip(".") if found else ""


_KINDS = {"INT": "a whole number", "FLOAT": "a number", "FLOAT FLOAT": "two numbers", "STR": "a text"}


def _in_words(boxed: str) -> str:
    """The explanation of a value that does not fit."""
    text = " ".join(boxed.split())
    text = re.sub(r"^Error parsing (?:__tyro\S*|(--\S+)): (?=--)", "", text)
    text = re.sub(r"^Error parsing __tyro\S*: ", "", text)
    if found := re.match(r"Error parsing (--\S+): invalid literal for int\(\) with base 10: (.*)", text):
        return f"{found[1]} takes a whole number, got {found[2]}"
    if found := re.match(r"Error parsing (--\S+): could not convert string to float: (.*)", text):
        return f"{found[1]} takes a number, got {found[2]}"
    if found := re.match(r"Error parsing (--\S+): no type matching (.*?) could be instantiated from \[(.*?)\]\.", text):
        kinds = found[2].replace("{", "").replace("}", "").replace("None|", "").replace("|", " or ")
        kinds = _KINDS.get(kinds, kinds)
        return f"{found[1]} takes {kinds}, got {found[3].replace(chr(39), '') or 'nothing'}"
    if found := re.match(r"invalid choice (.*?) for argument '(--\w+)'\. Expected one of \((.*?)\)\.", text):
        choices = [choice for choice in re.findall(r"'(.*?)'", found[3]) if choice != "None"]
        choices = ["True", "False"] if set(choices) == {"True", "False"} else choices
        near = get_close_matches(found[1].strip("'").lower(), choices, n=1)
        return f"{found[2]} must be one of {', '.join(choices)}, got {found[1]}" + (
            f": did you mean {near[0]}?" if near else ""
        )
    return text.replace("Error parsing ", "").rstrip(".")


def _explanation(ask: Callable[[], Any]) -> str:
    """What tyro says of the words, without its box: a line for each of its lines, up to where its help begins."""
    drawing = TextIOWrapper(BytesIO(), encoding="utf-8")  # its box is drawn where the standard output could show it
    with redirect_stderr(StringIO()) as said, redirect_stdout(drawing), _wide(), suppress(SystemExit):
        ask()
    lines = [line[2:-1].rstrip() for line in said.getvalue().splitlines() if line.startswith("│")]
    ends = (place for place, line in enumerate(lines) if line.startswith("──"))
    return "\n".join(lines[: next(ends, None)])


@contextmanager
def _wide() -> Iterator[None]:
    """A terminal in which nothing is wrapped."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "20000"
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
