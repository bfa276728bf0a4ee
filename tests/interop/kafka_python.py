"""Reads a segment that ottla wrote, and writes the same records for ottla to read, both with kafka-python.

kafka_python.py CODEC RECORDS SEGMENT INTO: see kafka_python.sh, which runs it.
"""

import sys
from importlib.metadata import version

from kafka.record import MemoryRecords, MemoryRecordsBuilder

CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def value(index):
    user = index * 2654435761 % 100000
    return f'{{"user":"u-{user:05}","action":"click","page":"/orders/{index}","ms":{user % 7919:04}}}'.encode()


def read(codec, records, path):
    """How many batches there are, compressed ones of them, and bytes."""
    with open(path, "rb") as file:
        stored = file.read()
    batches = MemoryRecords(stored)
    count, compressed, expected = 0, 0, 0
    while (batch := batches.next_batch()) is not None:
        assert batch.validate_crc(), f"the checksum of the batch at {expected}"
        count += 1
        compressed += batch.compression_type == codec
        assert batch.compression_type in (codec, 0), batch.compression_type
        for record in batch:
            assert record.offset == expected and record.timestamp == expected, record
            assert record.key == b"k" and record.value == value(expected), record
            assert list(record.headers) == [("h", b"1")], record.headers
            expected += 1
    assert expected == records, f"{expected} records of {records}"
    assert compressed > 1, "no batch is compressed"
    return count, compressed, len(stored)


def write(codec, records, path):
    """How many batches and bytes."""
    count, size, offset = 0, 0, 0
    with open(path, "wb") as file:
        while offset < records:
            builder = MemoryRecordsBuilder(2, codec, 100_000, offset=0)
            first = offset
            while offset < records and offset - first < 700:
                if builder.append(offset, b"k", value(offset), [("h", b"1")]) is None:
                    break
                offset += 1
            builder.close()
            batch = bytearray(builder.buffer())
            batch[0:8] = first.to_bytes(8, "big")  # what a log does when it appends
            file.write(batch)
            count, size = count + 1, size + len(batch)
    return count, size


def main():
    name, records, segment, into = sys.argv[1:]
    codec, records = CODECS[name], int(records)
    count, compressed, size = read(codec, records, segment)
    theirs, their_size = write(codec, records, into)
    print(f"kafka-python {version('kafka-python')}, {name}: read {records} records in {count} batches, {compressed} of them "
          f"compressed, {size} bytes; wrote the same in {theirs} batches, {their_size} bytes")


main()
