"""The yaml of a data set as v6.0 reads it, and where in it everything stands.  Used by loader.py."""

MOST_VALUES = 1000000  # in a yaml, each alias counted as what it stands for
MOST_CLASSES = 100000  # v6.0's model of 80 classes has 7 million weights, its smallest of this many 130 million
SPLITS = "train", "val", "test"


class Unreadable(Exception):
    """The yaml is none of a data set: what, and why."""


class DataYaml:
    """What a yaml says.

    Attributes:
        data: as v6.0 has it.
        lines: key, or key and index of an item in a list -> line.
        twice: keys that are there more than once, each with the line of its last.
    """

    def __init__(self, data, lines, twice):
        self.data, self.lines, self.twice = data, lines, twice


def counts_names(general):
    """Whether a tree, of whose utils/general.py this is the text, takes as many classes as there are names, as v7.0's
    does, and has no use for ``nc``."""
    return "data['nc'] = len(data['names'])" in general


def read(text, file, counted=False):
    """Read the text of ``file``.  Raises Unreadable for what ends train.py before it looks at a picture.

    Arguments:
        counted: there are as many classes as names, see :func:`counts_names`.
    """
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is not None:
            _count(root, {}, yaml)
        data = loader.construct_document(root) if root is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = ", line %d" % (mark.line + 1) if mark else ""
        raise Unreadable("%s%s: not YAML" % (file, where), getattr(error, "problem", None) or str(error)) from error
    for name in ("train", "val", "names" if counted else "nc"):
        if not isinstance(data, dict) or name not in data:
            raise Unreadable("%s is no yaml of a data set: it has no %s" % (file, name), "")
    lines, twice = {}, {}
    for key, value in root.value:
        if key.value in lines:
            twice[key.value] = key.start_mark.line + 1
        lines[key.value] = key.start_mark.line + 1
        items = value.value if isinstance(value, yaml.SequenceNode) else ()
        lines.update(((key.value, n), item.start_mark.line + 1) for n, item in enumerate(items))
    _hold(data, lines, file, counted)
    return DataYaml(data, lines, twice)


def paths(value):
    """The paths of a split as v6.0 takes them from its yaml: one or several."""
    return list(value) if isinstance(value, (list, dict)) else [value] if value else []


def _count(node, known, yaml):
    """How many values a node stands for.  Aliases of aliases, or merged (``<<``), can stand for billions."""
    if id(node) in known:
        if known[id(node)] is None:
            raise yaml.composer.ComposerError(None, None, "it holds itself", node.start_mark)
        return known[id(node)]
    known[id(node)] = None
    inner = () if isinstance(node, yaml.ScalarNode) else node.value
    if isinstance(node, yaml.MappingNode):
        inner = [each for pair in inner for each in pair]
    count = 1 + sum(_count(each, known, yaml) for each in inner)
    if count > MOST_VALUES:
        what = "its aliases stand for more than %d values" % MOST_VALUES
        raise yaml.composer.ComposerError(None, None, what, node.start_mark)
    known[id(node)] = count
    return count


def _hold(data, lines, file, counted):
    """Hold what train.py uses to its kinds."""

    def refuse(name, what, item=None):
        line = lines.get((name, item), lines.get(name, 0))
        raise Unreadable("%s, line %d: %s" % (file, line, what), "")

    if counted:
        if not isinstance(data["names"], (list, dict)) or not data["names"]:
            refuse("names", "names should be a list of classes, found %.40r" % (data["names"],))
        data["nc"] = len(data["names"])
    why = _count_fault(data)
    if why:
        refuse("nc", why)
    count = int(data["nc"])
    if "names" in data:
        why = _names_fault(data["names"], count)
        if why:
            refuse("names", why)
    if data.get("path") and not isinstance(data["path"], str):
        refuse("path", "path should be the path of a folder, found %.40r" % (data["path"],))
    for name in SPLITS:
        value = data.get(name)
        if value and not isinstance(value, (str, list, dict)):
            refuse(name, "%s should be a path, or a list of paths, found %.40r" % (name, value))
        for n, path in enumerate(paths(value)):
            if not isinstance(path, str):
                refuse(name, "%s should be a list of paths, found %.40r" % (name, path), n)


def _count_fault(data):
    """What is wrong with the number of classes; empty if nothing is."""
    try:
        count = int(data["nc"])  # as train.py takes it
    except (TypeError, ValueError, OverflowError):
        count = 0
    if count < 1 or ("names" not in data and not isinstance(data["nc"], int)):
        return "nc should be a number of classes, found %.40r" % (data["nc"],)
    return "nc is %d: a model of so many classes has no room in memory" % count if count > MOST_CLASSES else ""


def _names_fault(names, count):
    """What is wrong with the names of so many classes; empty if nothing is."""
    if not isinstance(names, (list, dict)):
        return "names should be a list, found %.40r" % (names,)
    if len(names) != count:  # train.py's own demand
        return "%d names for %d classes (nc)" % (len(names), count)
    if isinstance(names, dict) and any(n not in names for n in range(count)):  # a training ends at its checkpoint
        return "names should be numbered from 0 to %d" % (count - 1)
    return ""
