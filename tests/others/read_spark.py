"""Reads an index with Spark: all rows, and the answer of one query in Spark's SQL, as JSON."""

import json
import sys

from pyspark.sql import SparkSession

ASKED = """
    select split, `task.sick` as sick, count(*) as samples, sum(length) as bytes, max(crc32c) as highest
    from samples where `meta.age` >= 10 group by split, `task.sick` order by split, sick nulls first
"""


def main(index: str) -> None:
    settings = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.sql.shuffle.partitions": "1"}
    spark = SparkSession.builder.master("local[1]").config(map=settings).getOrCreate()
    frame = spark.read.parquet(index)
    frame.createOrReplaceTempView("samples")
    rows = [row.asDict() for row in frame.orderBy("shard", "offset").collect()]
    counted = [list(row) for row in spark.sql(ASKED).collect()]
    spark.stop()
    sys.stdout.write(json.dumps({"rows": rows, "counted": counted}))


if __name__ == "__main__":
    main(sys.argv[1])
