"""Code that runs in a process and gets a signal at one exact moment."""

from __future__ import annotations

HIT = """
import os, sys
from porter import process

def hit_when_returning_from(function, number):
    def look(frame, event, argument):
        if event == "return" and frame.f_code.co_name == function:
            sys.setprofile(None)
            os.kill(os.getpid(), number)
    process.handle_signals()
    sys.setprofile(look)
"""
