"""A C preprocessor over a plugin's own files: comments, conditions, includes and macros, every line kept where it was.

What a build of one card compiles is what is left under that build's defines.  Headers of the checkout are followed,
others (torch, the vendor's libraries) are not there and are passed over: names that they define stand as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

TOKEN = re.compile(
    r"""(?P<raw>(?:u8|[uUL])?R"(?P<delimiter>[^()\s\\]{0,16})\(.*?\)(?P=delimiter)")"""
    r"""|(?P<string>(?:u8|[uUL])?"(?:\\.|[^"\\\n])*")"""
    r"""|(?P<char>(?:u8|[uUL])?'(?:\\.|[^'\\\n])+')"""
    r"""|(?P<number>\.?\d(?:[eEpP][+-]|'?[\w.])*)"""
    r"""|(?P<name>[A-Za-z_]\w*)"""
    r"""|(?P<newline>\n)"""
    r"""|(?P<space>[^\S\n]+)"""
    r"""|(?P<other>\#\#|::|->|&&|\|\||<<|>>|[<>=!]=|.)""",
    re.VERBOSE | re.DOTALL,
)
COMMENT = re.compile(
    r"""(?:u8|[uUL])?R"(?P<delimiter>[^()\s\\]{0,16})\(.*?\)(?P=delimiter)"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'"""
    r"""|(?P<comment>//(?:\\\n|[^\n])*|/\*.*?\*/)""",
    re.DOTALL,
)
DIRECTIVE = re.compile(r"[ \t]*#[ \t]*([a-z_]+)\b[ \t]*(.*)", re.DOTALL)
DEFINITION = re.compile(r"([A-Za-z_]\w*)(\(([^)]*)\))?[ \t]*(.*)", re.DOTALL)
EXPRESSION = re.compile(r"\s*(0[xX][0-9a-fA-F]+|\d+|[A-Za-z_]\w*|&&|\|\||[<>=!]=|<<|>>|[-+*/%<>!()?:&|^~,])")
DEPTH = 200

Token = tuple[str, str]


@dataclass(frozen=True)
class Macro:
    name: str
    parameters: tuple[str, ...] | None
    body: tuple[Token, ...]
    variadic: bool = False


@dataclass
class Unit:
    """One file after preprocessing: its path in the checkout, and its text with as many lines as the file has."""

    path: str
    text: str


def tokens(text: str) -> list[Token]:
    return [(match.lastgroup or "other", match.group()) for match in TOKEN.finditer(text)]


def without_comments(text: str) -> str:
    """The text with every comment replaced by a space and its own line breaks; what stands in a string stays."""

    def blank(match: re.Match[str]) -> str:
        comment = match.group("comment")
        return match.group() if comment is None else " " + "\n" * comment.count("\n")

    return COMMENT.sub(blank, text)


def macro(text: str) -> Macro:
    """From what follows `#define`, or from `NAME`, `NAME=VALUE` of a command line."""
    match = DEFINITION.match(text.strip())
    if not match:
        return Macro("", None, ())
    name, brackets, parameters, body = match.groups()
    found = list(tokens(body.replace("\n", " ").strip()))
    if brackets is None:
        return Macro(name, None, tuple(found))
    names = [part.strip() for part in parameters.split(",") if part.strip()]
    variadic = bool(names) and names[-1].endswith("...")
    if variadic:
        names[-1] = names[-1][:-3].strip() or "__VA_ARGS__"
    return Macro(name, tuple(names), tuple(found), variadic)


def given(define: str) -> Macro:
    name, equals, value = define.partition("=")
    return macro(f"{name} {value if equals else '1'}")


@dataclass
class Preprocessor:
    """Reads files as one build does.

    root is the checkout, folders the include folders in it, defines NAME or NAME=VALUE.  Files read one after the other
    share their macros, as in a build that puts all sources into one; `forget` ends that for builds that do not.
    """

    root: Path
    folders: list[Path]
    defines: list[str]
    seeds: list[str] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
    macros: dict[str, Macro] = field(default_factory=dict)
    included: set[Path] = field(default_factory=set)
    own: list[str] = field(default_factory=list)
    statements: tuple[str, ...] = ()  # macros of torch that need no semicolon after them

    def __post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.macros = {}
        for one in [*map(given, self.defines), *map(macro, self.seeds)]:
            self.macros[one.name] = one
        self.fixed = set(self.macros)

    def alone(self, path: Path) -> None:
        """Adds a file that is compiled by itself: what it defines, other than its headers, ends with it."""
        own, self.own = self.own, []
        self.read(path)
        for name in self.own:
            self.macros.pop(name, None)
        self.own = own

    def read(self, path: Path) -> None:
        """Adds the file, and before it each header of the checkout that it includes and nobody read yet."""
        path = path.resolve()
        if path in self.included:
            return
        self.included.add(path)
        text = without_comments(path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n"))
        out = self.file(text, path)
        self.units.append(Unit(path.relative_to(self.root.resolve()).as_posix(), out))

    def file(self, text: str, path: Path) -> str:
        out: list[str] = []
        pending: list[str] = []
        stack: list[tuple[bool, bool]] = []  # of each #if: this branch counts, one of its branches counted
        lines = text.split("\n")
        index = 0
        while index < len(lines):
            line = lines[index]
            if not line.lstrip().startswith("#"):
                pending.append(line if all(live for live, _ in stack) else "")
                index += 1
                continue
            if pending:
                out.append(self.expanded("\n".join(pending) + "\n"))
                pending = []
            first = index
            while line.endswith("\\") and index + 1 < len(lines):
                index += 1
                line = line[:-1] + " " + lines[index]
            index += 1
            self.directive(line, stack, path)
            out.append("\n" * (index - first))
        if pending:
            out.append(self.expanded("\n".join(pending)))
        return "".join(out)

    def directive(self, line: str, stack: list[tuple[bool, bool]], path: Path) -> None:
        match = DIRECTIVE.match(line)
        if not match:
            return
        name, rest = match.group(1), match.group(2).strip()
        above = all(live for live, _ in stack[:-1])
        if name in ("if", "ifdef", "ifndef"):
            live = all(live for live, _ in stack) and self.holds(name, rest)
            stack.append((live, live))
        elif name in ("elif", "else") and stack:
            _, done = stack[-1]
            live = above and not done and (name == "else" or self.holds("if", rest))
            stack[-1] = (live, done or live)
        elif name == "endif" and stack:
            stack.pop()
        elif all(live for live, _ in stack):
            self.effect(name, rest, path)

    def effect(self, name: str, rest: str, path: Path) -> None:
        if name == "define":
            one = macro(rest)
            if one.name not in self.fixed:
                self.macros[one.name] = one
                if path.suffix in (".cpp", ".cc", ".mlu"):
                    self.own.append(one.name)
        elif name == "undef":
            if rest not in self.fixed:
                self.macros.pop(rest, None)
        elif name == "include":
            for folder in [path.parent, *self.folders]:
                header = folder / rest.strip('"<> ')
                if header.is_file():
                    self.read(header)
                    return

    def holds(self, name: str, rest: str) -> bool:
        if name != "if":
            known = (rest.split() or [""])[0] in self.macros
            return known if name == "ifdef" else not known
        text = re.sub(
            r"\bdefined\s*(?:\(\s*(\w+)\s*\)|(\w+))",
            lambda match: " 1 " if (match.group(1) or match.group(2)) in self.macros else " 0 ",
            rest,
        )
        text = re.sub(r"\b__has_include\s*\([^)]*\)", " 0 ", text)
        return Condition(self.expanded(text)).value() != 0

    def expanded(self, text: str) -> str:
        return closed("".join(text for _, text in self.expand(tokens(text), frozenset())), self.statements)

    def expand(self, given: list[Token], hidden: frozenset[str]) -> list[Token]:
        out: list[Token] = []
        index = 0
        while index < len(given):
            kind, text = given[index]
            index += 1
            one = self.macros.get(text) if kind == "name" and text not in hidden else None
            if one is None or len(hidden) > DEPTH:
                out.append((kind, text))
            elif one.parameters is None:
                out += self.expand(list(one.body), hidden | {text})
            else:
                arguments, after = self.arguments(given, index)
                if arguments is None:
                    out.append((kind, text))
                    continue
                breaks = sum(1 for kind, _ in given[index:after] if kind == "newline")
                index = after
                out += self.expand(self.substituted(one, arguments, hidden), hidden | {text})
                out += [("newline", "\n")] * breaks
        return out

    @staticmethod
    def arguments(given: list[Token], index: int) -> tuple[list[list[Token]] | None, int]:
        while index < len(given) and given[index][0] in ("space", "newline"):
            index += 1
        if index >= len(given) or given[index][1] != "(":
            return None, index
        arguments: list[list[Token]] = [[]]
        depth = 0
        while index < len(given):
            kind, text = given[index]
            index += 1
            if text in ("(", "[", "{") and kind == "other":
                depth += 1
                if depth == 1:
                    continue
            elif text in (")", "]", "}") and kind == "other":
                depth -= 1
                if depth == 0:
                    return arguments, index
            elif text == "," and depth == 1:
                arguments.append([])
                continue
            arguments[-1].append((kind, text) if kind != "newline" else ("space", " "))
        return None, index

    def substituted(self, one: Macro, arguments: list[list[Token]], hidden: frozenset[str]) -> list[Token]:
        names = one.parameters or ()
        values: dict[str, list[Token]] = {}
        for position, name in enumerate(names):
            if one.variadic and position == len(names) - 1:
                rest = arguments[position:]
                joined: list[Token] = []
                for number, part in enumerate(rest):
                    joined += ([("other", ",")] if number else []) + part
                values[name] = joined
            else:
                values[name] = arguments[position] if position < len(arguments) else []
        body = list(one.body)
        out: list[Token] = []
        index = 0
        while index < len(body):
            kind, text = body[index]
            following = next((at for at in range(index + 1, len(body)) if body[at][0] != "space"), None)
            if text == "#" and following is not None and body[following][1] in values:
                raw = "".join(part for _, part in values[body[following][1]]).strip()
                out.append(("string", '"' + raw.replace("\\", "\\\\").replace('"', '\\"') + '"'))
                index = following + 1
                continue
            if text == "##":
                index = self.pasted(body, index, values, out)
                continue
            pastes = following is not None and body[following][1] == "##"
            if kind == "name" and text in values:
                part = trimmed(values[text])
                out += part if pastes else self.expand(part, hidden)
            else:
                out.append((kind, text))
            index += 1
        return out

    @staticmethod
    def pasted(body: list[Token], index: int, values: dict[str, list[Token]], out: list[Token]) -> int:
        """Joins what stands left of `##` with what stands right of it; gives the index after the latter."""
        while out and out[-1][0] == "space":
            out.pop()
        index += 1
        while index < len(body) and body[index][0] == "space":
            index += 1
        if index >= len(body):
            return index
        kind, text = body[index]
        right = trimmed(values[text]) if text in values else [(kind, text)]
        if not right:  # `, ## __VA_ARGS__` with nothing given drops the comma
            if out and out[-1][1] == ",":
                out.pop()
            return index + 1
        if out and out[-1][1] != ",":
            joined = out.pop()[1] + right[0][1]
            out += tokens(joined) + right[1:]
        else:
            out += right
        return index + 1


def trimmed(part: list[Token]) -> list[Token]:
    start, end = 0, len(part)
    while start < end and part[start][0] == "space":
        start += 1
    while end > start and part[end - 1][0] == "space":
        end -= 1
    return part[start:end]


def closed(text: str, names: tuple[str, ...]) -> str:
    """Adds the semicolon after a call of one of names where the source has none: torch's macros need none."""
    if not names:
        return text
    out, at = [], 0
    for match in re.finditer(r"\b(?:" + "|".join(names) + r")\s*\(", text):
        if match.start() < at:
            continue
        end = bracket(text, match.end() - 1)
        if end and not re.match(r"\s*[;,)?:.&|=<>!+-]", text[end:]):
            out += [text[at:end], ";"]
            at = end
    return "".join(out) + text[at:]


def bracket(text: str, start: int) -> int:
    """The index after the bracket that closes the one at start; 0 where none does."""
    depth = 0
    for match in TOKEN.finditer(text, start):
        if match.group() == "(":
            depth += 1
        elif match.group() == ")":
            depth -= 1
            if depth == 0:
                return match.end()
    return 0


class Condition:
    """The integer expression of an `#if`, after its macros are replaced; a name that is left counts as 0."""

    LEVELS = (("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", ">", "<=", ">="), ("<<", ">>"), ("+", "-"))

    def __init__(self, text: str) -> None:
        self.parts = EXPRESSION.findall(re.sub(r"(?<=[0-9a-fA-F])[uUlL]+\b", "", text))
        self.at = 0

    def peek(self) -> str:
        return self.parts[self.at] if self.at < len(self.parts) else ""

    def take(self) -> str:
        self.at += 1
        return self.parts[self.at - 1] if self.at <= len(self.parts) else ""

    def value(self) -> int:
        result = self.binary(0)
        if self.peek() != "?":
            return result
        self.take()
        yes = self.value()
        self.take()
        no = self.value()
        return yes if result else no

    def binary(self, level: int) -> int:
        if level == len(self.LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.peek() in self.LEVELS[level]:
            sign = self.take()
            left = calculated(left, sign, self.binary(level + 1))
        return left

    def unary(self) -> int:
        part = self.take()
        if part == "!":
            return int(not self.unary())
        if part in ("-", "+", "~"):
            value = self.unary()
            return {"-": -value, "+": value, "~": ~value}[part]
        if part == "(":
            value = self.value()
            self.take()
            return value
        if part[:1].isdigit():
            return int(part, 0) if part[:2].lower() == "0x" else int(part.lstrip("0") or "0")
        if self.peek() == "(":  # a macro of a header that is not there, such as TORCH_CHECK_VERSION(2, 1)
            while self.take() not in (")", ""):
                pass
        return int(part == "true")


def calculated(left: int, sign: str, right: int) -> int:
    if sign in ("||", "&&"):
        return int(bool(left or right) if sign == "||" else bool(left and right))
    return int(
        {
            "|": left | right,
            "^": left ^ right,
            "&": left & right,
            "==": left == right,
            "!=": left != right,
            "<": left < right,
            ">": left > right,
            "<=": left <= right,
            ">=": left >= right,
            "<<": left << min(right, 64) if sign == "<<" else 0,
            ">>": left >> min(right, 64) if sign == ">>" else 0,
            "+": left + right,
            "-": left - right,
        }[sign]
    )
