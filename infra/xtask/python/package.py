"""Zips the file `bootstrap` of a folder with its mode, as `sam deploy` does. Prints the mode, octal, and the zip's bytes.

Argument: the folder.
"""

import io
import sys
import zipfile

package = io.BytesIO()
with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.write(f"{sys.argv[1]}/bootstrap", "bootstrap")
    mode = archive.getinfo("bootstrap").external_attr >> 16 & 0o777
print(f"{mode:o} {package.getbuffer().nbytes}")
