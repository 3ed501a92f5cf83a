"""Which lines of a label file a tree's loader refuses.  Used by loader.py."""

import re

MOST_WRONG = 1000  # lines of a file that are named
# eight numbers behind the class: a file with such a row holds polygons.  No row of anybody's is the same
POLYGON = b"0 0.1234567 0.1234567 0.2345678 0.1234567 0.2345678 0.2345678 0.1234567 0.2345678"


def numbered(text):
    """The rows of a text as v6.0 splits it, each with the line that it is on for an editor."""
    line = 1 + text[: len(text) - len(text.lstrip())].count("\n")
    for row in text.strip().splitlines(True):
        yield line, (row.splitlines() or [""])[0]
        line += row.endswith("\n")


def wrong_lines(data, refused, to_boxes):
    """Pairs of line and reason: each line for which the loader leaves out the picture of a label file.

    ``data``: the file's bytes.  ``refused``: says what the loader has against some lines; empty if nothing.
    ``to_boxes``: the loader's way from polygons to boxes, ``segments2boxes``.  Raises ValueError if the loader
    refuses what is left without those lines, too.
    """
    lines = dict(enumerate(re.split(rb"\r\n|\r|\n", data), 1))
    texts = {n: line.decode(errors="replace") for n, line in lines.items()}
    polygons = any(len(row.split()) > 8 for text in texts.values() for row in text.splitlines())
    frame = [POLYGON] if polygons else []
    filled = [n for n, text in texts.items() if text.strip()]
    found, first, twins = [], {}, []
    for n in range(filled[0], filled[-1] + 1) if filled else ():  # the loader strips what is around them
        if any(row and not row.strip() for row in texts[n].splitlines()):
            found.append((n, "a line of nothing but blanks"))
        elif texts[n].strip():
            key = _key(texts[n], polygons, to_boxes)
            if first.setdefault(key, n) != n:
                twins.append((n, first[key]))
    # halves of what the loader refuses are tried, down to single lines
    left, wrong, parts = list(first.values()), {}, [(0, len(first))]
    while parts and len(wrong) < MOST_WRONG:
        start, end = parts.pop()
        said = refused([lines[n] for n in left[start:end]] + frame)
        if said and end - start == 1:
            wrong[left[start]] = said
        elif said:
            parts += [((start + end) // 2, end), (start, (start + end) // 2)]
    found += [*wrong.items(), *((n, wrong.get(same, "duplicate labels")) for n, same in twins)]
    found = [(n, _shown(said, texts[n])) for n, said in sorted(found)]
    rest = [lines[n] for n in left if n not in wrong]
    if not parts and (not found or refused(rest + frame)):
        raise ValueError("the lines that are wrong could not be told from the others")
    if parts or len(found) > MOST_WRONG:
        return [*found[:MOST_WRONG], (0, "more than %d lines are wrong; no more are named" % MOST_WRONG)]
    return found


def _key(text, polygons, to_boxes):
    """What the loader makes of a line, if that is one row; else the line.  Equal rows are refused."""
    import numpy as np  # not at the top: where there is no torch there may be no NumPy, and that is said elsewhere

    try:
        row = np.array(text.split(), dtype=np.float32)
        if polygons:
            row = np.concatenate((row[:1], to_boxes([row[1:].reshape(-1, 2)])[0]))
        return row.shape, (row.astype(np.float32) + 0).tobytes()  # -0 is 0
    except ValueError:
        return text


def _shown(said, text):
    return "%s: %s" % (said, text.strip()[:80]) if text.strip() else said
