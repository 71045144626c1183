-- title: Top features
-- description: Which features are used, by how many people
-- unit: users
-- chart: horizontal-bar
-- refresh: 10s
-- Up to 100 people are counted; beyond, their number follows from the bits that they set (queries/schema/0002_minutes.sql).
-- distinct: unique_users
-- parameter: limit UInt16 = 10 from 1 to 100: how many features at most
WITH rollup_rows AS
(
    -- As few rows as cover the range: six hours where they are whole, then hours, quarters and minutes at its ends.
    SELECT feature, users, few_users, events
    FROM feature_steps
    WHERE
        (step = 360 AND start >= {six_hours_from:DateTime('UTC')} AND start < {six_hours_to:DateTime('UTC')})
        OR (step = 60 AND start >= {hours_from:DateTime('UTC')} AND start < {six_hours_from:DateTime('UTC')})
        OR (step = 60 AND start >= {six_hours_to:DateTime('UTC')} AND start < {hours_to:DateTime('UTC')})
        OR (step = 15 AND start >= {quarters_from:DateTime('UTC')} AND start < {hours_from:DateTime('UTC')})
        OR (step = 15 AND start >= {hours_to:DateTime('UTC')} AND start < {quarters_to:DateTime('UTC')})
    UNION ALL
    SELECT feature, users, few_users, events
    FROM feature_minutes
    WHERE
        (minute >= {range_start:DateTime('UTC')} AND minute < {quarters_from:DateTime('UTC')})
        OR (minute >= {quarters_to:DateTime('UTC')} AND minute < {range_end:DateTime('UTC')})
),
per_feature AS
(
    SELECT
        feature,
        ifNull(uniqUpToMerge(100)(few_users), 0) AS capped_count,
        ifNull(groupBitmapMerge(users), 0) AS set_bits,
        sum(rollup_rows.events) AS events
    FROM rollup_rows
    GROUP BY feature
)
SELECT
    feature,
    if(capped_count <= 100, capped_count, greatest(101, toUInt64(round(-1048576 * log(1 - least(set_bits, 1048575) / 1048576))))) AS unique_users,
    events
FROM per_feature
ORDER BY unique_users DESC, events DESC, feature
LIMIT {limit:UInt16}
