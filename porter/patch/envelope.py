"""The head of a mail as ``git format-patch`` writes it, read as ``git am`` reads it."""

from __future__ import annotations

import re
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import mktime_tz, parseaddr, parsedate_tz
from functools import lru_cache

_CRUD = " .,:;<>\"\\'"  # what git takes off both ends of a name (ident.c)


class Unfit(Exception):
    """A header that git am would not keep.

    Attributes:
        key: the header's name.
        what: what is wrong with it.
    """

    def __init__(self, key: str, what: str) -> None:
        super().__init__(what)
        self.key, self.what = key, what


@lru_cache(maxsize=4096)
def read(head: bytes) -> tuple[str, str, str]:
    """Subject, author (``Name <mail>``) and date (``1634021238 -0700``) as the commit has them.

    A patch that is written anew keeps its head, so what was read is remembered.

    Raises:
        Unfit: one of them is not as it should be.
    """
    mail = BytesHeaderParser().parsebytes(head + b"\n\n")
    for key in ("From", "Date", "Subject"):
        if len(mail.get_all(key, [])) != 1:
            raise Unfit(key, f"expected one {key} line")
    if str(mail.get("Content-Transfer-Encoding", "8bit")).lower() not in ("7bit", "8bit"):
        raise Unfit("Content-Transfer-Encoding", "the text is encoded; porter reads it as it is (8bit)")
    if mail.get_content_charset("utf-8") not in ("utf-8", "us-ascii"):
        raise Unfit("Content-Type", "the text is not UTF-8")
    subject = _decoded(_unfolded(mail, "Subject"), "Subject")
    if not subject.startswith("[PATCH] "):
        raise Unfit("Subject", "the subject does not begin with [PATCH]")
    subject = subject[len("[PATCH] ") :].strip()
    if not subject or re.match(r"[\[:]|re:", subject, re.IGNORECASE):
        raise Unfit("Subject", "git am would not keep the subject: it is empty or begins with '[', ':' or 'Re:'")
    name, address = parseaddr(_unfolded(mail, "From"))
    name = _decoded(name, "From").strip(_CRUD)
    if not name or "@" not in address or re.search(r"[<>\n]", name + address):
        raise Unfit("From", "expected 'From: Name <mail>'")
    if len(name.encode()) > 60:
        raise Unfit("From", "git am would not keep a name of more than 60 bytes")
    when = parsedate_tz(str(mail["Date"]))
    if when is None or when[9] is None or not re.search(r" [+-]\d{4}$", str(mail["Date"])):
        raise Unfit("Date", f"not a date with a zone: {mail['Date']}")
    offset = abs(when[9]) // 60
    zone = f"{'-' if when[9] < 0 else '+'}{offset // 60:02d}{offset % 60:02d}"
    return subject, f"{name} <{address}>", f"{mktime_tz(when)} {zone}"


def _unfolded(mail: Message, key: str) -> str:
    return re.sub(r"\n[ \t]+", " ", str(mail[key]))


def _decoded(raw: str, key: str) -> str:
    try:
        text = str(make_header(decode_header(raw))) if "=?" in raw else raw
        text.encode()
    except (HeaderParseError, UnicodeError, LookupError) as error:
        raise Unfit(key, f"cannot decode {key}: {error}") from error
    if "\ufffd" in text:
        raise Unfit(key, f"{key} holds bytes that are not encoded")
    return re.sub(r"\s+", " ", text).strip()
