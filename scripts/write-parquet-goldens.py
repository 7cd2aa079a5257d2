"""Writes test/goldens/parquet.json: small Parquet and Arrow files of pyarrow, polars and DuckDB, and the rows that they hold.

For developers only; no test runs it. Run it from the repository root with the versions below and commit the result:

    python scripts/write-parquet-goldens.py

Rows are what pyarrow reads, written by json.dumps, without the fields of structures that are null.
"""

import base64
import datetime
import decimal
import io
import json
import pathlib
import tempfile

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq

PINNED = {"pyarrow": "26.0.1", "polars": "2.1.0", "duckdb": "2.0.1"}
OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "goldens" / "parquet.json"

ARGUMENTS = pa.struct([("city", pa.string()), ("count", pa.int64()), ("price", pa.float64()), ("tags", pa.list_(pa.string()))])
CALL = pa.struct([("type", pa.string()), ("function", pa.struct([("name", pa.string()), ("arguments", ARGUMENTS)]))])
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string()), ("tool_calls", pa.list_(CALL))])
SCHEMA = pa.schema(
    [
        ("prompt", pa.string()),
        ("score", pa.float64()),
        ("id", pa.int64()),
        ("empty", pa.null()),
        ("empty_text", pa.large_string()),
        ("empty_struct", pa.struct([("a", pa.string()), ("b", pa.list_(pa.struct([("c", pa.string())])))])),
        ("messages", pa.list_(MESSAGE)),
    ]
)


def call(name, **arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


ROWS = [
    {
        "prompt": "ü",
        "score": 7.0,
        "id": 1234567890123456789,
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "tool_calls": [call("weather", city="Rome"), call("order", count=3, price=1.0, tags=[])]},
        ],
    },
    {"prompt": None, "score": 1e-07, "id": 3, "messages": []},
    {
        "score": -0.0,
        "messages": [{"role": "assistant", "content": "", "tool_calls": [call("noop"), {"type": "function"}, None]}, None],
    },
]


def without_nulls(value, is_row=False):
    if isinstance(value, dict):
        return {key: without_nulls(entry) for key, entry in value.items() if is_row or entry is not None}
    if isinstance(value, list):
        return [dict(map(list, entry)) if isinstance(entry, tuple) else without_nulls(entry) for entry in value]
    return value


def entry(name, buffer, rows):
    lines = [json.dumps(without_nulls(row, True), ensure_ascii=False) for row in rows]
    return {"name": name, "file": base64.b64encode(buffer).decode(), "rows": lines}


def written(table, **options):
    buffer = io.BytesIO()
    pq.write_table(table, buffer, store_schema=False, write_statistics=False, **options)
    return buffer.getvalue()


def of_polars(table, codec):
    buffer = io.BytesIO()
    polars.from_arrow(table.drop(["empty"])).write_parquet(buffer, compression=codec, statistics=False)
    return buffer.getvalue()


def of_duckdb():
    """DuckDB packs levels and indices in whole blocks, far beyond the values that there are."""
    messages = "[{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello ' || i}]"
    query = (
        f"SELECT 'prompt ' || (i % 3) AS prompt, CASE WHEN i % 4 <> 1 THEN i END AS id, "
        f"CASE WHEN i % 5 <> 2 THEN {messages} END AS messages FROM range(11) t(i)"
    )
    with tempfile.TemporaryDirectory() as folder:
        for codec in ["uncompressed", "snappy", "zstd"]:
            path = pathlib.Path(folder) / f"{codec}.parquet"
            duckdb.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION {codec})")
            yield entry(f"duckdb-{codec}", path.read_bytes(), pq.read_table(path).to_pylist())


def codecs():
    table = pa.Table.from_pylist(ROWS, schema=SCHEMA)
    for codec in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]:
        for version in ["1.0", "2.0"]:
            yield entry(f"{codec}-{version}", written(table, compression=codec, data_page_version=version), table.to_pylist())
    plain = written(table, compression="lz4", data_page_version="2.0", use_dictionary=False)
    yield entry("lz4-2.0-plain", plain, table.to_pylist())
    for codec in ["lz4", "zstd"]:
        yield entry(f"polars-{codec}", of_polars(table, codec), table.drop(["empty"]).to_pylist())


def column(kind, *values):
    return pa.array(values, type=kind)


def plain(value):
    """Decimals as the rows of preftune have them: without digits behind the point an integer, else the nearest float."""
    if isinstance(value, decimal.Decimal):
        return int(value) if value.as_tuple().exponent == 0 else float(value)
    return value


def of_types():
    """Names with dots, decimals, a table without rows; of times and maps with equal keys the tests say what is expected."""
    dotted = {"b.c": "one", "b": {"c": "two"}, "b%2Ec": ["three"]}
    names = pa.table({"a.b": ["x", "y"], "a": [{"b": 1}, {"b": 2}], "deep": [dotted, None], "a%2Eb": [None, "z"]})
    yield entry("dots", written(names), names.to_pylist())
    digits = ["1234567890123.4567", "-0.0001", "99999999999999.9999"]
    decimals = {
        "small": column(pa.decimal128(5, 2), *map(decimal.Decimal, ["1.50", "-999.99", "0.10"])),
        "exact": column(pa.decimal128(18, 4), *map(decimal.Decimal, digits)),
        "whole": column(pa.decimal128(38, 0), *map(decimal.Decimal, ["12345678901234567890123", "-7", "0"])),
        "long": column(pa.decimal256(50, 3), decimal.Decimal("-6336296008486745870462093118325412333289520079.907"), None, None),
    }
    for as_integer in [False, True]:
        buffer = written(pa.table(decimals), store_decimal_as_integer=as_integer)
        rows = [{key: plain(value) for key, value in row.items()} for row in pa.table(decimals).to_pylist()]
        yield entry(f"decimals-{'integers' if as_integer else 'bytes'}", buffer, rows)
    ten_thirty = datetime.time(10, 30, 0, 250_000)
    times = {str(kind): column(kind, ten_thirty, None) for kind in [pa.time32("ms"), pa.time64("us"), pa.time64("ns")]}
    yield entry("times", written(pa.table(times)), [])
    for keys, kind in [(["a", "b", "a"], pa.string()), ([1, 2, 1], pa.int64()), ([True, False], pa.bool_())]:
        maps = pa.table({"kwargs": pa.array([[(key, i) for i, key in enumerate(keys)], []], type=pa.map_(kind, pa.int64()))})
        yield entry(f"map-of-{kind}", written(maps), [])
    ordered = pa.table({"kwargs": pa.array([[("b", 1), ("a", 2)], None], type=pa.map_(pa.string(), pa.int64()))})
    yield entry("map-order", written(ordered), [{"kwargs": {"b": 1, "a": 2}}, {"kwargs": None}])
    yield entry("no-rows", written(pa.Table.from_pylist([], schema=SCHEMA)), [])


def invalid_text():
    """Row 2's `chosen` is not UTF-8; the column `image` is bytes and may be anything."""
    texts = [b"yes", b"n\xff\xfeo", b"maybe"]
    offsets = pa.array([0, 3, 7, 12], type=pa.int32()).buffers()[1]
    broken = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"".join(texts))])
    table = pa.table({"chosen": broken, "image": pa.array([b"\xff\xd8", b"abc", None], type=pa.binary())})
    return {"name": "invalid-utf8", "file": base64.b64encode(written(table, use_dictionary=False)).decode(), "rows": []}


def save_to_disk(table):
    """What `datasets.save_to_disk` writes into its .arrow files, and what `pyarrow.feather` does."""
    stream, file = io.BytesIO(), io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    yield {"name": "arrow-stream", "file": base64.b64encode(stream.getvalue()).decode(), "rows": []}
    yield {"name": "arrow-file", "file": base64.b64encode(file.getvalue()).decode(), "rows": []}


def main():
    installed = {"pyarrow": pa.__version__, "polars": polars.__version__, "duckdb": duckdb.__version__}
    assert installed == PINNED, installed
    maps = pa.table({"kwargs": pa.array([[("a", None), ("b", "x")], None], type=pa.map_(pa.string(), pa.string()))})
    map_rows = [{"kwargs": {"a": None, "b": "x"}}, {"kwargs": None}]
    small = pa.table({"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]})
    entries = [*codecs(), *of_duckdb(), *of_types(), invalid_text(), *save_to_disk(small)]
    lines = [json.dumps(row) for row in map_rows]
    entries.append({"name": "map", "file": base64.b64encode(written(maps)).decode(), "rows": lines})
    OUT.write_text(json.dumps({"versions": PINNED, "files": entries}, indent=1, ensure_ascii=False) + "\n")


main()
