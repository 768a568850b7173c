#!/usr/bin/env python3
"""Reads a capture and prints each exchange as a line of JSON, as `squall captures cat` does.

Written from captures/FORMAT.md alone, to show that the page suffices. Blocks of encodings 3 to 5 only. Wants python3 with
zstandard (or the zstd program) and xxhash (for bodies whose hash follows from their data).
"""

import base64
import datetime
import json
import struct
import subprocess
import sys

import mixing

try:
    import zstandard
except ImportError:
    zstandard = None

U64 = (1 << 64) - 1
SKIPPABLE, SEEK_TABLE = 0x184D2A57, 0x184D2A5E
MARK, OLD_MARK_TAIL = b"\x89Sq", b"\n\x1a"
MAX_BLOCK, MAX_CONTEXT_ENTRIES = 64 << 20, 4_194_304
TARGET, MARKS, ORIGIN, METHOD, STATUS, MESSAGE, OTHER, EMBEDDED, FIRST_NAME = 0, 1, 2, 3, 7, 11, 12, 13, 14
REQUEST_FIELDS, RESPONSE_FIELDS = 4, 8
NOTES = "lossy upgraded websocket request_truncated response_truncated client_gone replayed upstream_failed"
NOTES = (NOTES + " from_cache body_withheld coarse_time proxy_answer stream").split()
PROTOCOLS = ["HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3"]
STREAMS = {1: "sse", 2: "websocket", 3: "grpc"}
MESSAGES = {1: "text", 2: "binary", 3: "event", 4: "comment", 5: "message", 6: "trailers"}
MESSAGES |= {8: "close", 9: "ping", 10: "pong"}
INTEGER, EMBEDDED_JSON = 1, 15
UNITS = {2: 1_000_000, 3: 1_000, 4: 1, 5: 1_000_000, 6: 1_000, 7: 1}
UUIDS, CHARACTERS, PSEUDONYM = (10, 11), (12, 13), 14
ALPHABET = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"


class Damaged(Exception):
    """The bytes are not what they should be."""


def crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


class Column:
    """Bytes that are read from front to back."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if len(self.data) - self.at < n:
            raise Damaged("cut short")
        self.at += n
        return self.data[self.at - n : self.at]

    def byte(self):
        return self.take(1)[0]

    def line(self):
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise Damaged("cut short")
        return self.take(end + 1 - self.at)[:-1]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if U64 < value:
                    raise Damaged("a number is too long")
                return value
            shift += 7

    def zigzag(self):
        return unzigzag(self.varint())

    def rest(self):
        return self.take(len(self.data) - self.at)

    def is_read(self):
        return self.at == len(self.data)


def unzigzag(value):
    return value >> 1 ^ -(value & 1)


def blocks(data):
    """The blocks of a capture: header fields and decompressed bytes. Stops at the first damage."""
    at, capture_id = 0, None
    while at < len(data):
        magic, size = struct.unpack_from("<II", data, at)
        if magic == SEEK_TABLE:
            return
        frame = data[at : at + 8 + size]
        if magic != SKIPPABLE or frame[8:11] != MARK:
            raise Damaged(f"no frame at byte {at}")
        is_old = frame[11:12].isupper()
        if is_old and frame[14:16] != OLD_MARK_TAIL:
            raise Damaged(f"no frame at byte {at}")
        head_length, id_at = (24, 16) if is_old else (16, 12)
        if crc32c(frame[:-4]) != struct.unpack("<I", frame[-4:])[0]:
            raise Damaged(f"the frame at byte {at} does not match its CRC")
        capture_id = capture_id or frame[id_at : id_at + 4]
        if frame[id_at : id_at + 4] != capture_id:
            raise Damaged(f"the frame at byte {at} is of another capture")
        kind, content = frame[11:12].lower(), frame[head_length:-4]
        at += len(frame)
        if kind == b"c" and 2 < (json.loads(content)["version"] if is_old else Column(content).varint()):
            raise Damaged("a later version")
        if kind == b"b":
            if is_old:
                encoding, _, raw_len, _, length, crc, _, exchanges = struct.unpack_from("<HHIQIIII", content)
            else:
                told = Column(content)
                encoding, _, raw_len, length, exchanges = (told.varint() for _ in range(5))
                crc = struct.unpack("<I", told.take(4))[0]
            payload = data[at : at + length]
            if encoding not in (3, 4, 5) or MAX_BLOCK < raw_len or crc32c(payload) != crc:
                raise Damaged(f"the block at byte {at} cannot be read")
            at += length
            raw = decompress(payload, raw_len)
            if len(raw) != raw_len:
                raise Damaged(f"the block at byte {at} is of another length than its header says")
            yield exchanges, mixing.decode(raw) if encoding == 5 else raw, encoding


def decompress(payload, length):
    if zstandard:
        return zstandard.ZstdDecompressor().decompress(payload, max_output_size=length)
    return subprocess.run(["zstd", "-dc", "-q"], input=payload, capture_output=True, check=True).stdout


class Block:
    """The inside of a block."""

    def __init__(self, raw, encoding):
        head = Column(raw)
        self.base, self.unit, self.seed, self.n_sessions = (head.varint() for _ in range(4))
        names = [head.varint() for _ in range(head.varint())]
        slots = FIRST_NAME + sum(1 - length % 2 for length in names)
        if encoding == 3:
            self.read_names(names, head)
            self.columns = [Column(head.take(length)) for length in [head.varint() for _ in range(4 * slots + 11)]]
            self.text, rest = self.columns[3 * slots + 9 :], self.columns
            sets = list(range(slots))
        else:
            rest, sets = self.find_columns(head, names, slots)
        if not head.is_read():
            raise Damaged("something follows the columns")
        n = max(sets) + 1
        self.codes, self.definitions, self.holes = ([rest[part * n + of] for of in sets] for part in range(3))
        numbers = rest[3 * n : 3 * n + 9]
        self.sessions, self.gaps, self.connections, self.ttfb, self.durations = numbers[:5]
        self.streams, self.message_flags, self.message_times, self.message_lengths = numbers[5:]
        self.tokens, self.binary = self.columns[-2:]
        self.values = [[] for _ in range(slots)]
        self.templates = [[] for _ in range(slots)]
        self.latest = [None] * slots
        self.in_context = {}
        self.most_contexts = MAX_CONTEXT_ENTRIES // slots
        self.contexts = 0
        self.ids, self.session_ids, self.next_made_up = [], [], 0
        self.connection = 0
        self.has_ends = encoding == 5

    def read_names(self, lengths, texts):
        self.names, slot = [], FIRST_NAME
        for length in lengths:
            own = OTHER if length & 1 else slot
            slot += own != OTHER
            self.names.append((texts.take(length >> 1).decode(), own))

    def find_columns(self, head, names, slots):
        """The columns of encoding 4: those behind the texts, and of which set of columns each slot is."""
        flags = head.byte()
        has_text = [slot != MARKS and not REQUEST_FIELDS <= slot <= MESSAGE for slot in range(slots)]
        sets = [1 - has for has in has_text] if flags & 1 else list(range(slots))
        in_front = [0] if flags & 1 else [slot for slot in range(slots) if has_text[slot]]
        behind = [1] if flags & 1 else [slot for slot in range(slots) if not has_text[slot]]
        n = 4 * (max(sets) + 1) + 11
        there = head.take((n + 7) // 8)
        lengths = [head.varint() if there[at // 8] >> at % 8 & 1 else 0 for at in range(n)]
        length = sum(length >> 1 for length in names) + sum(lengths[: len(in_front)])
        texts = Column(head.take(length) if flags & 2 else unfold(head, length))
        self.read_names(names, texts)
        self.columns = [Column(texts.take(length)) for length in lengths[: len(in_front)]]
        self.columns += [Column(head.take(length)) for length in lengths[len(in_front) :]]
        text = dict(zip(in_front + behind, self.columns[: len(in_front)] + self.columns[-2 - len(behind) : -2]))
        self.text = [text[of] for of in sets]
        return self.columns[len(in_front) :], sets

    def exchanges(self):
        session, first = 0, self.base
        for _ in range(self.n_sessions):
            session = session + self.sessions.zigzag() & U64
            n = self.sessions.varint()
            first += self.sessions.varint() * self.unit
            self.session, self.start = session, first
            self.session_ids, self.next_made_up = [], 0
            context = 0
            for at in range(n):
                if at:
                    self.start += self.gaps.varint() * self.unit
                exchange, context = self.exchange(context)
                yield exchange
        if not all(column.is_read() for column in self.columns):
            raise Damaged("a column is not read to its end")

    def value(self, slot, context):
        """The next value of a slot: its bytes, and of targets the context that it makes."""
        code = self.codes[slot].varint()
        if code == 0:
            number = self.latest[slot]
        elif code == 1:
            number = self.in_context[context, slot]
        elif code == 2:
            number = len(self.values[slot])
            value = self.define(slot, context)
            self.values[slot].append(value)
        else:
            number = code - 3
        self.latest[slot] = number
        if context < self.most_contexts:
            self.in_context[context, slot] = number
        return self.values[slot][number]

    def next_context(self, slot):
        self.contexts += slot == TARGET
        return self.contexts

    def define(self, slot, context):
        how = self.definitions[slot].varint()
        if self.has_ends:
            if how == 0:
                return self.text[slot].line(), self.next_context(slot)
            how -= 1
        if how == 0:
            text = self.text[slot].take(self.definitions[slot].varint())
            return text, self.next_context(slot)
        if how == 1:
            definitions = self.definitions[slot]
            holes = [(definitions.varint(), definitions.byte()) for _ in range(definitions.varint())]
            behind = definitions.varint()
            texts = [self.text[slot].take(length) for length, _ in holes] + [self.text[slot].take(behind)]
            kinds = [kind for _, kind in holes]
            self.templates[slot].append((texts, kinds, [0] * len(kinds), self.next_context(slot)))
            how = 1 + len(self.templates[slot])
        texts, kinds, numbers, own_context = self.templates[slot][how - 2]
        out = bytearray()
        for at, kind in enumerate(kinds):
            out += texts[at]
            out += self.hole(slot, kind, (numbers, at), context)
        return bytes(out + texts[-1]), own_context

    def hole(self, slot, kind, place, context):
        if kind == INTEGER:
            numbers, at = place
            coded = self.holes[slot].varint()
            numbers[at] = numbers[at] + unzigzag(coded >> 1) if coded & 1 else coded >> 1
            return str(numbers[at]).encode()
        if kind in UNITS:
            return self.time(kind, self.start // UNITS[kind] + self.holes[slot].zigzag() & U64)
        if kind == EMBEDDED_JSON:
            return base64.urlsafe_b64encode(self.value(EMBEDDED, context)[0]).rstrip(b"=")
        return self.identifier(self.holes[slot], kind)

    def time(self, kind, number):
        if kind < 5:
            return str(number).encode()
        at = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=number * UNITS[kind])
        digits = {5: "", 6: f".{at.microsecond // 1000:03}", 7: f".{at.microsecond:06}"}[kind]
        return (at.strftime("%Y-%m-%dT%H:%M:%S") + digits).encode()

    def identifier(self, holes, kind):
        code = holes.varint()
        if code == 2:
            text = self.ids[holes.varint()]
        elif 3 <= code:
            return self.session_ids[code - 3]
        else:
            number = self.next_made_up + holes.zigzag() if code == 1 else None
            length = 32 if kind in UUIDS else holes.varint()
            if code == 1:
                self.next_made_up = number + 1
                text = self.made_up(kind, length, number)
            elif kind in CHARACTERS:
                text = self.tokens.take(length)
            else:
                text = digits(kind, length, self.binary.take((length + 1) // 2))
            if code == 0:
                self.ids.append(text)
        self.session_ids.append(text)
        return text

    def made_up(self, kind, length, number):
        state = mix(mix(mix(self.seed) ^ self.session) ^ number)
        n = length if kind in CHARACTERS else (length + 1) // 2
        out = bytearray()
        while len(out) < n:
            state = state + 0x9E3779B97F4A7C15 & U64
            out += struct.pack("<Q", mix(state))
        out = out[:n]
        if kind in CHARACTERS:
            return bytes(ALPHABET[byte % (62 if kind == 12 else 64)] for byte in out)
        if kind in UUIDS:
            out[6], out[8] = out[6] & 0x0F | 0x40, out[8] & 0x3F | 0x80
        return digits(kind, length, out)

    def fields(self, slot, context):
        names, numbers = [], Column(self.value(slot, context)[0])
        while not numbers.is_read():
            names.append(self.names[numbers.varint()])
        return [(name, self.value(slot, context)[0]) for name, slot in names]

    def body(self, slot, context):
        told = Column(self.value(slot, context)[0])
        flags = told.byte()
        length = None if flags & 4 else told.varint()
        hashed = struct.unpack("<Q", told.take(8))[0] if flags & 1 else None
        data = self.value(slot + 1, context)[0] if flags & 12 else None
        if flags & 2:
            import xxhash

            hashed = xxhash.xxh3_64_intdigest(data)
        return {"len": len(data) if flags & 4 else length, "hash": hashed, "data": data}

    def exchange(self, context):
        target, context = self.value(TARGET, context)
        marks = Column(self.value(MARKS, context)[0])
        flags = marks.varint()
        notes = marks.varint() if flags & 32 else 0
        faults = [marks.take(marks.varint()).decode() for _ in range(marks.varint())] if flags & 16 else []
        origin = Column(self.value(ORIGIN, context)[0])
        edge, scheme = (origin.take(origin.varint()).decode() for _ in range(2))
        told = {
            "session": f"{self.session:x}",
            "edge": edge,
            "start_us": self.start,
            "protocol": PROTOCOLS[flags >> 7],
            "scheme": scheme,
            "authority": origin.rest().decode(),
            "target": target.decode(),
            "method": self.value(METHOD, context)[0].decode(),
            "faults": faults,
            "notes": [name for bit, name in enumerate(NOTES) if notes >> bit & 1],
        }
        headers, body = self.fields(REQUEST_FIELDS, context), self.body(REQUEST_FIELDS + 1, context)
        told |= message("request", headers, body)
        if flags & 1:
            told["status"] = Column(self.value(STATUS, context)[0]).varint()
            headers = self.fields(RESPONSE_FIELDS, context)
            told |= message("response", headers, self.body(RESPONSE_FIELDS + 1, context))
        else:
            told |= {"status": None} | message("response", [], None)
        if flags & 8:
            self.connection = self.connection + self.connections.zigzag() & U64
        told["connection"] = self.connection if flags & 8 else None
        told["ttfb_us"] = self.ttfb.varint() if flags & 2 else None
        told["duration_us"] = (told["ttfb_us"] or 0) + self.durations.zigzag() & U64 if flags & 4 else None
        told["stream"] = self.stream(context, body["data"] or b"") if flags & 64 else None
        return told, context

    def stream(self, context, body):
        kind, dropped, n = self.streams.byte(), self.streams.varint(), self.streams.varint()
        messages, at, in_body = [], 0, 0
        for _ in range(n):
            flags = self.message_flags.byte()
            at = at + self.message_times.zigzag() & U64
            data = self.value(MESSAGE, context)[0] if flags & 64 else None
            length = self.message_lengths.zigzag() + len(data or b"") & U64
            from_client = bool(flags & 16)
            if kind == 3 and from_client:
                data = body[in_body + 5 : in_body + 5 + length] if flags & 128 else data
                in_body += 5 + length
            one = {"at_us": at, "from_client": from_client, "kind": MESSAGES[flags & 15], "len": length}
            one |= {"compressed": True} if flags & 32 else {}
            messages.append(one | (as_text(data) if data is not None else {}))
        return {"kind": STREAMS[kind], "truncated": dropped, "messages": messages}


def unfold(column, length):
    """Text of that length, which is written in words."""
    if MAX_BLOCK < length:
        raise Damaged("a text that is too long")
    out, known = bytearray(), mixing.words()
    while len(out) < length:
        byte = column.byte()
        if byte == 0:
            out.append(column.byte())
        elif 0x20 <= byte < 0x80:
            out.append(byte)
        else:
            word = byte - 0x80 if 0x80 <= byte else 128 + 256 * (byte - 1) + column.byte()
            if len(known) <= word:
                raise Damaged("a word that is not there")
            out += known[word]
    if len(out) != length:
        raise Damaged("a text ends within a word")
    return bytes(out)


def digits(kind, length, packed):
    text = bytes(packed).hex()[:length]
    if kind in UUIDS:
        text = "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])
    if kind == PSEUDONYM:
        text = "squall_" + text
        text += f"{crc32c(text.encode()) & 0xFFFF:04x}"
    return (text.upper() if kind in (9, 11) else text).encode()


def mix(x):
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & U64
    x = (x ^ x >> 27) * 0x94D049BB133111EB & U64
    return x ^ x >> 31


def as_text(data):
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def message(side, headers, body):
    """A request or an answer as the export has it."""
    fields = [{"name": name, "value": value.decode(errors="replace")} for name, value in headers]
    exact = None
    if any("base64" in as_text(value) for _, value in headers):
        exact = [[name, base64.b64encode(value).decode()] for name, value in headers]
    told = {f"{side}_headers": fields, f"{side}_headers_base64": exact}
    if body is None:
        return told | {f"{side}_bytes": None, f"{side}_body": None, f"{side}_body_exact": None}
    text = as_text(body["data"]).get("text") if body["data"] else None
    about = {"len": body["len"], "recorded": body["data"] is not None}
    if body["hash"] is not None:
        about["hash"] = f"{body['hash']:016x}"
    if body["data"] and text is None:
        about["base64"] = base64.b64encode(body["data"]).decode()
    return told | {f"{side}_bytes": body["len"], f"{side}_body": text, f"{side}_body_exact": about}


def main():
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    for promised, raw, encoding in blocks(data):
        found = list(Block(raw, encoding).exchanges())
        if len(found) != promised:
            raise Damaged(f"{len(found)} exchanges where {promised} are promised")
        for exchange in found:
            print(json.dumps(exchange))


if __name__ == "__main__":
    main()
