"""Color profiles as phones and editors put them into pictures, written by the ICC's specification (ICC.1:2010)."""

from __future__ import annotations

import struct

DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
"""Red, green and blue of Display P3 as XYZ under D50."""

ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
"""The same of Adobe RGB (1998)."""

SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
GAMMA_22 = (2.19921875,)


def profile(primaries: tuple[tuple[float, float, float], ...] = DISPLAY_P3, curve: tuple[float, ...] = SRGB_CURVE) -> bytes:
    """A matrix and curve profile of an RGB space."""
    tags = {
        b"desc": b"mluc" + struct.pack(">IIIHHII", 0, 1, 12, *struct.unpack(">HH", b"enUS"), 8, 28) + "test".encode("utf-16-be"),
        b"wtpt": _xyz(0.9642, 1.0, 0.8249),
        **{name + b"XYZ": _xyz(*primary) for name, primary in zip((b"r", b"g", b"b"), primaries, strict=True)},
        **{name + b"TRC": _parametric(curve) for name in (b"r", b"g", b"b")},
    }
    offset, table, content = 128 + 4 + 12 * len(tags), b"", b""
    for name, value in tags.items():
        table += struct.pack(">4sII", name, offset + len(content), len(value))
        content += value + b"\0" * (-len(value) % 4)
    body = struct.pack(">I", len(tags)) + table + content
    header = struct.pack(">I4sI4s4s4s", 128 + len(body), b"\0\0\0\0", 0x04000000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp")
    header = header.ljust(68, b"\0") + struct.pack(">iii", *(round(part * 65536) for part in (0.9642, 1.0, 0.8249)))
    return header.ljust(128, b"\0") + body


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">iii", *(round(value * 65536) for value in values))


def _parametric(curve: tuple[float, ...]) -> bytes:
    kind = 3 if len(curve) == 5 else 0
    return b"para\0\0\0\0" + struct.pack(f">HH{len(curve)}i", kind, 0, *(round(value * 65536) for value in curve))
