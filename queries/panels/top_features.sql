-- title: Top features
-- description: Features by number of distinct users
-- unit: users
-- chart: horizontal-bar
-- order: 60
-- size: medium
-- events: feature_used
-- refresh: 10s
-- Distinct counts are exact up to 100 and estimated above (docs/decisions/0009-distinct-counts.md).
-- distinct: unique_users
-- parameter: limit UInt16 = 10 from 1 to 100: maximum number of features
-- column: feature dimension "Feature"
-- column: unique_users measure "Users"
-- column: events detail events "Events"
SELECT value AS feature, {{distinct_count(visitors)}} AS unique_users, sum(rows.events) AS events
FROM {{total('feature_used', 'feature')}} AS rows
GROUP BY feature
ORDER BY unique_users DESC, events DESC, feature
LIMIT {limit:UInt16}
