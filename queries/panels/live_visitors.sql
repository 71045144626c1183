-- title: Live visitors
-- description: Distinct visitors who viewed a page in the last minutes
-- unit: visitors
-- chart: number
-- order: 20
-- size: small
-- events: page_view
-- span: window_minutes "last {window_minutes} minutes"
-- refresh: 5s
-- Distinct counts are exact up to 100 and estimated above (docs/decisions/0009-distinct-counts.md).
-- distinct: unique_visitors
-- parameter: window_minutes UInt16 = 5 from 1 to 60: length of the window, in minutes
-- figure: first(unique_visitors) "visitors on pages in the last {window_minutes} minutes"
-- figure: first(total_views) "page views"
-- figure: first(avg_duration_ms) ms "average view"
-- column: unique_visitors measure visitors "Visitors"
-- column: total_views measure views "Page views"
-- column: avg_duration_ms measure ms "Average duration"
SELECT
    {{distinct_count(visitors)}} AS unique_visitors,
    sum(events) AS total_views,
    -- Only views with a duration count. NULL if there are none.
    if(sum(measure_count) = 0, NULL, sum(measure_sum) / sum(measure_count)) AS avg_duration_ms
FROM {{window('page_view', window_minutes)}}
