"""clickhouse-connect against the embedded ClickHouse at CLICKHOUSE_TEST_URL."""

import os
from urllib.parse import urlparse

import clickhouse_connect


def main():
    url = urlparse(os.environ["CLICKHOUSE_TEST_URL"])
    client = clickhouse_connect.get_client(
        host=url.hostname, port=url.port, username="default", password=os.environ["CLICKHOUSE_TEST_PASSWORD"]
    )
    client.command("CREATE TABLE py (id UInt64, name String, at DateTime64(3)) ENGINE = MergeTree ORDER BY id")
    client.insert("py", [[n, f"näme {n}\t'", 1_795_237_200 + n] for n in range(10_000)], column_names=["id", "name", "at"])
    result = client.query("SELECT count(), max(id) FROM py WHERE id >= {least:UInt64}", parameters={"least": 100})
    assert result.result_rows == [(9_900, 9_999)], result.result_rows
    rows = 0
    with client.query_rows_stream("SELECT number, toString(number) FROM numbers(500000)") as stream:
        for row in stream:
            assert row[1] == str(row[0]), row
            rows += 1
    assert rows == 500_000, rows
    assert client.query("SELECT name FROM py WHERE id = 7").result_rows == [("näme 7\t'",)]
    try:
        client.query("SELECT * FROM nowhere")
        raise AssertionError("a table that is not there was read")
    except clickhouse_connect.driver.exceptions.DatabaseError as error:
        assert "UNKNOWN_TABLE" in str(error), error
    print("ok")


main()
