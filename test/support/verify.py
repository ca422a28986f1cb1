#!/usr/bin/env python3
"""Verifies a Varve data directory, without Varve.

    python3 verify.py DATA

Written from src/shared/format/README.md alone, with the standard library alone, so that what the
code does and what the format says are compared. Reads only. Prints a JSON report:

    {"ok", "shards", "streams": {name: {"streamId", "records", "chainHead", "closed"}}, "findings"}

Exits with 0 when nothing is wrong, 1 otherwise. Run it while no process serves the directory, or on
a copy.
"""

import json
import os
import re
import struct
import sys
from hashlib import sha256
from zlib import crc32

PAGE = 4096
SAFE_MAX = 2**53 - 1
NO_HASH = bytes(32)
CHAIN_DOMAIN = b"varve.record.v1\0"

RECORD = struct.Struct("<IIQQBBBBHHI32s")
CHAIN = struct.Struct("<16s16s32sQQBBII")
INDEX_PAGE = struct.Struct("<IIII")
ENTRY = struct.Struct("<IBBHII")
STREAM_ENTRY = struct.Struct("<16s32sQQQQQQIIB3sHH8s")
COMMIT_ENTRY = struct.Struct("<QQQ32sQI12s")
JOURNAL_HEADER = struct.Struct("<IHHIIQQQ16s4sI")
BLOCK = struct.Struct("<IHHIIIIQQQ16s32s28sI")
FRAME = struct.Struct("<IBBHQQII")
OPERATION = struct.Struct("<B3sI16s")
APPEND = struct.Struct("<QII32s")
CREATE = struct.Struct("<QHHI")

ENTRY_STREAM, ENTRY_REMOVED, ENTRY_COMMIT = 1, 2, 3
OP_CREATE, OP_CONFIGURE, OP_APPEND, OP_CLOSE, OP_DELETE = 1, 2, 3, 4, 5


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


# --- structures; each decoder gives None for what is not sound ---------------------------------


def sealed_json(path):
    data = read(path)
    match = re.fullmatch(rb'\{"crc32":"([0-9a-f]{8})","body":(.+)\}\n', data, re.DOTALL)
    need(match and crc32(match[2]) == int(match[1], 16), f"{path}: the checksum does not hold")
    try:
        body = json.loads(match[2])
    except ValueError:
        raise Damage(f"{path}: no JSON") from None
    need(isinstance(body, dict) and body.get("format") == 1, f"{path}: not of format 1")
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
    if kind or compression or form > 2 or reserved or reserved2 or raw_length != length:
        return None
    if max(offset, timestamp) > SAFE_MAX:
        return None
    headers, body = bytes(data[headers_at:body_at]), bytes(data[body_at:checksum_at])
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
    """(type, content, end)"""
    if at + ENTRY.size > len(data):
        return None
    magic, version, kind, reserved, length, checksum = ENTRY.unpack_from(data, at)
    body_at = at + ENTRY.size
    end = body_at + length
    if magic != 0x54414356 or length > 4096 or end > len(data):
        return None
    body = data[body_at:end]
    if checksum != crc32(body, crc32(data[at:at + 12])) or version != 1 or reserved:
        return None
    if kind == ENTRY_STREAM:
        content = stream_entry(body)
    elif kind == ENTRY_REMOVED:
        content = body if length == 16 else None
    elif kind == ENTRY_COMMIT:
        content = commit_entry(body)
    else:
        content = None
    return None if content is None else (kind, content, end)


def stream_entry(body):
    if len(body) < STREAM_ENTRY.size:
        return None
    (stream_id, head, created_at, last_timestamp, first_offset, next_offset, record_bytes,
     segment_first, segment, segment_bytes, state, reserved, name_length, config_length,
     reserved2) = STREAM_ENTRY.unpack_from(body)
    if any(reserved) or any(reserved2) or state > 1:
        return None
    if len(body) != STREAM_ENTRY.size + name_length + config_length:
        return None
    numbers = (created_at, last_timestamp, first_offset, next_offset, record_bytes, segment_first)
    if max(numbers) > SAFE_MAX:
        return None
    name = body[STREAM_ENTRY.size:STREAM_ENTRY.size + name_length]
    return {
        "streamId": stream_id, "chainHead": head, "lastTimestamp": last_timestamp,
        "firstOffset": first_offset, "nextOffset": next_offset, "recordBytes": record_bytes,
        "segmentFirstOffset": segment_first, "segment": segment, "segmentBytes": segment_bytes,
        "closed": state == 1, "name": name.decode(errors="replace"),
    }


def commit_entry(body):
    if len(body) != COMMIT_ENTRY.size:
        return None
    lsn, file, number, block_hash, timestamp, entries, reserved = COMMIT_ENTRY.unpack(body)
    if any(reserved) or max(lsn, file, number, timestamp) > SAFE_MAX:
        return None
    return {"lsn": lsn, "file": file, "number": number, "hash": block_hash, "entries": entries}


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
    """(flags, payload, end)"""
    if at + FRAME.size > len(data):
        return None
    magic, version, flags, reserved, transaction, timestamp, length, checksum = (
        FRAME.unpack_from(data, at))
    payload = data[at + FRAME.size:at + FRAME.size + length]
    if magic != 0x4D524656 or len(payload) != length:
        return None
    if checksum != crc32(payload, crc32(data[at:at + 28])) or version != 1:
        return None
    if flags not in (1, 8) or reserved or transaction or timestamp > SAFE_MAX:
        return None
    if flags == 8 and length > 0:
        return None
    return flags, payload, at + FRAME.size + length


def operation_at(data, at):
    """(type, streamId, body, end)"""
    if at + OPERATION.size > len(data):
        return None
    kind, reserved, length, stream_id = OPERATION.unpack_from(data, at)
    body = data[at + OPERATION.size:at + OPERATION.size + length]
    if any(reserved) or len(body) != length or not 1 <= kind <= 5:
        return None
    if kind in (OP_CLOSE, OP_DELETE) and length > 0:
        return None
    return kind, stream_id, body, at + OPERATION.size + length


# --- a stream: its chain, as records are met ----------------------------------------------------


class Stream:
    def __init__(self, name, stream_id):
        self.name, self.stream_id = name, stream_id
        self.next_offset, self.head, self.timestamp = 0, NO_HASH, 0
        self.closed = False

    def take(self, record, where):
        need(record is not None, f"{where}: record {self.next_offset} is not sound")
        need(record.offset == self.next_offset,
             f"{where}: offset {record.offset}, expected {self.next_offset}")
        need(record.previous == self.head,
             f"{where}: record {record.offset} does not link to the one before")
        need(record.timestamp >= self.timestamp,
             f"{where}: record {record.offset} goes back in time")
        self.head = record.chain_hash(self.stream_id)
        self.next_offset += 1
        self.timestamp = record.timestamp

    def report(self):
        return {"streamId": self.stream_id.hex(), "records": self.next_offset,
                "chainHead": self.head.hex(), "closed": self.closed}


def stream_directory(data, name):
    digits = sha256(name.encode()).hexdigest()[:16]
    readable = re.sub(r"[^A-Za-z0-9_-]", "", name)[:40]
    return os.path.join(data, "streams", digits[:2], f"{readable}-{digits}" if readable else digits)


def verify_stored(data, entry, findings):
    """What the segments of one stream hold."""
    stream = Stream(entry["name"], entry["streamId"])
    stream.closed = entry["closed"]
    directory = stream_directory(data, entry["name"])
    where = f"stream {entry['name']}"
    need(entry["firstOffset"] == 0, f"{where}: the first offset is not 0")
    ranges = []
    if entry["nextOffset"] > 0:
        ranges = stored_ranges(directory, entry)
    for number, first, end, size, head in ranges:
        path = os.path.join(directory, f"segment_{number:06d}")
        need(first == stream.next_offset, f"{path}.log: begins at {first}")
        positions = verify_segment(f"{path}.log", size, end, stream)
        need(head == stream.head, f"{path}.log: the chain head is not the one that is recorded")
        verify_index(f"{path}.idx", positions, findings)
    need(stream.next_offset == entry["nextOffset"] and stream.head == entry["chainHead"],
         f"{where}: ends at {stream.next_offset}, not as the catalogue says")
    need(stream.timestamp == entry["lastTimestamp"], f"{where}: the last timestamp differs")
    need(sum(size for _, _, _, size, _ in ranges) == entry["recordBytes"],
         f"{where}: the bytes of its records differ")
    return stream


def stored_ranges(directory, entry):
    manifest = sealed_json(os.path.join(directory, "manifest.json"))
    need(manifest.get("streamId") == entry["streamId"].hex(), f"{directory}: of another stream")
    need(manifest.get("stream") == entry["name"], f"{directory}: of another name")
    sealed = [one for one in manifest["sealed"] if one["number"] < entry["segment"]]
    need([one["number"] for one in sealed] == list(range(entry["segment"])),
         f"{directory}: the manifest lacks a sealed segment")
    ranges = [(one["number"], one["firstOffset"], one["nextOffset"], one["bytes"],
               bytes.fromhex(one["chainHead"])) for one in sealed]
    ranges.append((entry["segment"], entry["segmentFirstOffset"], entry["nextOffset"],
                   entry["segmentBytes"], entry["chainHead"]))
    return ranges


def verify_segment(path, size, end, stream):
    """Takes the segment's records; gives their positions."""
    content = memoryview(read(path))
    need(len(content) >= size, f"{path}: {len(content)} bytes, expected {size}")
    positions, at = [], 0
    while at < size:
        record = record_at(content, at, size)
        stream.take(record, f"{path}, byte {at}")
        positions.append(at)
        at = record.end
    need(stream.next_offset == end, f"{path}: ends at {stream.next_offset}, expected {end}")
    return positions


def verify_index(path, positions, findings):
    """A cache: what is missing or not sound is no finding, what is sound and wrong is."""
    content = read(path) if os.path.exists(path) else b""
    for number in range(len(content) // PAGE):
        found = index_page(content[number * PAGE:(number + 1) * PAGE], number)
        expected = tuple(positions[number * 1020:(number + 1) * 1020])
        # Entries behind the extent are of a checkpoint without a commit.
        if found is not None and found[:len(expected)] != expected[:len(found)]:
            findings.append(f"{path}: page {number} is wrong")


# --- a shard ------------------------------------------------------------------------------------


def read_catalogue(path):
    """The entries that hold, by streamId, and the last commit."""
    content = read(path)
    live, pending, commit, at = {}, [], None, 0
    while (entry := entry_at(content, at)) is not None:
        kind, body, at = entry
        if kind != ENTRY_COMMIT:
            pending.append((kind, body))
            continue
        need(body["entries"] == len(pending), f"{path}: a commit counts its entries wrong")
        for pending_kind, item in pending:
            if pending_kind == ENTRY_STREAM:
                live[item["streamId"]] = item
            else:
                live.pop(bytes(item), None)
        pending, commit = [], body
    later = [found.start() for found in re.finditer(b"VCAT", content[at + 1:])]
    commits = [place for place in later if is_commit(entry_at(content, at + 1 + place))]
    need(commit is not None and len(commits) < 2, f"{path}: damaged from byte {at} on")
    return live, commit


def is_commit(entry):
    return entry is not None and entry[0] == ENTRY_COMMIT


class Journal:
    """The walk from a commit to the journal's end."""

    def __init__(self, directory, shard, commit):
        self.directory, self.shard = directory, shard
        self.number, self.hash, self.durable = commit["number"], commit["hash"], commit["number"]
        newest = sealed_json(os.path.join(directory, "newest.json"))["file"]
        self.load(max(newest, commit["file"]))
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
    def __init__(self, data, shard, shards, findings):
        self.data, self.shard, self.shards, self.findings = data, shard, shards, findings
        self.directory = os.path.join(data, "journals", f"shard-{shard:02d}")
        self.streams = {}  # by streamId
        self.broken = {}  # streamId of a stream whose stored part is damaged: the finding

    def verify(self):
        live, commit = read_catalogue(os.path.join(self.directory, "catalogue"))
        for stream_id, entry in live.items():
            try:
                self.check_owner(entry["name"])
                self.streams[stream_id] = verify_stored(self.data, entry, self.findings)
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
            _, payload, at = frame
            place = 0
            while place < len(payload):
                operation = operation_at(payload, place)
                need(operation is not None, f"{where}: an operation is not sound")
                kind, stream_id, content, place = operation
                self.operate(where, kind, stream_id, content)

    def operate(self, where, kind, stream_id, content):
        if stream_id in self.broken:
            if kind == OP_DELETE:
                del self.broken[stream_id]
            return
        if kind == OP_CREATE:
            name = create_name(where, content)
            self.check_owner(name)
            need(stream_id not in self.streams, f"{where}: a stream is created twice")
            self.streams[stream_id] = Stream(name, stream_id)
            return
        stream = self.streams.get(stream_id)
        need(stream is not None, f"{where}: an operation on an unknown stream")
        if kind == OP_APPEND:
            append(where, stream, content)
        elif kind == OP_CLOSE:
            stream.closed = True
        elif kind == OP_DELETE:
            del self.streams[stream_id]


def create_name(where, content):
    need(len(content) >= CREATE.size, f"{where}: a create is cut off")
    _, name_length, config_length, reserved = CREATE.unpack_from(content)
    whole = len(content) == CREATE.size + name_length + config_length
    need(whole and reserved == 0, f"{where}: a create is not sound")
    return content[CREATE.size:CREATE.size + name_length].decode(errors="replace")


def append(where, stream, content):
    need(len(content) >= APPEND.size, f"{where}: an append is cut off")
    first_offset, count, reserved, head = APPEND.unpack_from(content)
    where = f"{where}, stream {stream.name}"
    need(reserved == 0 and count > 0, f"{where}: an append is not sound")
    need(first_offset == stream.next_offset,
         f"{where}: an append at {first_offset}, expected {stream.next_offset}")
    at = APPEND.size
    while at < len(content):
        record = record_at(content, at, len(content))
        stream.take(record, where)
        at = record.end
    need(stream.next_offset == first_offset + count, f"{where}: an append counts its records wrong")
    need(stream.head == head, f"{where}: an append ends with another chain head")


def verify(data):
    findings, streams, shards = [], {}, 0
    try:
        shards = sealed_json(os.path.join(data, "varve.json"))["shards"]
    except Damage as damage:
        findings.append(str(damage))
    for number in range(shards):
        shard = Shard(data, number, shards, findings)
        try:
            shard.verify()
        except Damage as damage:
            findings.append(str(damage))
        streams.update({stream.name: stream.report() for stream in shard.streams.values()})
    return {"ok": not findings, "shards": shards, "streams": streams, "findings": findings}


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: python3 verify.py DATA")
    report = verify(sys.argv[1])
    print(json.dumps(report, indent=2))
    sys.exit(0 if report["ok"] else 1)


if __name__ == "__main__":
    main()
