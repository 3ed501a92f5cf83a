"""Pictures for a page: ``shrink.py TREE SIDE FILE...`` prints JSON, a list with each as a JPEG of SIDE pixels at most.

Needs Pillow, which the tree needs too, and nothing of the tree.
"""

import base64
import io
import json

from entry import enter

side, *files = enter()

from PIL import Image

found = []
for file in files:
    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((int(side), int(side)), getattr(Image, "Resampling", Image).LANCZOS)  # the old name until 9.1
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=82, optimize=True)
    found.append(
        {"width": picture.width, "height": picture.height, "jpeg": base64.b64encode(out.getvalue()).decode("ascii")}
    )
print("\n" + json.dumps(found))
