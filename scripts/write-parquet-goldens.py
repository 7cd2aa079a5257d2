"""Writes test/goldens/parquet.json: small Parquet and Arrow files of pyarrow, polars and DuckDB, and the rows that they hold.

For developers only; no test runs it. Run it from the repository root with the versions below and commit the result:

    python scripts/write-parquet-goldens.py

Rows are what pyarrow reads, written by json.dumps, without the fields of structures that are null.
"""

import base64
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
    entries = [*codecs(), *of_duckdb(), invalid_text(), *save_to_disk(small)]
    lines = [json.dumps(row) for row in map_rows]
    entries.append({"name": "map", "file": base64.b64encode(written(maps)).decode(), "rows": lines})
    OUT.write_text(json.dumps({"versions": PINNED, "files": entries}, indent=1, ensure_ascii=False) + "\n")


main()
