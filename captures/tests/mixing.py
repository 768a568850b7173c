"""Decodes blocks of encoding 5, which are coded by context mixing.

Written from captures/FORMAT.md alone, as `read_capture.py` is, which needs it. It takes a second for each
kilobyte, and half a minute for the words that are learnt first.
"""

import math
import pathlib
import re

U32 = (1 << 32) - 1
LONGEST = 131_072


def words():
    """The words that every block knows."""
    with open(pathlib.Path(__file__).parent.parent / "src/block/columns/words.txt", encoding="ascii") as file:
        lines = file.read().splitlines()
    return [re.sub(r"\\x(..)", lambda found: chr(int(found[1], 16)), line).encode("latin-1") for line in lines]


def mix(a, b):
    x = (a ^ b) * 0x9E3779B1 & U32
    return x ^ x >> 15


KNOTS = [min(max(round(4096 / (1 + math.exp((16 - k) / 2))), 1), 4095) for k in range(33)]


def squash(x):
    x = min(max(x, -2047), 2047) + 2048
    return KNOTS[x >> 7] * (128 - (x & 127)) + KNOTS[(x >> 7) + 1] * (x & 127) + 64 >> 7


SQUASHED = [squash(x) for x in range(-2047, 2048)]
STRETCHED = [next((x for x in range(-2047, 2048) if odds <= SQUASHED[x + 2047]), 2047) for odds in range(4096)]


def kept(odds):
    return 32 if odds < 32 else 65_503 if 65_503 < odds else odds


def moved(odds, bit, by=6):
    return kept(odds + ((65_535 * bit - odds) >> by))


class Model:
    def __init__(self):
        self.bytes, self.word, self.word_before, self.line = bytearray(8), 0, 0, 0
        self.slots, self.runs, self.matches = {}, {}, {}
        history = [(10 * (h >> 2 & 7) + 4) * 65_536 // (10 * ((h >> 5) + (h >> 2 & 7)) + 8) for h in range(256)]
        self.histories = [list(history) for _ in range(10)]
        self.of_runs = [[39_000 + 700 * r for r in range(32)] for _ in range(10)]
        self.of_match = [49_152] * 24
        self.place = self.equal = 0
        self.weights = [{}, {}, {}]
        self.curves = [{}, {}]
        self.begin_byte()

    def begin_byte(self):
        self.bits = 1
        data, self.hashes = self.bytes, []
        for k in range(7):
            last = int.from_bytes(data[len(data) - k :], "big")
            self.hashes.append(mix(mix(mix(k + 1, 0), last & U32), last >> 32))
        word = mix(mix(8, 0), self.word)
        self.hashes += [word, mix(mix(mix(9, 0), self.word), self.word_before), mix(mix(10, 0), self.line)]
        self.runs_at = []
        for k, context in enumerate(self.hashes):
            x = mix(context, 0)
            run = self.runs.get((k, x >> 16))
            if run is None or run[0] != x & 0xFFFF:
                run = self.runs[k, x >> 16] = [x & 0xFFFF, 0, 0]
            self.runs_at.append(run)

    def end_byte(self, byte):
        for run in self.runs_at:
            if run[2] and run[1] == byte:
                run[2] = min(run[2] + 1, 255)
            else:
                run[1], run[2] = byte, 1
        self.line = 0 if byte == 10 else mix(self.line, byte)
        if chr(byte).isascii() and chr(byte).isalpha() or 0x80 <= byte:
            self.word = mix(self.word, byte | 32)
        elif self.word:
            self.word, self.word_before = 0, self.word
        self.follow(byte)
        self.begin_byte()

    def follow(self, byte):
        """Bytes are counted from 8 here: as many zeros stand in front."""
        data = self.bytes
        if self.equal and data[self.place] == byte:
            self.place, self.equal = self.place + 1, self.equal + 1
        else:
            self.equal = 0
        data.append(byte)
        n = len(data)
        if n < 8 + 5:
            return
        last = int.from_bytes(data[-5:], "big")
        x = mix(mix(mix(0, last & U32), last >> 32), 0) >> 16
        if not self.equal:
            self.place = self.matches.get(x, 8)
            while self.equal < min(60, self.place - 8) and data[self.place - 1 - self.equal] == data[n - 1 - self.equal]:
                self.equal += 1
            if self.equal < 4:
                self.equal = 0
        self.matches[x] = n

    def next_bit(self, byte):
        byte, n = byte | 256, self.bits.bit_length() - 1
        return byte >> (7 - n) & 1 if byte >> (8 - n) == self.bits else None

    def foretell(self):
        inputs, longest, self.slots_at = [0] * 32, 0, []
        for k, context in enumerate(self.hashes):
            x = mix(context, self.bits)
            slot = self.slots.get(x >> 11)
            if slot is None:
                slot = self.slots[x >> 11] = [0, 0, 0, 0]
            if not slot[2] or slot[0] != x & 0xFFFF:
                slot[:] = [x & 0xFFFF, 32_768, 0, 0]
            self.slots_at.append(slot)
            if slot[2]:
                longest = k if k < 7 else longest
                inputs[2 * k] = STRETCHED[slot[1] >> 4]
                inputs[2 * k + 1] = STRETCHED[self.histories[k][slot[3]] >> 4]
        self.expected = []
        for k, run in enumerate(self.runs_at):
            bit, worth = self.next_bit(run[1]) if run[2] else None, min(run[2], 15) * 2 + (self.bits != 1)
            self.expected.append((bit, self.of_runs[k], worth))
        bit = self.next_bit(self.bytes[self.place]) if self.equal else None
        worth = self.equal if self.equal < 16 else min(16 + (self.equal - 16 >> 3), 23)
        self.expected.append((bit, self.of_match, worth))
        for at, (expected, odds, n) in enumerate(self.expected):
            if expected is not None:
                inputs[20 + at] = STRETCHED[odds[n] >> 4] * (1 if expected else -1)
        inputs[31] = 77
        self.inputs = inputs
        likely = 0 if bit is None else 2 if 16 <= self.equal else 1
        sets = [self.bits, longest * 32 + min(self.slots_at[longest][2], 7) * 4 + likely, self.bytes[-1]]
        self.chosen, z = [], 0
        for weights, number in zip(self.weights, sets):
            weights = weights.setdefault(number, [9_830] * 32)
            said = min(max(sum(map(int.__mul__, weights, inputs)) >> 16, -2047), 2047)
            self.chosen.append((weights, said))
            z += said
        z //= 3
        last_two = mix(mix(1, self.bytes[-1] + 256 * self.bytes[-2]), self.bits) >> 20
        i, r, self.nearest, both = z + 2048 >> 7, z + 2048 & 127, [], 0
        for curves, number in zip(self.curves, (self.bits, last_two)):
            curve = curves.setdefault(number, [squash((i - 16) * 128) * 16 for i in range(33)])
            both += curve[i] * (128 - r) + curve[i + 1] * r >> 7
            self.nearest.append((curve, i + (64 <= r)))
        return kept(SQUASHED[z + 2047] * 32 + both >> 2)

    def learn(self, bit):
        for weights, said in self.chosen:
            missed = (4096 * bit - SQUASHED[said + 2047]) * 41
            weights[:] = [w + (missed * i + 32_768 >> 16) for w, i in zip(weights, self.inputs)]
        for curve, at in self.nearest:
            curve[at] = moved(curve[at], bit)
        for k, slot in enumerate(self.slots_at):
            if slot[2]:
                self.histories[k][slot[3]] = moved(self.histories[k][slot[3]], bit)
            slot[1] = kept(slot[1] + ((65_535 * bit - slot[1]) * (32_768 // (2 * slot[2] + 3)) >> 14))
            slot[2] = min(slot[2] + 1, 126)
            counts = [slot[3] >> 5, slot[3] >> 2 & 7]
            counts[bit] = min(counts[bit] + 1, 7)
            if 2 < counts[1 - bit]:
                counts[1 - bit] = (counts[1 - bit] + 1) // 2
            slot[3] = counts[0] << 5 | counts[1] << 2 | bit
        for expected, odds, n in self.expected:
            if expected is not None:
                odds[n] = moved(odds[n], expected == bit)
        if self.expected[10][0] == 1 - bit:
            self.equal = 0
        self.bits = self.bits << 1 | bit
        if 256 <= self.bits:
            self.end_byte(self.bits & 255)


def decode(data):
    """The bytes that a block of encoding 5 codes."""
    at = next(at for at, byte in enumerate(data) if byte < 0x80) + 1
    n = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(data[:at]))
    if min(LONGEST, 64 * (len(data) - at) + 1024) < n:
        raise ValueError("a block of encoding 5 that is too long")
    model = Model()
    for word in reversed(words()):
        for byte in word + b"\n":
            for shift in range(7, -1, -1):
                model.foretell()
                model.learn(byte >> shift & 1)
    coded = iter(data[at:])
    low, high, code, out = 0, U32, 0, bytearray()
    for _ in range(4):
        code = code << 8 | next(coded, 0)
    while len(out) < n:
        middle = low + ((high - low) * model.foretell() >> 16)
        bit = int(code <= middle)
        low, high = (low, middle) if bit else (middle + 1, high)
        model.learn(bit)
        if model.bits == 1:
            out.append(model.bytes[-1])
        while low >> 24 == high >> 24:
            low, high, code = low << 8 & U32, (high << 8 | 255) & U32, (code << 8 | next(coded, 0)) & U32
    if next(coded, None) is not None:
        raise ValueError("bytes are left over behind the last one")
    return bytes(out)
