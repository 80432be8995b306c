"""Small changes to a module's code, one at a time: what a test suite should notice.

Changed are operators, comparisons, conditions, constants, returned values, the last and the named
arguments of calls, and statements that are a call, in bodies and defaults of functions and in
constants of modules.

Left alone, by rule:
- text for people: docstrings, f-strings, and everything inside `raise` but its presence;
- what types say: annotations, `cast`, and `type` statements of a module;
- where things live, since all tests run on the CPU: `device=`, `.to(x.device)`; and `strict=` of
  `zip`, which changes nothing where the lengths agree;
- declarations: class bodies (fields and their defaults), decorators, imports, `__all__`;
- `assert`, and calls that only warn or log.
"""

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Function = ast.FunctionDef | ast.AsyncFunctionDef

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
OPPOSITES = {
    a: b
    for pair in (
        ("min", "max"),
        ("amin", "amax"),
        ("argmin", "argmax"),
        ("minimum", "maximum"),
        ("clamp_min", "clamp_max"),
        ("clamp_min_", "clamp_max_"),
        ("any", "all"),
        ("zeros", "ones"),
    )
    for a, b in (pair, pair[::-1])
}
PLACES = {"device", "strict"}
QUIET = {"warn", "debug", "info", "warning", "cast"}


Change = tuple[ast.AST, Callable[[], None], Callable[[], None]]
"""(node to show before and after, put, undo)."""


@dataclass(frozen=True)
class Mutation:
    """One change to a tree.

    Parameters
    ----------
    scope: qualified name of the outermost function, or name of the constant.
    kind: "body", "default" or "constant".
    label: what it was → what it is.
    lines: of the statement that changes, without its body.
    target: the outermost function, or the assignment, whose value or default changes.
    place: which default.
    put: changes the tree, for good.
    """

    scope: str
    kind: str
    label: str
    lines: range
    target: Any
    place: int
    put: Callable[[], None]


def mutations(tree: ast.Module) -> Iterator[Mutation]:
    """All changes to a module, in the order of its text."""
    for scope, function in functions(tree.body, ""):
        for place, default in enumerate(defaults(function)):
            if default is not None:
                for label, _, put in _within(default, function, default):
                    yield Mutation(scope, "default", label, _lines(function), function, place, put)
        for statement in _undocumented(function):
            for label, lines, put in _within(statement, statement, statement):
                yield Mutation(scope, "body", label, lines, function, 0, put)
    for statement in tree.body:
        match statement:
            case ast.Assign([ast.Name(name)], ast.expr() as value) | ast.AnnAssign(
                ast.Name(name), _, ast.expr() as value
            ) if name != "__all__":
                for label, lines, put in _within(value, statement, statement):
                    yield Mutation(name, "constant", label, lines, statement, 0, put)


def functions(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, Function]]:
    """(qualified name, function) of a module's functions and methods, not those inside others."""
    for node in body:
        if isinstance(node, Function):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node.body, f"{prefix}{node.name}.")


def defaults(function: Function) -> list[ast.expr | None]:
    """Defaults as Python holds them: those of `__defaults__`, then one for each keyword."""
    return [*function.args.defaults, *function.args.kw_defaults]


def _undocumented(function: Function) -> list[ast.stmt]:
    return function.body[1:] if ast.get_docstring(function) is not None else function.body


def _within(
    node: ast.AST, statement: ast.stmt, parent: ast.AST
) -> Iterator[tuple[str, range, Callable[[], None]]]:
    """(label, lines of the statement, put) of the changes to a node and to what is in it."""
    if isinstance(node, ast.stmt):
        statement = node
    for shown, put, undo in _changes(node):
        if isinstance(shown, ast.Constant) and isinstance(parent, (ast.expr, ast.keyword)):
            shown = parent  # `1 → 2` says little
        before = _text(shown)
        put()
        after = _text(shown)
        undo()
        yield f"{before} → {after}", _lines(statement), put
    for child in _children(node):
        yield from _within(child, statement, node)


def _children(node: ast.AST) -> list[ast.AST]:
    """What is in a node and may change: see the rules of this module."""
    match node:
        case ast.Raise() | ast.Assert() | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return []
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return list(_undocumented(node))
        case ast.AnnAssign(value=value):
            return [value] if value else []
        case ast.ExceptHandler(body=body):
            return list(body)
        case ast.keyword(arg=name) if name in PLACES:
            return []
    return [] if _quiet(node) else list(ast.iter_child_nodes(node))


def _quiet(node: ast.AST) -> bool:
    match node:
        case ast.Expr(ast.Call(f)) | ast.Call(f):
            return getattr(f, "attr", getattr(f, "id", "")) in QUIET
    return False


def _lines(statement: ast.stmt) -> range:
    """Lines of a simple statement; of a compound one, those before its body."""
    last = statement.end_lineno or statement.lineno
    body = getattr(statement, "body", None)
    if body:
        last = max(statement.lineno, body[0].lineno - 1)
    return range(statement.lineno, last + 1)


def _changes(node: ast.AST) -> Iterator[Change]:
    """Changes of the node itself, not of what is in it."""
    match node:
        case ast.Compare(ops=ops):
            for i, op in enumerate(ops):
                yield _item(node, ops, i, COMPARISONS[type(op)]())
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in OPERATORS:
            yield _field(node, "op", OPERATORS[type(op)]())
        case ast.BoolOp(op=op):
            yield _field(node, "op", ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
            yield _become(node, operand)
        case ast.Constant(value=value):
            for other in _others(value):
                yield _field(node, "value", other)
        case ast.Name(id=name) if name in OPPOSITES:
            yield _field(node, "id", OPPOSITES[name])
        case ast.Attribute(attr=name) if name in OPPOSITES:
            yield _field(node, "attr", OPPOSITES[name])
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield _field(node, "value", ast.Constant(None))
        case ast.Raise():
            yield _become(node, ast.Pass())
        case ast.Break():
            yield _become(node, ast.Continue())
        case ast.Continue():
            yield _become(node, ast.Break())
        case ast.Expr(value=ast.Call()) if not _quiet(node):
            yield _become(node, ast.Pass())
        case ast.Call(args=args, keywords=keywords) if not _quiet(node):
            if (len(args) > 1 or isinstance(node.func, ast.Attribute)) and not _place(args):
                yield _dropped(node, args, len(args) - 1)
            for i, keyword in enumerate(keywords):
                if keyword.arg not in PLACES:
                    yield _dropped(node, keywords, i)
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) if _plain(test):
            yield _become(test, ast.UnaryOp(ast.Not(), copy.copy(test)))
        case ast.comprehension(ifs=ifs):
            for test in filter(_plain, ifs):
                yield _become(test, ast.UnaryOp(ast.Not(), copy.copy(test)))


def _place(args: list[ast.expr]) -> bool:
    """No argument at all, or last the place where something is to live."""
    return not args or getattr(args[-1], "attr", getattr(args[-1], "id", "")) == "device"


def _plain(test: ast.expr) -> bool:
    """A condition that no other change turns round."""
    match test:
        case ast.Compare() | ast.BoolOp() | ast.Constant() | ast.UnaryOp(ast.Not()):
            return False
    return True


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _others(value: Any) -> list[Any]:
    match value:
        case bool():
            return [not value]
        case int() | float():
            return [value + 1]
        case str() if value:
            return [f"XX{value}XX"]
    return []


def _field(node: ast.AST, name: str, new: Any) -> Change:
    old = getattr(node, name)
    return node, lambda: setattr(node, name, new), lambda: setattr(node, name, old)


def _item(node: ast.AST, items: list[Any], i: int, new: ast.AST) -> Change:
    old = items[i]
    return node, lambda: items.__setitem__(i, new), lambda: items.__setitem__(i, old)


def _dropped(node: ast.AST, items: list[Any], i: int) -> Change:
    old = items[i]
    return node, lambda: items.__delitem__(i), lambda: items.insert(i, old)


def _become(node: ast.AST, new: ast.AST) -> Change:
    """The node turns into another kind, in place, so that whoever holds it need not know."""
    kind, fields = type(node), dict(node.__dict__)

    def put() -> None:
        node.__class__ = type(new)
        node.__dict__.update(new.__dict__)

    def undo() -> None:
        node.__class__ = kind
        node.__dict__.clear()
        node.__dict__.update(fields)

    return node, put, undo


def _text(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 120 else f"{text[:119]}…"
