"""QR codes for authenticator apps: byte mode, error correction level M, versions 1 to 13.

Source: ISO/IEC 18004:2015; section numbers below are its.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# Section 7.5.1, table 9, level M, by version from 1: error correction codewords a block, and blocks.
_CORRECTION = (10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22)
_BLOCKS = (1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9)
_LEVEL_M = 0b00
QUIET = 4  # modules of margin, section 9.1

Modules = list[list[bool]]


def path(text: str) -> dict[str, int | str]:
    """The code as one SVG path of unit squares, and the width of its viewBox.

    Raises:
        ValueError: more than 331 bytes.
    """
    modules = encode(text.encode())
    runs = []
    for y, row in enumerate(modules):
        x = 0
        while x < len(row):
            start = x
            while x < len(row) and row[x]:
                x += 1
            if x > start:
                runs.append(f"M{start + QUIET} {y + QUIET}h{x - start}v1h-{x - start}z")
            x += 1
    return {"path": "".join(runs), "width": len(modules) + 2 * QUIET}


def encode(data: bytes) -> Modules:
    """The modules, True for dark, without the margin."""
    version = _version_for(len(data))
    codewords = _interleaved(_data_codewords(data, version), version)
    size = 17 + 4 * version
    best: tuple[int, Modules] | None = None
    for mask in range(8):
        modules = [[False] * size for _ in range(size)]
        fixed = _draw_patterns(modules, version)
        _draw_format(modules, fixed, mask)
        _draw_data(modules, fixed, codewords, mask)
        penalty = _penalty(modules)
        if best is None or penalty < best[0]:
            best = penalty, modules
    assert best is not None
    return best[1]


# --- codewords, sections 7.4 and 7.5 --------------------------------------------------------------------------


def _capacity(version: int) -> int:
    """Data codewords of a version."""
    modules = (16 * version + 128) * version + 64
    if version >= 2:
        along = version // 7 + 2
        modules -= (25 * along - 10) * along - 55
        if version >= 7:
            modules -= 36
    return modules // 8 - _CORRECTION[version - 1] * _BLOCKS[version - 1]


def _version_for(length: int) -> int:
    for version in range(1, len(_BLOCKS) + 1):
        if length + (2 if version < 10 else 3) <= _capacity(version):
            return version
    raise ValueError(f"{length} bytes are too many for a QR code of version {len(_BLOCKS)}")


def _data_codewords(data: bytes, version: int) -> bytes:
    bits = "0100" + format(len(data), "08b" if version < 10 else "016b") + "".join(format(b, "08b") for b in data)
    capacity = _capacity(version)
    bits += "0" * min(4, capacity * 8 - len(bits))
    bits += "0" * (-len(bits) % 8)
    made = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    return made + bytes((0xEC, 0x11)[n % 2] for n in range(capacity - len(made)))


def _interleaved(data: bytes, version: int) -> bytes:
    count, correction = _BLOCKS[version - 1], _CORRECTION[version - 1]
    short, longer = divmod(len(data), count)
    blocks, at = [], 0
    for number in range(count):
        length = short + (number >= count - longer)
        blocks.append(data[at : at + length])
        at += length
    generator = _generator(correction)
    checks = [_remainder(block, generator) for block in blocks]
    mixed = [block[n] for n in range(short + 1) for block in blocks if n < len(block)]
    return bytes(mixed + [check[n] for n in range(correction) for check in checks])


def _times(a: int, b: int) -> int:
    """Multiplication in GF(256) modulo x^8 + x^4 + x^3 + x^2 + 1."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11D
        b >>= 1
    return product


def _generator(degree: int) -> list[int]:
    """The coefficients of (x - 2^0)...(x - 2^(degree-1)), the leading one left out. Annex A."""
    coefficients = [0] * (degree - 1) + [1]
    root = 1
    for _ in range(degree):
        for n in range(degree):
            coefficients[n] = _times(coefficients[n], root)
            if n + 1 < degree:
                coefficients[n] ^= coefficients[n + 1]
        root = _times(root, 2)
    return coefficients


def _remainder(data: bytes, generator: Sequence[int]) -> list[int]:
    left = [0] * len(generator)
    for byte in data:
        factor = byte ^ left.pop(0)
        left.append(0)
        left = [value ^ _times(coefficient, factor) for value, coefficient in zip(left, generator, strict=True)]
    return left


# --- modules, sections 6.3, 7.7 to 7.10 -----------------------------------------------------------------------


def _alignment(version: int) -> list[int]:
    """Annex E."""
    if version == 1:
        return []
    count = version // 7 + 2
    step = (version * 4 + count * 2 + 1) // (count * 2 - 2) * 2
    last = 4 * version + 10
    return [6, *sorted(last - n * step for n in range(count - 1))]


def _draw_patterns(modules: Modules, version: int) -> Modules:
    """Everything that is no data; returns where that is."""
    size = len(modules)
    fixed = [[False] * size for _ in range(size)]

    def put(x: int, y: int, dark: bool) -> None:
        if 0 <= x < size and 0 <= y < size:
            modules[y][x], fixed[y][x] = dark, True

    for n in range(size):
        put(6, n, n % 2 == 0)
        put(n, 6, n % 2 == 0)
    for cx, cy in ((3, 3), (size - 4, 3), (3, size - 4)):
        for dy in range(-4, 5):
            for dx in range(-4, 5):
                put(cx + dx, cy + dy, max(abs(dx), abs(dy)) not in (2, 4))
    places = _alignment(version)
    corners = {(6, 6), (6, size - 7), (size - 7, 6)}
    for cx in places:
        for cy in places:
            if (cx, cy) not in corners:
                for dy in range(-2, 3):
                    for dx in range(-2, 3):
                        put(cx + dx, cy + dy, max(abs(dx), abs(dy)) != 1)
    if version >= 7:
        bits = _bch(version, 12, 0x1F25)
        for n in range(18):
            dark = bool(bits >> n & 1)
            put(size - 11 + n % 3, n // 3, dark)
            put(n // 3, size - 11 + n % 3, dark)
    return fixed


def _bch(value: int, degree: int, polynomial: int) -> int:
    """A value with its check bits behind it. Annexes C and D."""
    left = value
    for _ in range(degree):
        left = (left << 1) ^ ((left >> (degree - 1)) * polynomial)
    return value << degree | left


def _draw_format(modules: Modules, fixed: Modules, mask: int) -> None:
    size = len(modules)
    bits = _bch(_LEVEL_M << 3 | mask, 10, 0x537) ^ 0x5412
    first = [(8, n) for n in range(6)] + [(8, 7), (8, 8), (7, 8)] + [(14 - n, 8) for n in range(9, 15)]
    second = [(size - 1 - n, 8) for n in range(8)] + [(8, size - 15 + n) for n in range(8, 15)]
    for places in (first, second):
        for n, (x, y) in enumerate(places):
            modules[y][x], fixed[y][x] = bool(bits >> n & 1), True
    modules[size - 8][8], fixed[size - 8][8] = True, True


_MASKS = (
    lambda x, y: (x + y) % 2,
    lambda x, y: y % 2,
    lambda x, y: x % 3,
    lambda x, y: (x + y) % 3,
    lambda x, y: (x // 3 + y // 2) % 2,
    lambda x, y: x * y % 2 + x * y % 3,
    lambda x, y: (x * y % 2 + x * y % 3) % 2,
    lambda x, y: ((x + y) % 2 + x * y % 3) % 2,
)


def _draw_data(modules: Modules, fixed: Modules, codewords: bytes, mask: int) -> None:
    bits = (bool(byte >> shift & 1) for byte in codewords for shift in range(7, -1, -1))
    for x, y in _zigzag(len(modules)):
        if not fixed[y][x]:
            modules[y][x] = next(bits, False) ^ (_MASKS[mask](x, y) == 0)


def _zigzag(size: int) -> Iterator[tuple[int, int]]:
    up = True
    for right in [*range(size - 1, 6, -2), *range(5, 0, -2)]:
        for y in range(size - 1, -1, -1) if up else range(size):
            yield right, y
            yield right - 1, y
        up = not up


def _penalty(modules: Modules) -> int:
    """Section 7.8.3."""
    size = len(modules)
    penalty = 0
    for lines in (modules, [list(column) for column in zip(*modules, strict=True)]):
        for line in lines:
            text = "".join("1" if dark else "0" for dark in line)
            run = 1
            for before, here in zip(text, text[1:] + "x", strict=True):
                if before == here:
                    run += 1
                else:
                    penalty += run - 2 if run >= 5 else 0
                    run = 1
            for pattern in ("10111010000", "00001011101"):
                penalty += 40 * sum(text.startswith(pattern, at) for at in range(size - 10))
    for y in range(size - 1):
        for x in range(size - 1):
            if modules[y][x] == modules[y][x + 1] == modules[y + 1][x] == modules[y + 1][x + 1]:
                penalty += 3
    dark = sum(map(sum, modules))
    return penalty + 10 * (abs(dark * 20 - size * size * 10) // (size * size))
