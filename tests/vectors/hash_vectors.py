"""Writes hash_vectors.txt: what hashlib and a few lines of Python say the C++ hashing code must give.

Run from this folder: `python hash_vectors.py > hash_vectors.txt`.
"""

import hashlib
import struct

P = 2**64 - 2**32 + 1


def pattern(length: int) -> bytes:
    return bytes((7 * i + length) % 251 for i in range(length))


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def cell(row: int, column: int) -> int:
    return (0x9E3779B97F4A7C15 * (row * 65537 + column + 1)) % 2**64 % P


def salt(column: int) -> bytes:
    return sha256(b"salt" + struct.pack("<I", column))[:16]


def column_digests(columns: int, rows: int) -> list[bytes]:
    return [
        sha256(b"".join(struct.pack("<Q", cell(r, c)) for r in range(rows)) + salt(c) + b"\x02")
        for c in range(columns)
    ]


def tree_levels(leaf_count: int) -> list[list[bytes]]:
    levels = [[sha256(struct.pack("<I", i)) for i in range(leaf_count)]]
    while len(levels[-1]) > 1:
        level = levels[-1]
        above = [sha256(level[i] + level[i + 1] + b"\x03") for i in range(0, len(level) - 1, 2)]
        levels.append(above + level[len(level) & ~1 :])
    return levels


def opening(levels: list[list[bytes]], indices: list[int]) -> list[bytes]:
    siblings: list[bytes] = []
    known = set(indices)
    for level in levels[:-1]:
        siblings += [level[i ^ 1] for i in sorted(known) if i ^ 1 not in known and i ^ 1 < len(level)]
        known = {i // 2 for i in known}
    return siblings


def chacha_block(key: bytes, stream: int, block: int) -> bytes:
    def quarter(a: int, b: int, c: int, d: int) -> None:
        for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xFFFFFFFF
            s[z] ^= s[x]
            s[z] = (s[z] << n | s[z] >> (32 - n)) & 0xFFFFFFFF

    start = list(struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<QQ", block, stream)))
    s = list(start)
    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(start, s, strict=True)))


class Transcript:
    def __init__(self, protocol: bytes, session: bytes, instance: bytes) -> None:
        tag = b"".join(self.string(x) for x in (b"ASSAY-SV01-DSFS-SHAKE128", protocol, session))
        separator = b"irtf-cfrg-fiat-shamir/session-id"
        self.absorbed = hashlib.shake_128(separator + bytes(136) + tag).digest(32) + bytes(136)
        self.absorb(0x00, b"instance", instance)

    @staticmethod
    def string(data: bytes) -> bytes:
        return struct.pack("<I", len(data)) + data

    def absorb(self, kind: int, label: bytes, payload: bytes) -> None:
        self.absorbed += bytes([kind]) + self.string(label) + self.string(payload)

    def squeeze(self, length: int) -> bytes:
        return hashlib.shake_128(self.absorbed).digest(length)

    def challenges(self, label: bytes, degree: int, count: int) -> list[int]:
        self.absorb(0x20 + degree, label, struct.pack("<Q", count))
        stream = self.squeeze(24 * degree * count)
        return [int.from_bytes(stream[i : i + 24], "little") % P for i in range(0, len(stream), 24)]

    def challenge_bytes(self, label: bytes, length: int) -> bytes:
        self.absorb(0x31, label, struct.pack("<Q", length))
        return self.squeeze(length)

    def challenge_indices(self, label: bytes, count: int, n: int) -> list[int]:
        self.absorb(0x32, label, struct.pack("<QQ", count, n))
        mask = (1 << (n - 1).bit_length()) - 1
        stream = self.squeeze(4 * (100 + 100 * count))
        indices: set[int] = set()
        for (word,) in struct.iter_unpack("<I", stream):
            if len(indices) < count and word & mask < n:
                indices.add(word & mask)
        assert len(indices) == count
        return sorted(indices)

    def fingerprint(self) -> bytes:
        return hashlib.shake_128(self.absorbed + bytes([0x40]) + self.string(b"") * 2).digest(32)


def words(values: list[int]) -> str:
    return ",".join(str(v) for v in values)


def transcript_lines() -> list[str]:
    t = Transcript(b"assay/test/1", b"session", b"the instance")
    t.absorb(0x01, b"root", pattern(32))
    lines = [f"transcript3 {words(t.challenges(b'alpha', 3, 1))}"]
    t.absorb(0x02, b"claim", struct.pack("<Q", P - 1))
    t.absorb(0x13, b"round", struct.pack("<6Q", 1, 2, 3, 4, 5, P - 1))
    t.absorb(0x12, b"round", struct.pack("<2Q", 7, 8))
    lines.append(f"transcript2 {words(t.challenges(b'r', 2, 3))}")
    lines.append(f"transcript_bytes {t.challenge_bytes(b'seed', 200).hex()}")
    lines.append(f"transcript_indices {words(t.challenge_indices(b'columns', 194, 3 * 2**17))}")
    lines.append(f"transcript_all {words(t.challenge_indices(b'columns', 11, 11))}")
    lines.append(f"fingerprint {t.fingerprint().hex()}")
    return lines


def main() -> None:
    lines = ["# Written by hash_vectors.py."]
    for n in (0, 1, 3, 54, 55, 56, 57, 63, 64, 65, 118, 119, 120, 127, 128, 129, 1000):
        lines.append(f"sha256 {n} {sha256(pattern(n)).hex()}")
    for n, out in ((0, 32), (1, 1), (166, 40), (167, 168), (168, 169), (169, 400), (1000, 64)):
        lines.append(f"shake128 {n} {out} {hashlib.shake_128(pattern(n)).hexdigest(out)}")
    for columns, rows in ((1, 0), (1, 1), (3, 7), (5, 8), (2, 9), (17, 12), (300, 29), (9, 64)):
        lines.append(f"columns {columns} {rows} {sha256(b''.join(column_digests(columns, rows))).hex()}")
    for n in (1, 2, 3, 5, 7, 8, 96, 1000, 1536):
        levels = tree_levels(n)
        chosen = sorted({0, n // 3, n // 2, min(n - 1, n // 2 + 1), n - 1})
        siblings = opening(levels, chosen)
        summary = f"{len(siblings)} {sha256(b''.join(siblings)).hex()}"
        lines.append(f"merkle {n} {levels[-1][0].hex()} {words(chosen)} {summary}")
    for stream, block in ((0, 0), (1, 7), (2**64 - 1, 2**32 - 3)):
        data = b"".join(chacha_block(pattern(32), stream, block + i) for i in range(20))
        lines.append(f"prg {stream} {block} {sha256(data).hex()}")
    print("\n".join(lines + transcript_lines()))


main()
