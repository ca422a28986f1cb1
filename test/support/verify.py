#!/usr/bin/env python3
"""Verifies a Varve data directory, without Varve.

    python3 verify.py DATA

Written from src/shared/format/README.md alone, with the standard library alone, so that what the
code does and what the format says are compared. Reads only. Prints a JSON report:

    {"ok", "shards", "streams": {name: {"streamId", "records", "chainHead", "closed"}},
     "checkpoints", "findings"}

"checkpoints" counts the signatures that were checked.

Exits with 0 when nothing is wrong, 1 otherwise. Run it while no process serves the directory, or on
a copy.
"""

import base64
import json
import os
import re
import struct
import sys
from hashlib import sha256, sha512
from zlib import crc32

PAGE = 4096
SAFE_MAX = 2**53 - 1
NO_HASH = bytes(32)
CHAIN_DOMAIN = b"varve.record.v1\0"
STREAM_DOMAIN = b"varve.stream.v1\0"
CHECKPOINT_DOMAIN = b"varve.checkpoint.v1\0"
STATE_DOMAIN = b"varve.state.v1\0"
BODY_MAX = 32 * 1024 * 1024

RECORD = struct.Struct("<IIQQBBBBHHI32s")
CHAIN = struct.Struct("<16s16s32sQQBBII")
INDEX_PAGE = struct.Struct("<IIII")
ENTRY = struct.Struct("<IBBHII8sQ")
STREAM_ENTRY = struct.Struct("<16s32sQQQQQQIIBBHHHIIQQQ32s32s32sI32s")
PRODUCER_STATE = struct.Struct("<QQHH")
PRODUCER_RESULT = struct.Struct("<QQQ32s32s")
COMMIT_ENTRY = struct.Struct("<QQQ32sQQII")
JOURNAL_HEADER = struct.Struct("<IHHIIQQQ16s4sI")
BLOCK = struct.Struct("<IHHIIIIQQQ16s32s28sI")
FRAME = struct.Struct("<IBBHQQII")
OPERATION = struct.Struct("<B3sI16s")
APPEND = struct.Struct("<QII32s")
CREATE = struct.Struct("<QHHI")
PRODUCER = struct.Struct("<QQHH")
REFERENCE = struct.Struct("<QIIII32sQQQQII32s16s")
CHECKPOINT = struct.Struct("<QQ32s32s16sBB6s64s")
SIGNED = struct.Struct("<20s16sQQQ32sQ32s32sB")
STATE = struct.Struct("<15sQQBBBQQQQQ")

ENTRY_STREAM, ENTRY_REMOVED, ENTRY_COMMIT, ENTRY_DECISION, ENTRY_WITNESS = 1, 2, 3, 4, 5
OP_CREATE, OP_CONFIGURE, OP_APPEND, OP_CLOSE, OP_DELETE, OP_TRIM = 1, 2, 3, 4, 5, 6
OP_REFERENCE = 7
COMMITTED, ABORTED, PENDING, BARRIER, WITNESS = 1, 2, 4, 8, 16
DATA, CHECKPOINT_KIND = 0, 1
BEHIND_CHECKPOINT = 1 << 31
DURABILITIES, COMPRESSIONS = ["immediate", "group", "relaxed"], ["none", "lz4", "zstd"]
BOUNDS = "maxAgeSeconds", "maxBytes", "maxRecords"
DEFAULTS = {"durability": "group", "compression": "none", "maxSegmentBytes": 67108864,
            "checkpointEvery": 1000, "retention": {}}
CHANGES = {OP_CONFIGURE: 1, OP_CLOSE: 2, OP_TRIM: 3}


class Damage(Exception):
    """Something is not as the format says; the message says what and where."""


def need(condition, message):
    if not condition:
        raise Damage(message)


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Damage(f"{path}: {error.strerror}") from None


# --- what the standard library does not bring ----------------------------------------------------

# Ed25519, RFC 8032, section 6; points are (X, Y, Z, T).

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def point_add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def point_double(p):
    a, b, c = p[0] * p[0], p[1] * p[1], 2 * p[2] * p[2]
    h = a + b
    e = h - (p[0] + p[1]) ** 2
    g = a - b
    f = c + g
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply_both(scalar, point, scalar2, point2):
    """scalar × point + scalar2 × point2, with the doublings of one"""
    table = ((0, 1, 1, 0), point, point2, point_add(point, point2))
    result = table[0]
    for bit in range(max(scalar.bit_length(), scalar2.bit_length()) - 1, -1, -1):
        result = point_double(result)
        which = (scalar >> bit & 1) + 2 * (scalar2 >> bit & 1)
        if which:
            result = point_add(result, table[which])
    return result


def point_equal(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def recover_x(y, sign):
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if y >= P or (x * x - square) % P or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def point_of(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = (recover_x(BASE_Y, 0), BASE_Y, 1, recover_x(BASE_Y, 0) * BASE_Y % P)


def signature_holds(public_key, message, signature):
    a, r = point_of(public_key), point_of(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER:
        return False
    h = int.from_bytes(sha512(signature[:32] + public_key + message).digest(), "little") % ORDER
    minus_a = (P - a[0], a[1], 1, P - a[3])
    return point_equal(multiply_both(s, BASE, h, minus_a), r)


def lz4_block(data, raw_length):
    """What a raw LZ4 block expands to; None unless that is sound and `raw_length` bytes."""
    raw, at = bytearray(), 0

    def extended(length):
        nonlocal at
        more = 255 if length == 15 else 0
        while more == 255:
            more = data[at]
            at += 1
            length += more
        return length

    try:
        while True:
            token = data[at]
            at += 1
            literals = extended(token >> 4)
            if at + literals > len(data) or len(raw) + literals > raw_length:
                return None
            raw += data[at:at + literals]
            at += literals
            if at == len(data):
                return bytes(raw) if len(raw) == raw_length else None
            distance = data[at] | data[at + 1] << 8
            at += 2
            length = 4 + extended(token & 15)
            if not 0 < distance <= len(raw) or len(raw) + length > raw_length:
                return None
            pattern = bytes(raw[-distance:])
            raw += (pattern * (length // distance + 1))[:length]
    except IndexError:
        return None


def zstd_frame(data, raw_length):
    try:
        from compression import zstd  # in the standard library from Python 3.14 on
    except ImportError:
        raise Damage("a record is compressed with zstd, which this Python does not have") from None
    try:
        raw = zstd.ZstdDecompressor().decompress(data, raw_length + 1)
    except zstd.ZstdError:
        return None
    return raw if len(raw) == raw_length else None


def expand(compression, stored, raw_length):
    if compression == 0:
        return stored if raw_length == len(stored) else None
    if raw_length <= len(stored):
        return None
    return (lz4_block if compression == 1 else zstd_frame)(stored, raw_length)


# --- structures; each decoder gives None for what is not sound ---------------------------------


def sealed_json(path, form=3):
    data = read(path)
    match = re.fullmatch(rb'\{"crc32":"([0-9a-f]{8})","body":(.+)\}\n', data, re.DOTALL)
    need(match and crc32(match[2]) == int(match[1], 16), f"{path}: the checksum does not hold")
    try:
        body = json.loads(match[2])
    except ValueError:
        raise Damage(f"{path}: no JSON") from None
    need(isinstance(body, dict) and body.get("format") == form, f"{path}: not of format {form}")
    return body


class Record:
    def __init__(self, offset, timestamp, kind, form, previous, headers, body, end):
        self.offset, self.timestamp, self.kind, self.form = offset, timestamp, kind, form
        self.previous, self.headers, self.body, self.end = previous, headers, body, end

    def chain_hash(self, stream_id):
        prefix = CHAIN.pack(
            CHAIN_DOMAIN, stream_id, self.previous, self.offset, self.timestamp,
            self.kind, self.form, len(self.headers), len(self.body),
        )
        return sha256(prefix + self.headers + self.body).digest()


def record_at(data, at, limit):
    if at + RECORD.size > limit:
        return None
    (magic, length, offset, timestamp, kind, compression, form, reserved,
     headers_length, reserved2, raw_length, previous) = RECORD.unpack_from(data, at)
    headers_at = at + RECORD.size
    body_at = headers_at + headers_length
    checksum_at = body_at + length
    if magic != 0x44435256 or checksum_at + 8 > limit:
        return None
    checksum, end = struct.unpack_from("<II", data, checksum_at)
    if end != 0x444E4552 or checksum != crc32(data[at:checksum_at]):
        return None
    if kind > 1 or compression > 2 or form > 2 or reserved or reserved2:
        return None
    if kind == CHECKPOINT_KIND and (compression or form or headers_length):
        return None
    if max(offset, timestamp) > SAFE_MAX or raw_length > BODY_MAX:
        return None
    headers, body = bytes(data[headers_at:body_at]), bytes(data[body_at:checksum_at])
    body = expand(compression, body, raw_length)
    if body is None:
        return None
    return Record(offset, timestamp, kind, form, previous, headers, body, checksum_at + 8)


def index_page(page, number):
    if len(page) < PAGE:
        return None
    magic, own_number, count, checksum = INDEX_PAGE.unpack_from(page)
    if magic != 0x58444956 or own_number != number or count > 1020:
        return None
    positions = page[16:16 + 4 * count]
    if checksum != crc32(positions, crc32(page[:12])):
        return None
    return struct.unpack(f"<{count}I", positions)


def entry_at(data, at):
    """(type, content, end, salt, position)"""
    if at + ENTRY.size > len(data):
        return None
    magic, version, kind, reserved, length, checksum, salt, position = ENTRY.unpack_from(data, at)
    body_at = at + ENTRY.size
    end = body_at + length
    if magic != 0x54414356 or end > len(data):
        return None
    body = data[body_at:end]
    if checksum != crc32(data[at + 16:end], crc32(data[at:at + 12])) or version != 3 or reserved:
        return None
    if position > SAFE_MAX:
        return None
    if kind == ENTRY_STREAM:
        content = stream_entry(body)
    elif kind == ENTRY_REMOVED:
        content = body if length == 16 else None
    elif kind == ENTRY_COMMIT:
        content = commit_entry(body)
    elif kind == ENTRY_DECISION:
        content = body if length == 8 else None
    elif kind == ENTRY_WITNESS:
        content = body if length == 16 else None
    else:
        content = None
    return None if content is None else (kind, content, end, salt, position)


def stream_entry(body):
    fixed = STREAM_ENTRY.size
    if len(body) < fixed:
        return None
    (stream_id, head, created_at, last_timestamp, first_offset, next_offset, record_bytes,
     segment_first, segment, segment_bytes, state, reserved, state_length, name_length,
     config_length, producers_length, first_segment, last_checkpoint, since, trim_offset,
     trim_hash, trim_record_hash, record_hash, unwritten_length, creation_hash) = (
        STREAM_ENTRY.unpack_from(body))
    if reserved or state > 1:
        return None
    name_end = fixed + name_length
    config_end = name_end + config_length
    unwritten_at = config_end + producers_length
    state_at = unwritten_at + unwritten_length
    if len(body) != state_at + state_length:
        return None
    if not producers_hold(body[config_end:unwritten_at]):
        return None
    numbers = (created_at, last_timestamp, first_offset, next_offset, record_bytes, segment_first,
               last_checkpoint, since, trim_offset)
    if max(numbers) > SAFE_MAX:
        return None
    name = body[fixed:name_end]
    return {
        "state": State(created_at, body[name_end:config_end], state == 1, first_offset),
        "creationHash": creation_hash, "stateCheckpoint": bytes(body[state_at:]),
        "streamId": stream_id, "chainHead": head, "lastTimestamp": last_timestamp,
        "firstOffset": first_offset, "nextOffset": next_offset, "recordBytes": record_bytes,
        "segmentFirstOffset": segment_first, "segment": segment, "segmentBytes": segment_bytes,
        "name": name.decode(errors="replace"),
        "firstSegment": first_segment, "lastCheckpoint": last_checkpoint,
        "trim": (trim_offset, trim_hash, trim_record_hash), "recordHash": record_hash,
        "unwritten": body[unwritten_at:state_at],
    }


def producers_hold(data):
    at = 0
    while at < len(data):
        if at + PRODUCER_STATE.size > len(data):
            return False
        _, _, id_length, results = PRODUCER_STATE.unpack_from(data, at)
        at += PRODUCER_STATE.size + id_length + results * PRODUCER_RESULT.size
        if results == 0:
            return False
    return at == len(data)


def commit_entry(body):
    if len(body) != COMMIT_ENTRY.size:
        return None
    lsn, file, number, block_hash, timestamp, clock, entries, shard = COMMIT_ENTRY.unpack(body)
    if max(lsn, file, number, timestamp, clock) > SAFE_MAX:
        return None
    return {"lsn": lsn, "file": file, "number": number, "hash": block_hash, "entries": entries,
            "shard": shard}


def journal_header(page):
    if len(page) < PAGE:
        return None
    (magic, version, reserved, shard, epoch, number, first_lsn, capacity, salt, reserved2,
     checksum) = JOURNAL_HEADER.unpack_from(page)
    if magic != 0x4C4E4A56 or checksum != crc32(page[:60]) or version != 1 or reserved:
        return None
    if any(reserved2) or any(page[64:PAGE]) or max(number, first_lsn, capacity) > SAFE_MAX:
        return None
    return {"shard": shard, "epoch": epoch, "number": number, "firstLsn": first_lsn,
            "capacity": capacity, "salt": salt}


def block_header(data, at):
    if at + BLOCK.size > len(data):
        return None
    (magic, version, flags, epoch, body_length, body_checksum, reserved, number, lsn,
     durable_through, salt, previous, reserved2, checksum) = BLOCK.unpack_from(data, at)
    if magic != 0x4B4C4256 or checksum != crc32(data[at:at + 124]) or version != 1:
        return None
    if flags not in (1, 2, 4, 8) or reserved or any(reserved2):
        return None
    if max(number, lsn, durable_through) > SAFE_MAX:
        return None
    return {"epoch": epoch, "bodyLength": body_length, "bodyChecksum": body_checksum,
            "number": number, "lsn": lsn, "durableThrough": durable_through, "salt": salt,
            "previousHash": previous}


def block_body(data, at, header):
    body = data[at + BLOCK.size:at + BLOCK.size + header["bodyLength"]]
    whole = len(body) == header["bodyLength"] and crc32(body) == header["bodyChecksum"]
    return body if whole else None


def frame_at(data, at):
    """(flags, transaction, payload, end)"""
    if at + FRAME.size > len(data):
        return None
    magic, version, flags, coordinator, transaction, timestamp, length, checksum = (
        FRAME.unpack_from(data, at))
    payload = data[at + FRAME.size:at + FRAME.size + length]
    if magic != 0x4D524656 or len(payload) != length:
        return None
    if checksum != crc32(payload, crc32(data[at:at + 28])) or version != 1:
        return None
    if max(transaction, timestamp) > SAFE_MAX or coordinator and flags not in (PENDING, WITNESS):
        return None
    sound = {
        COMMITTED: True,
        ABORTED: transaction > 0 and length == 0,
        PENDING: transaction > 0,
        BARRIER: transaction == 0 and length == 0,
        WITNESS: transaction > 0 and length == 0,
    }.get(flags, False)
    return (flags, transaction, payload, at + FRAME.size + length) if sound else None


def operation_at(data, at):
    """(type, streamId, body, end)"""
    if at + OPERATION.size > len(data):
        return None
    kind, reserved, length, stream_id = OPERATION.unpack_from(data, at)
    body = data[at + OPERATION.size:at + OPERATION.size + length]
    if any(reserved) or len(body) != length or not 1 <= kind <= 7:
        return None
    if kind in (OP_CLOSE, OP_DELETE) and length > 0 or kind == OP_TRIM and length != 8:
        return None
    return kind, stream_id, body, at + OPERATION.size + length


# --- a stream: its chain, as records are met ----------------------------------------------------


class Trust:
    """The public keys of the directory, and what was checked with them."""

    def __init__(self, data, findings):
        self.keys, self.checkpoints = {}, 0
        directory = os.path.join(data, "keys")
        for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
            if not re.fullmatch(r"[0-9a-f]{32}\.pub", name):
                continue
            key = public_key(os.path.join(directory, name))
            if key is None or sha256(key).hexdigest()[:32] != name[:32]:
                findings.append(f"{directory}/{name}: not the key that its name says")
            else:
                self.keys[sha256(key).digest()[:16]] = key


def public_key(path):
    """The raw 32 bytes of an Ed25519 key in SPKI PEM, or None."""
    lines = read(path).decode(errors="replace").split("\n")
    try:
        der = base64.b64decode("".join(lines[1:2]), validate=True)
    except ValueError:
        return None
    whole = lines[0] == "-----BEGIN PUBLIC KEY-----" and lines[2] == "-----END PUBLIC KEY-----"
    prefix = bytes.fromhex("302a300506032b6570032100")
    return der[12:] if whole and der[:12] == prefix and len(der) == 44 else None


class State:
    """A stream's configuration, whether it is closed, its first offset and its creation time."""

    def __init__(self, created_at, config, closed=False, first_offset=0):
        self.created_at, self.closed, self.first_offset = created_at, closed, first_offset
        self.configure(config)

    def configure(self, config):
        try:
            found = json.loads(bytes(config))
        except ValueError:
            found = None
        merged = {**DEFAULTS, **found} if isinstance(found, dict) else DEFAULTS
        self.config = merged if is_config(merged) else DEFAULTS

    def hash(self):
        config, retention = self.config, self.config["retention"]
        return sha256(STATE.pack(
            STATE_DOMAIN, self.created_at, self.first_offset, self.closed,
            DURABILITIES.index(config["durability"]), COMPRESSIONS.index(config["compression"]),
            config["maxSegmentBytes"], config["checkpointEvery"],
            *(retention.get(bound, 0) for bound in BOUNDS),
        )).digest()


def is_config(config):
    retention = config["retention"]
    numbers = [config["maxSegmentBytes"], config["checkpointEvery"]]
    if not isinstance(retention, dict):
        return False
    numbers += [retention[bound] for bound in BOUNDS if bound in retention]
    return (config["durability"] in DURABILITIES and config["compression"] in COMPRESSIONS
            and all(type(number) is int and 0 < number <= SAFE_MAX for number in numbers))


class Stream:
    def __init__(self, name, stream_id, trust, trim=(0, NO_HASH, NO_HASH), signed=None):
        self.name, self.stream_id, self.trust, self.trim = name, stream_id, trust, trim
        (self.next_offset, self.head, self.record_hash), self.timestamp = trim, 0
        self.ends_segment, self.last_checkpoint = False, None
        # The hash of the last signed state, if known. In the journal also the state itself, and the
        # change that the next checkpoint must sign.
        self.signed, self.state, self.due = signed, None, None
        self.is_closed = False

    def take(self, record, where):
        need(record is not None, f"{where}: record {self.next_offset} is not sound")
        need(record.offset == self.next_offset,
             f"{where}: offset {record.offset}, expected {self.next_offset}")
        need(record.previous == self.head,
             f"{where}: record {record.offset} does not link to the one before")
        need(record.timestamp >= self.timestamp,
             f"{where}: record {record.offset} goes back in time")
        self.ends_segment = False
        self.head = record.chain_hash(self.stream_id)
        if record.kind == CHECKPOINT_KIND:
            self.check(record, f"{where}: the checkpoint before record {record.offset}")
        else:
            need(not self.is_closed, f"{where}: record {record.offset} of a closed stream")
            self.next_offset += 1
            self.record_hash = self.head
        self.timestamp = record.timestamp

    def check(self, record, what):
        need(len(record.body) == CHECKPOINT.size, f"{what} has another size")
        (count, trim_offset, trim_hash, state_hash, key_id, flags, change, reserved, signature) = (
            CHECKPOINT.unpack(record.body))
        need(flags <= 1 and change <= 3 and not any(reserved), f"{what} is not sound")
        need(count == record.offset, f"{what} counts {count} records")
        key = self.trust.keys.get(key_id)
        need(key is not None, f"{what} is signed with key {key_id.hex()}, which is not in keys/")
        message = SIGNED.pack(
            CHECKPOINT_DOMAIN, self.stream_id, record.offset, count, record.timestamp,
            record.previous, trim_offset, trim_hash, state_hash, change)
        need(signature_holds(key, message, signature), f"{what} has a wrong signature")
        need(trim_offset <= self.trim[0], f"{what} names a later trim point")
        need(trim_offset < self.trim[0] or trim_hash == self.trim[1],
             f"{what} names another hash before the trim point")
        self.ends_segment, self.last_checkpoint = flags == 1, record.offset
        self.trust.checkpoints += 1
        self.check_state(state_hash, change, what)

    def check_state(self, state_hash, change, what):
        if self.state is not None:  # in the journal, which tells every change
            need(change == (self.due or 0), f"{what} signs another change")
            need(state_hash == self.state.hash(), f"{what} signs another state")
        elif change == 0:
            need(self.signed in (None, state_hash), f"{what} signs another state than before")
        self.signed, self.due, self.is_closed = state_hash, None, self.is_closed or change == 2

    def report(self):
        return {"streamId": self.stream_id.hex(), "records": self.next_offset,
                "chainHead": self.head.hex(), "closed": self.state.closed}


def stream_id_fits(stream_id, creation_hash, name):
    """Whether the id commits to this state at creation and this name."""
    made_for = STREAM_DOMAIN + stream_id[:6] + creation_hash + name.encode()
    return stream_id[6:] == sha256(made_for).digest()[:10]


def check_state(entry, trust, where):
    """Compares the entry with the signed state and returns the hash of that state."""
    need(stream_id_fits(entry["streamId"], entry["creationHash"], entry["name"]),
         f"{where}: its id is of another name or state at creation")
    stored, signed = entry["stateCheckpoint"], entry["creationHash"]
    if stored:
        record = record_at(stored, 0, len(stored))
        need(record and record.kind == CHECKPOINT_KIND and record.end == len(stored),
             f"{where}: the state's checkpoint is not sound")
        # The chain check compares its trim point with the entry's.
        kept = Stream(entry["name"], entry["streamId"], trust, (SAFE_MAX, NO_HASH, NO_HASH))
        checked = trust.checkpoints
        kept.check(record, f"{where}: the state's checkpoint")
        trust.checkpoints, signed = checked, kept.signed
        need(CHECKPOINT.unpack(record.body)[6] > 0, f"{where}: its checkpoint signs no change")
    need(signed == entry["state"].hash(), f"{where}: its state is not what was signed")
    return signed


def stream_directory(data, name, stream_id):
    digits = stream_id.hex()
    readable = re.sub(r"[^A-Za-z0-9_-]", "", name)[:40]
    return os.path.join(data, "streams", digits[:2], f"{readable}-{digits}" if readable else digits)


def verify_stored(data, entry, trust, findings):
    """What the segments of one stream hold."""
    trim = entry["trim"]
    created = entry["creationHash"] if trim[0] == 0 else None
    stream = Stream(entry["name"], entry["streamId"], trust, trim, created)
    directory = stream_directory(data, entry["name"], entry["streamId"])
    where = f"stream {entry['name']}"
    entry["signed"] = check_state(entry, trust, where)
    need(trim[0] > 0 or trim[1:] == (NO_HASH, NO_HASH), f"{where}: a hash before offset 0")
    need(trim[0] <= entry["firstOffset"], f"{where}: a wrong first offset")
    need(entry["firstOffset"] <= entry["nextOffset"] or entry["unwritten"],
         f"{where}: a wrong first offset")
    ranges = []
    if entry["segment"] > 0 or entry["segmentBytes"] > 0:
        ranges = stored_ranges(directory, entry)
    for number, first, end, size, head, record_hash, is_sealed in ranges:
        path = os.path.join(directory, f"segment_{number:06d}")
        need(first == stream.next_offset, f"{path}.log: begins at {first}")
        entries = verify_segment(f"{path}.log", size, end, stream) if size > 0 else []
        need(stream.head == head, f"{path}.log: the chain head is not the one recorded")
        need(stream.record_hash == record_hash, f"{path}.log: the record hash is another")
        need(stream.ends_segment or not is_sealed, f"{path}.log: does not end with its checkpoint")
        verify_index(f"{path}.idx", entries, findings)
    ends = stream.next_offset, stream.head, stream.record_hash
    need(ends == (entry["nextOffset"], entry["chainHead"], entry["recordHash"]),
         f"{where}: ends at {stream.next_offset}, not as the catalogue says")
    need(not ranges or stream.timestamp in (0, entry["lastTimestamp"]),
         f"{where}: the last timestamp differs")
    need(stream.last_checkpoint in (None, entry["lastCheckpoint"]),
         f"{where}: the last checkpoint is another")
    need(sum(one[3] for one in ranges) == entry["recordBytes"],
         f"{where}: the bytes of its records differ")
    return stream


def stored_ranges(directory, entry):
    """(number, first offset, end, bytes, chain head, record hash, whether it is sealed)"""
    manifest = sealed_json(os.path.join(directory, "manifest.json"))
    need(manifest.get("streamId") == entry["streamId"].hex(), f"{directory}: of another stream")
    need(manifest.get("stream") == entry["name"], f"{directory}: of another name")
    kept = range(entry["firstSegment"], entry["segment"])
    sealed = [one for one in manifest["sealed"] if one["number"] in kept]
    need([one["number"] for one in sealed] == list(kept),
         f"{directory}: the manifest lacks a sealed segment")
    ranges = [(one["number"], one["firstOffset"], one["nextOffset"], one["bytes"],
               bytes.fromhex(one["chainHead"]), bytes.fromhex(one["recordHash"]), True)
              for one in sealed]
    ranges.append((entry["segment"], entry["segmentFirstOffset"], entry["nextOffset"],
                   entry["segmentBytes"], entry["chainHead"], entry["recordHash"], False))
    return ranges


def verify_segment(path, size, end, stream):
    """Takes the segment's records; gives the entries of its index."""
    content = memoryview(read(path))
    need(len(content) >= size, f"{path}: {len(content)} bytes, expected {size}")
    entries, at, behind = [], 0, 0
    while at < size:
        record = record_at(content, at, size)
        stream.take(record, f"{path}, byte {at}")
        if record.kind == DATA:
            entries.append(at | behind)
        behind = BEHIND_CHECKPOINT if record.kind == CHECKPOINT_KIND else 0
        at = record.end
        need(at == size or not stream.ends_segment, f"{path}, byte {at}: behind the segment's end")
    need(stream.next_offset == end, f"{path}: ends at {stream.next_offset}, expected {end}")
    return entries


def verify_index(path, entries, findings):
    """A cache: what is missing or not sound is no finding, what is sound and wrong is."""
    content = read(path) if os.path.exists(path) else b""
    for number in range(len(content) // PAGE):
        found = index_page(content[number * PAGE:(number + 1) * PAGE], number)
        expected = tuple(entries[number * 1020:(number + 1) * 1020])
        # Entries behind the extent are of a checkpoint without a commit.
        if found is not None and found[:len(expected)] != expected[:len(found)]:
            findings.append(f"{path}: page {number} is wrong")


# --- a shard ------------------------------------------------------------------------------------


def read_catalogue(path, number):
    """The entries that hold, by streamId, and the last commit."""
    content = read(path)
    live, pending, commit, at = {}, [], None, 0
    first = entry_at(content, 0)
    need(first is not None, f"{path}: damaged from byte 0 on")
    while (entry := placed_at(content, at, first[3])) is not None:
        kind, body, at = entry[:3]
        if kind != ENTRY_COMMIT:
            pending.append((kind, body))
            continue
        need(body["entries"] == len(pending), f"{path}: a commit counts its entries wrong")
        need(body["shard"] == number, f"{path}: of shard {body['shard']}, not {number}")
        for pending_kind, item in pending:
            if pending_kind == ENTRY_STREAM:
                live[item["streamId"]] = item
            elif pending_kind == ENTRY_REMOVED:
                live.pop(bytes(item), None)
        pending, commit = [], body
    later = [found.start() for found in re.finditer(b"VCAT", content[at + 1:])]
    commits = [place for place in later if is_commit(placed_at(content, at + 1 + place, first[3]))]
    need(commit is not None and len(commits) < 2, f"{path}: damaged from byte {at} on")
    return live, commit


def placed_at(content, at, salt):
    """The entry there, if it belongs there: bytes that a client sent may be an entry too."""
    entry = entry_at(content, at)
    return entry if entry is not None and entry[3:] == (salt, at) else None


def is_commit(entry):
    return entry is not None and entry[0] == ENTRY_COMMIT


class Journal:
    """The walk from a commit to the journal's end."""

    def __init__(self, directory, shard, commit):
        self.directory, self.shard = directory, shard
        self.number, self.hash, self.durable = commit["number"], commit["hash"], commit["number"]
        path = os.path.join(directory, "newest.json")
        note = sealed_json(path, 1)
        need(note["shard"] == shard, f"{path}: of shard {note['shard']}, not {shard}")
        newest = note["file"]
        names = [name for name in os.listdir(directory) if re.fullmatch(r"\d{12}\.wal", name)]
        last = max([newest, commit["file"]] + [int(name[:12]) for name in names])
        for number in range(commit["file"], last + 1):
            self.load(number)
        self.open(commit["file"])
        self.position = PAGE + commit["lsn"] - self.header["firstLsn"]
        need(PAGE <= self.position <= len(self.content),
             f"{self.path}: LSN {commit['lsn']} is not in it")

    def path_of(self, number):
        return os.path.join(self.directory, f"{number:012d}.wal")

    def load(self, number):
        path = self.path_of(number)
        content = read(path)
        header = journal_header(content[:PAGE])
        sound = header and header["number"] == number and header["shard"] == self.shard
        need(sound, f"{path}: the header is not sound")
        return header, content

    def open(self, number):
        self.path = self.path_of(number)
        self.header, self.content = self.load(number)

    def next_block(self, file, content, position):
        header = block_header(content, position)
        follows = (
            header is not None
            and header["salt"] == file["salt"]
            and header["epoch"] == file["epoch"]
            and header["number"] == self.number + 1
            and header["previousHash"] == self.hash
            and header["lsn"] == file["firstLsn"] + position - PAGE
        )
        return header if follows and block_body(content, position, header) is not None else None

    def turn_page(self):
        number = self.header["number"] + 1
        if not os.path.exists(self.path_of(number)):
            return False
        file, content = self.load(number)
        if file["firstLsn"] != self.header["firstLsn"] + self.header["capacity"]:
            return False
        if self.next_block(file, content, PAGE) is None:
            return False
        self.open(number)
        self.position = PAGE
        return True

    def blocks(self):
        """(where, body) of each block up to the end."""
        while True:
            header = self.next_block(self.header, self.content, self.position)
            if header is None:
                if self.turn_page():
                    continue
                return
            at = self.position
            self.number = header["number"]
            self.hash = sha256(self.content[at:at + BLOCK.size]).digest()
            self.durable = max(self.durable, header["durableThrough"])
            self.position += -(-(BLOCK.size + header["bodyLength"]) // PAGE) * PAGE
            yield f"{self.path}, byte {at}", block_body(self.content, at, header)

    def check_end(self):
        """Whether nothing says that a block which is not there was durable."""
        missing = self.number + 1
        need(self.durable < missing, f"{self.path}: block {missing} was durable and is not there")
        files = [(self.header, self.content, self.position)]
        number = self.header["number"] + 1
        while os.path.exists(self.path_of(number)):
            files.append((*self.load(number), PAGE))
            number += 1
        for file, content, start in files:
            for at in range(start, len(content), PAGE):
                header = block_header(content, at)
                if header is None or header["salt"] != file["salt"]:
                    continue
                if header["epoch"] != file["epoch"]:
                    continue
                need(header["number"] <= missing and header["durableThrough"] < missing,
                     f"{self.path_of(file['number'])}, byte {at}: says that block {missing}, "
                     "which is not there, was durable")


class Shard:
    def __init__(self, data, shard, shards, trust, findings):
        self.data, self.shard, self.shards, self.findings = data, shard, shards, findings
        self.trust = trust
        self.pending = {}  # transaction: where it is, and what it does
        self.directory = os.path.join(data, "journals", f"shard-{shard:02d}")
        self.streams = {}  # by streamId
        self.broken = {}  # streamId of a stream whose stored part is damaged: the finding

    def verify(self):
        live, commit = read_catalogue(os.path.join(self.directory, "catalogue"), self.shard)
        for stream_id, entry in live.items():
            try:
                self.check_owner(entry["name"])
                stream = verify_stored(self.data, entry, self.trust, self.findings)
                take_unwritten(stream, stream_id, entry["unwritten"])
                need(entry["firstOffset"] <= stream.next_offset,
                     f"stream {entry['name']}: a wrong first offset")
                need(stream.signed in (None, entry["signed"]),
                     f"stream {entry['name']}: its last checkpoint signs another state")
                stream.signed, stream.state = entry["signed"], entry["state"]
                self.streams[stream_id] = stream
            except Damage as damage:
                self.broken[stream_id] = str(damage)
        try:
            journal = Journal(self.directory, self.shard, commit)
            for where, body in journal.blocks():
                self.apply(where, body)
            journal.check_end()
        finally:
            # Only now: a stream that the journal deletes need not have its directory any more.
            self.findings.extend(self.broken.values())

    def check_owner(self, name):
        owner = crc32(name.encode()) % self.shards
        need(owner == self.shard, f"stream {name}: in shard {self.shard}, belongs to {owner}")
        taken = any(stream.name == name for stream in self.streams.values())
        need(not taken, f"stream {name}: there twice")

    def apply(self, where, body):
        at = 0
        while at < len(body):
            frame = frame_at(body, at)
            need(frame is not None, f"{where}: the frame at {at} of its body is not sound")
            flags, transaction, payload, at = frame
            if flags == PENDING:
                need(transaction not in self.pending, f"{where}: a transaction is pending twice")
                self.pending[transaction] = where, payload
            elif transaction > 0 and not payload and flags != WITNESS:
                # What it does counts from here; without a decision it does not count.
                decided = self.pending.pop(transaction, None)
                if decided is not None and flags == COMMITTED:
                    self.apply_payload(*decided)
            else:
                self.apply_payload(where, payload)

    def apply_payload(self, where, payload):
        place, changed = 0, set()
        while place < len(payload):
            operation = operation_at(payload, place)
            need(operation is not None, f"{where}: an operation is not sound")
            kind, stream_id, content, place = operation
            self.operate(where, kind, stream_id, content)
            if kind in CHANGES:
                changed.add(stream_id)
        for stream in (self.streams.get(stream_id) for stream_id in changed):
            need(stream is None or stream.due is None, f"{where}: a change that nothing signs")

    def operate(self, where, kind, stream_id, content):
        if stream_id in self.broken:
            if kind == OP_DELETE:
                del self.broken[stream_id]
            return
        if kind == OP_CREATE:
            name, state = created_stream(where, content)
            need(stream_id_fits(stream_id, state.hash(), name),
                 f"{where}: stream {name}: its id is of another name or state")
            self.check_owner(name)
            need(stream_id not in self.streams, f"{where}: a stream is created twice")
            self.streams[stream_id] = Stream(name, stream_id, self.trust)
            self.streams[stream_id].state = state
            return
        stream = self.streams.get(stream_id)
        need(stream is not None, f"{where}: an operation on an unknown stream")
        if kind == OP_APPEND:
            append(where, stream, content)
        elif kind == OP_REFERENCE:
            refer(self.data, where, stream, content)
        elif kind == OP_CONFIGURE:
            stream.state.configure(content)
        elif kind == OP_CLOSE:
            stream.state.closed = True
        elif kind == OP_TRIM:
            before = int.from_bytes(content, "little")
            need(before <= stream.next_offset, f"{where}: a trim past the end")
            stream.state.first_offset = before
        elif kind == OP_DELETE:
            del self.streams[stream_id]
        stream.due = CHANGES.get(kind, stream.due)


def take_unwritten(stream, stream_id, data):
    """The records in the catalogue that could not be written to a segment."""
    where = f"stream {stream.name}, unwritten"
    at = 0
    while at < len(data):
        frame = frame_at(data, at)
        need(frame is not None, f"{where}: the frame at {at} is not sound")
        flags, transaction, payload, at = frame
        operation = operation_at(payload, 0)
        need(flags == COMMITTED and transaction == 0 and operation is not None,
             f"{where}: a frame is none of an append")
        kind, owner, content, end = operation
        need(kind == OP_APPEND and owner == stream_id and end == len(payload),
             f"{where}: a frame is none of an append of this stream")
        append(where, stream, content)


def created_stream(where, content):
    need(len(content) >= CREATE.size, f"{where}: a create is cut off")
    created_at, name_length, config_length, reserved = CREATE.unpack_from(content)
    whole = len(content) == CREATE.size + name_length + config_length
    need(whole and reserved == 0, f"{where}: a create is not sound")
    name_end = CREATE.size + name_length
    name = content[CREATE.size:name_end].decode(errors="replace")
    return name, State(created_at, content[name_end:])


def append(where, stream, content):
    need(len(content) >= APPEND.size, f"{where}: an append is cut off")
    first_offset, count, producer_length, head = APPEND.unpack_from(content)
    where = f"{where}, stream {stream.name}"
    at = APPEND.size + producer_length
    need(at < len(content), f"{where}: an append is not sound")
    check_producer(where, content[APPEND.size:at])
    need(first_offset == stream.next_offset,
         f"{where}: an append at {first_offset}, expected {stream.next_offset}")
    while at < len(content):
        record = record_at(content, at, len(content))
        stream.take(record, where)
        at = record.end
    need(stream.next_offset == first_offset + count, f"{where}: an append counts its records wrong")
    need(stream.head == head, f"{where}: an append ends with another chain head")


def check_producer(where, content):
    if not content:
        return
    need(len(content) > PRODUCER.size, f"{where}: a producer is cut off")
    epoch, seq, id_length, reserved = PRODUCER.unpack_from(content)
    need(id_length == len(content) - PRODUCER.size and reserved == 0 and id_length <= 128
         and max(epoch, seq) <= SAFE_MAX, f"{where}: a producer is not sound")


def refer(data, where, stream, content):
    """An append whose records lie in the stream's segment, behind all that came before it."""
    where = f"{where}, stream {stream.name}"
    need(len(content) >= REFERENCE.size, f"{where}: a reference is cut off")
    (first_offset, count, length, checksum, producer_length, head, segment_first, since,
     last_checkpoint, record_bytes, segment, end, record_hash, reserved) = (
        REFERENCE.unpack_from(content))
    numbers = first_offset, segment_first, since, last_checkpoint, record_bytes
    need(len(content) == REFERENCE.size + producer_length and not any(reserved) and count > 0
         and max(numbers) <= SAFE_MAX and 0 < length <= end, f"{where}: a reference is not sound")
    check_producer(where, content[REFERENCE.size:])
    need(first_offset == stream.next_offset,
         f"{where}: an append at {first_offset}, expected {stream.next_offset}")
    directory = stream_directory(data, stream.name, stream.stream_id)
    path = os.path.join(directory, f"segment_{segment:06d}.log")
    stored = memoryview(read(path))[:end]
    need(len(stored) == end, f"{path}: {len(stored)} bytes, expected {end}")
    check_before(data, path, stream, segment, segment_first, stored[:end - length])
    need(crc32(stored[end - length:]) == checksum, f"{path}: not what {where} refers to")
    at = end - length
    while at < end:
        record = record_at(stored, at, end)
        stream.take(record, f"{path}, byte {at}")
        at = record.end
    need(stream.next_offset == first_offset + count, f"{where}: a reference counts wrong")
    need((stream.head, stream.record_hash) == (head, record_hash),
         f"{where}: a reference ends with another hash")
    need(last_checkpoint == (stream.last_checkpoint or last_checkpoint),
         f"{where}: a reference names another last checkpoint")


def check_before(data, path, stream, segment, segment_first, content):
    """What the journal held before a reference lies in the segments too, with the same chain."""
    directory = stream_directory(data, stream.name, stream.stream_id)
    manifest = sealed_json(os.path.join(directory, "manifest.json"))
    sealed = {one["number"]: one for one in manifest["sealed"]}
    before = sealed.get(segment - 1)
    walked = Stream(stream.name, stream.stream_id, stream.trust)
    walked.next_offset, walked.trim = segment_first, stream.trim
    if before is not None:
        need(before["nextOffset"] == segment_first, f"{path}: begins at {segment_first}")
        walked.head = bytes.fromhex(before["chainHead"])
    elif content:
        first = record_at(content, 0, len(content))
        need(first is not None, f"{path}, byte 0: record {segment_first} is not sound")
        walked.head = first.previous
    checked, at = stream.trust.checkpoints, 0
    while at < len(content):
        record = record_at(content, at, len(content))
        walked.take(record, f"{path}, byte {at}")
        at = record.end
    stream.trust.checkpoints = checked
    same = walked.next_offset == stream.next_offset and walked.head == stream.head
    need(same or not content, f"{path}: not what the journal holds before it")


def verify(data):
    findings, streams, shards = [], {}, 0
    trust = Trust(data, findings)
    try:
        shards = sealed_json(os.path.join(data, "varve.json"))["shards"]
    except Damage as damage:
        findings.append(str(damage))
    for number in range(shards):
        shard = Shard(data, number, shards, trust, findings)
        try:
            shard.verify()
        except Damage as damage:
            findings.append(str(damage))
        streams.update({stream.name: stream.report() for stream in shard.streams.values()})
    return {"ok": not findings, "shards": shards, "streams": streams,
            "checkpoints": trust.checkpoints, "findings": findings}


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: python3 verify.py DATA")
    report = verify(sys.argv[1])
    print(json.dumps(report, indent=2))
    sys.exit(0 if report["ok"] else 1)


if __name__ == "__main__":
    main()
