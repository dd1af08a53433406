"""The Lambda layer that aws.lambda-inject switches: two small files, and the zip of them.

Law: the same files give the same zip, byte for byte.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

WRAPPER = "/opt/chaosrun-wrapper"
SWITCH = "CHAOSRUN_FAULT"
_FILES = {"chaosrun-wrapper": 0o755, "python/chaosrun_lambda.py": 0o644}


def zipped() -> bytes:
    """The layer as `aws lambda publish-layer-version --zip-file` takes it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, mode in _FILES.items():
            entry = zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0))
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (Path(__file__).parent / name).read_bytes())
    return content.getvalue()
