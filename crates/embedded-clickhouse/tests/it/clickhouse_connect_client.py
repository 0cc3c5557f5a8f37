"""What an ordinary program does with clickhouse-connect, against the embedded server."""

import sys

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError

host, port, database = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def connect(**more):
    return clickhouse_connect.get_client(host=host, port=port, database=database, **more)


client = connect()
assert client.ping()
assert client.server_version.startswith("26.7."), client.server_version
client.command("CREATE TABLE t (id UInt64, name String, price Decimal(18, 8)) ENGINE = MergeTree ORDER BY id")
rows = [[number, f"name {number}", number / 8] for number in range(10_000)]

for round, compress in enumerate(["lz4", "zstd", "gzip", False]):
    other = connect(compress=compress)
    other.command("TRUNCATE TABLE t")
    summary = other.insert("t", rows, column_names=["id", "name", "price"])
    assert summary.written_rows == 10_000, (compress, summary.summary)
    result = other.query("SELECT id, name, price FROM t ORDER BY id")
    assert result.row_count == 10_000, compress
    assert result.result_rows[17] == (17, "name 17", 2.125), result.result_rows[17]
    other.close()

answer = client.query("SELECT {n:UInt8} + 1 AS m, {s:String} AS s", parameters={"n": 41, "s": "it's"})
assert answer.first_row == (42, "it's"), answer.first_row
settings = client.query("SELECT getSetting('max_threads')", settings={"max_threads": 3})
assert settings.first_row[0] == 3
assert client.raw_query("SELECT 1", fmt="JSONEachRow") == b'{"1":1}\n'
client.raw_insert("t", ["id", "name"], b'{"id": 20000, "name": "raw"}\n', fmt="JSONEachRow")
assert client.command("SELECT count() FROM t") == 10_001
assert client.query_arrow("SELECT id FROM t ORDER BY id").num_rows == 10_001

with client.query_row_block_stream("SELECT number FROM numbers(500000)") as stream:
    assert sum(len(block) for block in stream) == 500_000

client.command("CREATE TEMPORARY TABLE mine (a UInt8)")
client.insert("mine", [[1], [2]], column_names=["a"])
assert client.command("SELECT sum(a) FROM mine") == 3

for bad, code in [("SELECT * FROM nope", "60"), ("SELEC 1", "62")]:
    try:
        client.query(bad)
    except DatabaseError as error:
        assert f"code {code}" in str(error) or f"Code: {code}" in str(error), error
    else:
        raise AssertionError(bad)

client.command("DROP TABLE t SYNC")
client.close()
print("all good")
