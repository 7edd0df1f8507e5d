"""`name` in a docstring: a link where it is a documented object, else plain code."""

import inspect

from docutils import nodes
from reference import pages
from sphinx.addnodes import pending_xref
from sphinx.util.nodes import make_refnode

_TARGETS: dict[str, set[str]] = {}
_OBJECTS: dict[str, object] = {}


def targets() -> dict[str, set[str]]:
    """What may be written -> the names it can mean: short, exported and by home."""
    if not _TARGETS:
        for module, entries in pages().items():
            for one in entries:
                _OBJECTS[one.name] = one.value
                last = one.name.rpartition(".")[2]
                for written in (last, one.name, f"{module}.{last}", by_home(one.value)):
                    _TARGETS.setdefault(written, set()).add(one.name)
    return _TARGETS


def by_home(value: object) -> str:
    """The name of an object in the module that defines it."""
    return f"{value.__module__}.{value.__qualname__}"


def meant(written: str, module: str | None) -> str | None:
    """The documented name that `written` means on the page of `module`, if there is one."""
    found = targets().get(written, set())
    if not found and "." in written:  # a method, or a property
        owner, _, member = written.rpartition(".")
        known = meant(owner, module)
        return f"{known}.{member}" if known and is_documented(known, member) else None
    near = [name for name in found if name.rpartition(".")[0] == module]
    top = [name for name in found if name.count(".") == 1]
    return next(iter(near or top or (found if len(found) == 1 else ())), None)


def is_documented(owner: str, member: str) -> bool:
    """Whether a class has a method or property of this name, with a docstring."""
    value = getattr(_OBJECTS[owner], member, None)
    return (inspect.isroutine(value) or isinstance(value, property)) and bool(value.__doc__)


def name_role(name, rawtext, text, lineno, inliner, options=None, content=()):
    """The default role."""
    env = inliner.document.settings.env
    module = env.ref_context.get("py:module")
    literal = nodes.literal(rawtext, text, classes=["name"])
    if meant(text, module) is None:
        return [literal], []
    link = pending_xref(
        rawtext, literal, refdomain="py", reftype="obj", reftarget=text, refexplicit=True,
        refdoc=env.docname, refwarn=False,
    )  # fmt: skip
    link["py:module"] = module
    return [link], []


def resolve(app, env, node, content):
    """Find what `obj` means where Sphinx knows no object of just that name."""
    if node.get("refdomain") != "py":
        return None
    target = meant(node["reftarget"], node.get("py:module"))
    known = env.domaindata["py"]["objects"].get(target)
    if known is None:
        return None
    return make_refnode(app.builder, node["refdoc"], known.docname, known.node_id, content, target)


def setup(app) -> dict[str, bool]:
    """Register the role and the resolver."""
    app.add_role("name", name_role)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
