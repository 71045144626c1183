-- title: Top features
-- description: Which features are used, by how many people
-- unit: users
-- chart: horizontal-bar
-- refresh: 10s
-- distinct: unique_users
-- parameter: limit UInt16 = 10 from 1 to 100: how many features at most
SELECT
    feature,
    ifNull(uniqCombined64Merge(16)(users), 0) AS unique_users,
    sum(events) AS events
FROM feature_minutes
WHERE minute >= {range_start:DateTime('UTC')} AND minute < {range_end:DateTime('UTC')}
GROUP BY feature
ORDER BY unique_users DESC, events DESC, feature
LIMIT {limit:UInt16}
