"""DSIA settings as they are written on the command line and in lists of drafts."""

from validate.dsia import EarlyExit, Int8, LayerSkip, Setting, SlidingWindow, combine

FORMS = "skip:0.4, skip:3,5,9, exit:8, int8, window:256, or several joined by +"


def is_setting(name: str) -> bool:
    """Whether `name` is meant as a DSIA setting: skip:..., exit:..., int8, window:...

    Examples
    --------
    >>> is_setting("skip:0.4"), is_setting("int8+exit:4"), is_setting("max-gram")
    (True, True, False)
    """
    return name.split("+")[0].partition(":")[0] in ("skip", "exit", "int8", "window")


def parse_setting(text: str) -> Setting:
    """Read a setting as it is written on the command line.

    Parameters
    ----------
    text : str
        ``skip:0.4`` (sparsity), ``skip:3,5,9`` (layers), ``exit:8``, ``int8`` (``int8:layers``
        without the head), ``window:256`` (``window:256:0`` without sinks), or several joined by
        ``+``.

    Raises
    ------
    ValueError
        If it is none of these.

    Returns
    -------
    setting

    Examples
    --------
    >>> parse_setting("skip:3,5,9")
    LayerSkip(skipped=(3, 5, 9), sparsity=None)
    >>> str(parse_setting("int8+skip:0.4"))
    'int8+skip:0.4'
    """
    return combine(*(_simple(part.strip()) for part in text.split("+")))


def split_names(text: str) -> list[str]:
    """Split a list of models at commas, but not between the layers of ``skip:3,5,9``.

    Examples
    --------
    >>> split_names("int8, skip:3,5,9,max-gram")
    ['int8', 'skip:3,5,9', 'max-gram']
    """
    names: list[str] = []
    for part in (piece.strip() for piece in text.split(",")):
        continues = names and "skip:" in names[-1].rpartition("+")[2]
        if continues and part.partition("+")[0].isdigit():
            names[-1] += f",{part}"
        elif part:
            names.append(part)
    return names


def _simple(text: str) -> LayerSkip | EarlyExit | Int8 | SlidingWindow:
    kind, _, value = text.partition(":")
    try:
        if kind == "skip" and "." in value:
            return LayerSkip(sparsity=float(value))
        if kind == "skip" and value:
            return LayerSkip(tuple(int(layer) for layer in value.split(",")))
        if kind == "exit":
            layers, _, head = value.partition(":")
            return EarlyExit(int(layers), head or None)
        if kind == "int8" and value in ("", "layers"):
            return Int8(head=not value)
        if kind == "window":
            size, _, sinks = value.partition(":")
            return SlidingWindow(int(size), sinks=int(sinks) if sinks else 4)
    except ValueError as error:
        if "invalid literal" not in str(error) and "could not convert" not in str(error):
            raise
    raise ValueError(f"there is no DSIA setting {text!r}: write {FORMS}")
