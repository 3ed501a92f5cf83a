"""Records of cards: every operator call of YOLOv5 made on a device and on the CPU, and what its plugin has.

``calls.json.gz`` holds the calls (``tools/calls.py`` makes it), ``drivers/`` what runs in the interpreter that has the
card, and ``porter/emulator/recorded.py`` makes of a record a card that can be emulated.
"""
