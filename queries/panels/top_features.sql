-- title: Top features
-- description: Features by number of distinct users
-- unit: users
-- chart: horizontal-bar
-- order: 60
-- size: medium
-- events: feature_used
-- refresh: 10s
-- Distinct counts are exact up to 100 and estimated above (docs/decisions/0003-rollups.md).
-- distinct: unique_users
-- parameter: limit UInt16 = 10 from 1 to 100: maximum number of features
-- column: feature dimension "Feature"
-- column: unique_users measure "Users"
-- column: events detail events "Events"
WITH rollup_rows AS
(
    -- The fewest rows that cover the range: 6 hours in the middle, then hours, quarter hours and minutes towards its ends.
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
    {{distinct_count(capped_count, set_bits)}} AS unique_users,
    events
FROM per_feature
ORDER BY unique_users DESC, events DESC, feature
LIMIT {limit:UInt16}
