"""Writes a zip. Arguments: the path of the zip, then NAME=PATH for each file, where NAME is the name in the zip.

The same content results in the same bytes. The file `bootstrap`, which Lambda starts, is executable.
"""

import sys
import zipfile
from pathlib import Path

target, *files = sys.argv[1:]
with zipfile.ZipFile(target, "w") as archive:
    for file in files:
        name, _, path = file.partition("=")
        # Without a time, the entry gets the first day of 1980.
        entry = zipfile.ZipInfo(name)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = (0o100755 if name == "bootstrap" else 0o100644) << 16
        archive.writestr(entry, Path(path).read_bytes())
