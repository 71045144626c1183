//! The panel sandbox: hostile panel files are rejected without leaking anything, ordinary ones are published.

use std::collections::BTreeMap;
use std::path::Path;

use millrace_client::proto::v1;

use crate::common::{TIMEOUT, TestServer, event, events_request, http_request};

/// Content of the file that hostile panels try to read.
const SECRET: &str = "SECRET-7f3a9c";
const HEADER: &str = "-- title: A panel\n-- chart: table\n";

fn write_panel(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(format!("{name}.sql")), text).unwrap();
}

/// Waits until each of these files is published or reported as broken. Returns the catalog.
async fn wait_until_checked(server: &TestServer, names: &[&str]) -> v1::ListPanelsResponse {
    let mut dashboard = server.dashboard().await;
    let deadline = std::time::Instant::now() + 2 * TIMEOUT;
    loop {
        let list = dashboard.list_panels(v1::ListPanelsRequest {}).await.unwrap().into_inner();
        let is_checked = |name: &&str| {
            list.panels.iter().any(|panel| panel.name == **name && !panel.built_in)
                || list.broken.iter().any(|broken| broken.file == format!("{name}.sql"))
        };
        if names.iter().all(is_checked) {
            return list;
        }
        assert!(std::time::Instant::now() < deadline, "{list:?}\n{}", server.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Statements that reach beyond the tables, by name. FILE and URL are placeholders for their targets.
#[rustfmt::skip]
const HOSTILE: &[(&str, &str)] = &[
    // Files, in every notation.
    ("file", "SELECT file('FILE')"),
    ("file_cased", "SELECT File('FILE'), FILE('FILE')"),
    ("file_backticks", "SELECT `file`('FILE') AS x"),
    ("file_quotes", "SELECT \"file\"('FILE') AS x"),
    ("file_wide_quotes", "SELECT “file”('FILE') AS x"),
    ("file_comment", "SELECT file /* ) */ ('FILE')"),
    ("file_nested_comment", "SELECT 1 /* /* */ , */ , file('FILE')"),
    ("file_line_comment", "SELECT 1 # ' \n, file('FILE') # '"),
    ("file_alias", "SELECT file('FILE') AS `function_name: x,`"),
    ("file_alias_of_node", "SELECT file('FILE') AS `count (alias x) (children 1)`"),
    ("file_alias_lines", "SELECT file('FILE') AS `x\n Function count (children 1)`"),
    ("file_heredoc", "SELECT $x$ ' $x$, file($x$FILE$x$)"),
    ("file_in_heredoc_tag", "SELECT $a b$, file('FILE'), $a b$"),
    ("file_by_number", "SELECT 1e--file('FILE')\n"),
    ("file_scalar", "SELECT (SELECT (SELECT file('FILE'))) AS x"),
    ("file_with", "WITH (SELECT file('FILE')) AS x SELECT x"),
    ("file_lambda", "SELECT arrayMap(x -> file(x), ['FILE'])"),
    ("file_with_lambda", "WITH x -> file(x) AS f SELECT f('FILE')"),
    ("file_by_name", "SELECT arrayMap(file, ['FILE'])"),
    ("file_by_name_quoted", "SELECT arrayMap((`file` AS q), ['FILE'])"),
    ("file_by_name_filter", "SELECT arraySort(file, ['FILE'])"),
    ("file_apply", "SELECT * APPLY file FROM (SELECT 'FILE' AS a)"),
    ("file_apply_lambda", "SELECT * APPLY(x -> file(x)) FROM (SELECT 'FILE' AS a)"),
    ("file_columns_apply", "SELECT COLUMNS('a') APPLY(file) FROM (SELECT 'FILE' AS a)"),
    ("file_replace", "SELECT * REPLACE (file('FILE') AS a) FROM (SELECT 1 AS a)"),
    ("file_interpolate", "SELECT 1 AS a, 'x' AS b ORDER BY a WITH FILL FROM 1 TO 3 INTERPOLATE (b AS file('FILE'))"),
    ("file_window", "SELECT sum(1) OVER (ORDER BY file('FILE'))"),
    ("file_limit", "SELECT 1 LIMIT (SELECT length(file('FILE')))"),
    ("file_where", "SELECT count() FROM events WHERE file('FILE') LIKE 'a%'"),
    ("file_prewhere", "SELECT count() FROM events PREWHERE file('FILE') != ''"),
    ("file_join", "SELECT 1 FROM events AS a JOIN events AS b ON a.event_id = b.event_id AND file('FILE') = ''"),
    ("file_union", "SELECT 'x' UNION ALL SELECT file('FILE')"),
    ("file_except", "SELECT 'x' EXCEPT SELECT file('FILE')"),
    ("file_error", "SELECT toUInt8(file('FILE'))"),
    ("file_reduce", "SELECT arrayReduce('file', ['FILE'])"),
    ("file_reduce_built", "SELECT arrayReduce(concat('s', 'um'), [1])"),
    ("file_parameter", "SELECT arrayMap({p:Identifier}, ['FILE'])"),
    ("file_of_format", "SELECT 1 FORMAT CSV SETTINGS format_schema = 'FILE'"),
    ("cat_boost", "SELECT catboostEvaluate('FILE', 1)"),
    ("bayes", "SELECT naiveBayesClassifier('FILE', 'x')"),
    ("dictionary", "SELECT dictGet('x', 'y', 1)"),
    ("join_get", "SELECT joinGet('events', 'event_name', 1)"),
    // Table functions.
    ("table_file", "SELECT * FROM file('FILE', 'RawBLOB')"),
    ("table_file_cased", "SELECT * FROM FiLe('FILE', 'RawBLOB')"),
    ("table_file_quoted", "SELECT * FROM `file`('FILE', 'RawBLOB')"),
    ("table_by_path", "SELECT * FROM `FILE`"),
    ("table_by_path_default", "SELECT * FROM default.`FILE`"),
    ("table_by_string", "SELECT * FROM 'FILE'"),
    ("table_url", "SELECT * FROM url('URL', 'RawBLOB')"),
    ("table_url_alias", "SELECT * FROM clusterAllReplicas('default', url('URL', 'RawBLOB')) AS `table_function_name: numbers,`"),
    ("table_s3", "SELECT * FROM s3('URL', 'RawBLOB')"),
    ("table_remote", "SELECT * FROM remote('127.0.0.1', system.one)"),
    ("table_remote_secure", "SELECT * FROM remoteSecure('127.0.0.1', view(SELECT file('FILE')))"),
    ("table_cluster", "SELECT * FROM cluster('default', file('FILE', 'RawBLOB'))"),
    ("table_cluster_system", "SELECT * FROM cluster('default', system.processes)"),
    ("table_executable", "SELECT * FROM executable('FILE', 'TSV', 'a String')"),
    ("table_input", "SELECT * FROM input('a String')"),
    ("table_merge", "SELECT * FROM merge('system', 'one')"),
    ("table_merge_short", "SELECT * FROM merge('.*')"),
    ("table_view", "SELECT * FROM view(SELECT file('FILE'))"),
    ("table_view_if", "SELECT * FROM viewIfPermitted(SELECT file('FILE') ELSE null('a String'))"),
    ("table_explain", "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT file('FILE')))"),
    ("table_explain_short", "SELECT * FROM (EXPLAIN SELECT file('FILE'))"),
    ("table_eval", "SELECT * FROM eval('SELECT file(''FILE'')')"),
    ("table_loop", "SELECT * FROM loop(system.one) LIMIT 1"),
    ("table_mysql", "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')"),
    ("table_postgresql", "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')"),
    ("table_mongodb", "SELECT * FROM mongodb('127.0.0.1:1', 'd', 't', 'u', 'p', 'a String')"),
    ("table_redis", "SELECT * FROM redis('127.0.0.1:1', 'k', 'k String')"),
    ("table_sqlite", "SELECT * FROM sqlite('FILE', 't')"),
    ("table_odbc", "SELECT * FROM odbc('DSN=x', 'd', 't')"),
    ("table_hdfs", "SELECT * FROM hdfs('hdfs://127.0.0.1:1/x', 'TSV')"),
    ("table_azure", "SELECT * FROM azureBlobStorage('URL', 'c', 'p')"),
    ("table_delta", "SELECT * FROM deltaLakeLocal('FILE')"),
    ("table_iceberg", "SELECT * FROM icebergLocal('FILE')"),
    ("table_fuzz", "SELECT * FROM fuzzJSON('{}')"),
    ("table_random", "SELECT * FROM generateRandom('a String') LIMIT 1"),
    ("table_null", "SELECT * FROM null('a String')"),
    ("table_format", "SELECT * FROM format(TSV, 'a String', 'x')"),
    ("table_dictionary", "SELECT * FROM dictionary('x')"),
    ("table_filesystem", "SELECT * FROM filesystem('FILE')"),
    ("table_values_select", "SELECT * FROM values('a String', (SELECT file('FILE')))"),
    ("table_numbers_file", "SELECT * FROM numbers(length(file('FILE')))"),
    ("table_parts", "SELECT * FROM mergeTreeIndex(currentDatabase(), 'events')"),
    // Tables outside of the database.
    ("system", "SELECT query FROM system.processes"),
    ("system_in", "SELECT 1 WHERE 'x' IN system.one"),
    ("system_in_quoted", "SELECT 1 WHERE 'x' IN `system`.`one`"),
    ("system_join", "SELECT 1 FROM events JOIN system.users AS events ON 1 = 1"),
    ("system_scalar", "SELECT (SELECT groupArray(name) FROM system.settings)"),
    ("system_alias", "SELECT * FROM system.one AS `millrace.events`"),
    ("system_after_with", "WITH system AS (SELECT 1 AS a) SELECT * FROM system.one"),
    ("system_shadowed", "WITH events AS (SELECT * FROM system.tables) SELECT count() FROM events"),
    ("information_schema", "SELECT * FROM information_schema.tables"),
    ("other_database", "SELECT * FROM default.secrets"),
    ("parameter_table", "SELECT * FROM {t:Identifier}"),
    // Information about the server and the user.
    ("host", "SELECT hostName()"),
    ("user", "SELECT currentUser()"),
    ("setting", "SELECT getSetting('max_memory_usage')"),
    ("variable", "SELECT @@version"),
    ("macro", "SELECT getMacro('x')"),
    ("lines", "SELECT addressToLine(1)"),
    ("sleeps", "SELECT sleep(3)"),
    // Not a single plain SELECT.
    ("two", "SELECT 1; SELECT toUInt8(file('FILE'))"),
    ("two_hidden", "SELECT 1 /* ; */ ;-- \nSELECT 2"),
    ("closes_parenthesis", "SELECT 1) UNION ALL (SELECT file('FILE')"),
    ("outfile", "SELECT 1 INTO OUTFILE 'FILE.2'"),
    ("outfile_split", "SELECT 1 INTO /* */ OUTFILE 'FILE.2' TRUNCATE FORMAT CSV"),
    ("settings", "SELECT 1 SETTINGS max_execution_time = 0"),
    ("settings_inner", "SELECT * FROM (SELECT 1 SETTINGS readonly = 0)"),
    ("format", "SELECT 1 FORMAT Vertical"),
    ("explain", "EXPLAIN SELECT file('FILE')"),
    ("describe", "DESCRIBE TABLE file('FILE')"),
    ("show", "SHOW TABLES FROM system"),
    ("sets", "SET readonly = 0"),
    ("inserts", "INSERT INTO events (event_name) VALUES ('x')"),
    ("creates", "CREATE TABLE x (a UInt8) ENGINE = Memory"),
    ("parallel", "SELECT 1 PARALLEL WITH SELECT 2"),
    ("from_first", "FROM system.one SELECT file('FILE')"),
    ("bare", "file('FILE')"),
    ("with_totals", "WITH TOTALS HAVING (SELECT file('FILE')) = ''"),
    ("state", "SELECT CAST(unhex('00'), 'AggregateFunction(sum, UInt8)')"),
    ("state_built", "SELECT CAST(unhex('00'), concat('Aggregate', 'Function(sum, UInt8)'))"),
    ("unended", "SELECT 1 /* file('FILE')"),
];

#[tokio::test]
async fn hostile_panels_are_rejected_without_leaking() {
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("secret.txt");
    std::fs::write(&file, SECRET).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, sql) in HOSTILE {
        let sql = sql.replace("FILE", file.to_str().unwrap()).replace("URL", &format!("http://{address}/"));
        // Restores OUTFILE.
        let sql = sql.replace(&format!("OUT{}", file.display()), "OUTFILE");
        write_panel(
            folder.path(),
            name,
            &format!("{HEADER}-- parameter: t String = events\n-- parameter: p String = file\n{sql}"),
        );
    }
    let server = TestServer::start_with(&[("MILLRACE_PANELS_DIR", folder.path().to_str().unwrap())]);
    let names: Vec<&str> = HOSTILE.iter().map(|(name, _)| *name).collect();
    assert!(names.len() >= 40);
    let list = wait_until_checked(&server, &names).await;
    for name in names {
        assert!(!list.panels.iter().any(|panel| panel.name == name), "{name} is published");
        let broken = list.broken.iter().find(|broken| broken.file == format!("{name}.sql")).unwrap();
        println!("{}:{}: {}", broken.file, broken.line, broken.message);
    }
    let listing = format!("{list:?}");
    assert!(!listing.contains(SECRET), "{listing}");
    let (_, page) = http_request(&server, "GET", "/api/panels", "application/json", b"");
    assert!(!String::from_utf8_lossy(&page).contains(SECRET));
    assert!(!server.log().contains(SECRET));
    assert!(listener.accept().is_err(), "the address was opened");
    assert_eq!(std::fs::read_dir(secrets.path()).unwrap().count(), 1, "a file was written");
    assert_eq!(server.sql("SELECT count() FROM events").await, "0");
}

/// The second and the third check do not depend on the first: each rejects hostile statements on its own.
#[tokio::test]
async fn each_check_is_independent() {
    use millrace::internals::panels::sandbox::{ast, query_tree};
    let server = TestServer::start();
    let rows = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (mut by_syntax, mut by_resolution) = (0, 0);
    for (name, sql) in HOSTILE {
        if !sql.starts_with("SELECT") && !sql.starts_with("WITH")
            || sql.contains(';')
            || sql.contains("OUTFILE")
        {
            continue;
        }
        let sql = sql.replace("FILE", "/nowhere/x");
        // Skipped if ClickHouse itself rejects the statement.
        if let Ok(tree) = server.try_sql(&format!("EXPLAIN AST {sql}")).await {
            let needs_resolution =
                name.starts_with("state") || name.starts_with("format") || name.starts_with("file_of");
            let rejected = ast::check(&rows(tree.clone()), "millrace").is_err();
            assert!(rejected || needs_resolution, "{name}: {tree}");
            by_syntax += usize::from(rejected);
        }
        // These would wait for their addresses.
        if name.starts_with("table_") || *name == "sleeps" {
            continue;
        }
        if let Ok(tree) =
            server.try_sql(&format!("EXPLAIN QUERY TREE run_passes = 1, passes = 1 {sql}")).await
        {
            by_resolution += usize::from(query_tree::check(&rows(tree), "millrace").is_err());
        }
    }
    println!("rejected by syntax {by_syntax}, by resolution {by_resolution}");
    assert!(by_syntax >= 70 && by_resolution >= 10, "{by_syntax} {by_resolution}");
    let by_name = "SELECT arrayMap(file, materialize(['x'])) AS `function_name: plus,`";
    let tree = server.sql(&format!("EXPLAIN QUERY TREE run_passes = 1, passes = 1 {by_name}")).await;
    assert!(query_tree::check(&rows(tree), "millrace").is_err());
}

/// Realistic panels.
#[rustfmt::skip]
const ORDINARY: &[(&str, &str)] = &[
    ("count", "SELECT count() AS events FROM events"),
    ("qualified", "SELECT COUNT(*) AS events FROM millrace.events AS e WHERE e.event_name != ''"),
    ("by_name", "SELECT event_name, count() AS n FROM events GROUP BY event_name ORDER BY n DESC LIMIT 10;"),
    ("format_column", "SELECT device_type AS format, count() AS n FROM events GROUP BY format ORDER BY n -- FORMAT CSV"),
    ("range", "SELECT toStartOfHour(timestamp) AS hour, uniq(session_id) FROM events WHERE timestamp >= {range_start:DateTime64(3, 'UTC')} AND timestamp < {range_end:DateTime64(3, 'UTC')} GROUP BY hour"),
    ("buckets", "SELECT toDateTime(arrayJoin({buckets:Array(UInt32)}), 'UTC') AS bucket, {buckets:Array(UInt32)}[-1] AS last"),
    ("with", "WITH a AS (SELECT session_id, count() AS n FROM events GROUP BY session_id), b AS (SELECT avg(n) AS m FROM a) SELECT m FROM b"),
    ("with_expression", "WITH 5 AS least, (SELECT count() FROM events) AS total SELECT total, least, total > least AS enough"),
    ("with_recursive", "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT sum(n) FROM r"),
    ("shadow", "WITH events AS (SELECT 1 AS a) SELECT a FROM events"),
    ("combinators", "SELECT countIf(event_name = 'x'), sumIf(1, user_id IS NOT NULL), uniqExactIf(session_id, 1), avgOrNull(1), sumOrDefaultIf(1, 0), groupUniqArrayArray([1, 2]), argMaxIf(event_name, timestamp, 1), sumMap(map('a', 1)) FROM events"),
    ("merge", "SELECT start, uniqUpToMerge(100)(few_sessions) AS few, groupBitmapMerge(sessions) AS bits FROM rollup GROUP BY start"),
    ("states", "SELECT finalizeAggregation(s) FROM (SELECT uniqState(session_id) AS s FROM events)"),
    ("quantiles", "SELECT quantile(0.5)(x), quantiles(0.5, 0.9, 0.99)(x), quantileTDigestIf(0.9)(x, x > 1), median(x) FROM (SELECT JSONExtractFloat(properties, 'duration_ms') AS x FROM events)"),
    ("arrays", "SELECT arrayMap(x -> x * 2, [1, 2]), arrayFilter((x, y) -> x > y, [1, 2], [0, 3]), arraySum(x -> x, range(5)), has([1], 1), arrayMap(lower, ['A']), arraySum(a), arrayStringConcat(['a'], ', '), arrayReduce('sum', [1, 2]), [1, 2, 3][1], tuple(1, 'a').2, length(a) FROM (SELECT [1, 2] AS a)"),
    ("array_join", "SELECT tag, count() FROM (SELECT ['a', 'b'] AS tags) ARRAY JOIN tags AS tag GROUP BY tag"),
    ("left_array_join", "SELECT a, x FROM (SELECT 1 AS a, [] :: Array(UInt8) AS xs) LEFT ARRAY JOIN xs AS x"),
    ("json", "SELECT JSONExtractString(properties, 'utm', 'source') AS s, JSONExtract(properties, 'n', 'Nullable(Float64)') AS n, JSON_VALUE(properties, '$.a'), JSONExtractKeysAndValues(properties, 'String') FROM events"),
    ("windows", "SELECT hour, n, sum(n) OVER (ORDER BY hour ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS moving, lagInFrame(n, 1) OVER w AS before, row_number() OVER w, rank() OVER (PARTITION BY hour ORDER BY n DESC) FROM (SELECT toStartOfHour(timestamp) AS hour, count() AS n FROM events GROUP BY hour) WINDOW w AS (ORDER BY hour)"),
    ("limit_by", "SELECT event_name, session_id, count() AS n FROM events GROUP BY event_name, session_id ORDER BY n DESC LIMIT 3 BY event_name LIMIT 30"),
    ("final", "SELECT sum(events) FROM rollup FINAL PREWHERE start > now() - INTERVAL 1 DAY WHERE events > 0"),
    ("sample_case", "SELECT CASE WHEN event_name = 'a' THEN 'A' WHEN event_name = 'b' THEN 'B' ELSE 'other' END AS kind, CASE device_type WHEN 'x' THEN 1 ELSE 0 END AS d, multiIf(1, 'a', 2, 'b', 'c'), if(1, 2, 3), count() FROM events GROUP BY kind, d"),
    ("intervals", "SELECT now() - INTERVAL 7 DAY AS a, now() + toIntervalHour(1) AS b, date_add(DAY, 1, today()) AS c, dateDiff('day', a, b) AS d, DATE_TRUNC('week', now()) AS e, toStartOfInterval(now(), INTERVAL 15 MINUTE) AS f, EXTRACT(YEAR FROM now()) AS g"),
    ("casts", "SELECT CAST(1 AS UInt8), '1'::Float64, toInt32('1'), CAST('1', 'Nullable(UInt64)'), 1::Decimal(10, 2), toDecimal64(1, 2), accurateCastOrNull('x', 'UInt8'), DATE '2026-01-01', ['a']::Array(LowCardinality(String))"),
    ("maps", "SELECT map('a', 1, 'b', 2)['a'] AS a, mapKeys(map('a', 1)), CAST(([1], ['x']), 'Map(UInt8, String)')"),
    ("joins", "SELECT a.session_id, b.n FROM (SELECT DISTINCT session_id FROM events) AS a LEFT JOIN (SELECT session_id, count() AS n FROM events GROUP BY session_id) AS b USING (session_id)"),
    ("joins_on", "SELECT count() FROM events AS a ANY INNER JOIN events AS b ON a.session_id = b.session_id AND a.event_name = 'x' CROSS JOIN numbers(2) AS c"),
    ("union", "(SELECT 'a' AS k, 1 AS v) UNION ALL (SELECT 'b', 2) UNION DISTINCT SELECT 'b', 2"),
    ("except", "SELECT number FROM numbers(5) EXCEPT SELECT 3 INTERSECT SELECT number FROM numbers(3)"),
    ("in", "SELECT count() FROM events WHERE event_name IN ('a', 'b') AND session_id IN (SELECT session_id FROM events WHERE event_name = 'c') AND (event_name, device_type) NOT IN (('a', 'b')) AND event_name GLOBAL IN ('x')"),
    ("in_table", "WITH names AS (SELECT 'a' AS n) SELECT count() FROM events WHERE event_name IN names"),
    ("exists", "SELECT count() FROM events WHERE EXISTS (SELECT 1 FROM rollup) AND NOT EXISTS (SELECT 1 FROM numbers(0))"),
    ("rollup", "SELECT event_name, device_type, count(), grouping(event_name) FROM events GROUP BY GROUPING SETS ((event_name), (device_type)) ORDER BY ALL"),
    ("totals", "SELECT number % 3 AS n, count() FROM numbers(9) GROUP BY n WITH TOTALS HAVING count() > 0"),
    ("fill", "SELECT toStartOfMinute(now()) AS m, 1 AS n ORDER BY m WITH FILL FROM toStartOfMinute(now() - 600) TO now() STEP INTERVAL 1 MINUTE INTERPOLATE (n AS n + 1)"),
    ("columns", "SELECT * EXCEPT (properties) REPLACE (lower(event_name) AS event_name), COLUMNS('_type$') FROM events LIMIT 1"),
    ("funnel", "SELECT windowFunnel(3600)(toDateTime(timestamp), event_name = 'signup_started', event_name = 'signup_completed') AS level FROM events GROUP BY session_id"),
    ("retention", "SELECT sum(r[1]), sum(r[2]) FROM (SELECT retention(event_name = 'a', event_name = 'b') AS r FROM events GROUP BY session_id)"),
    ("topk", "SELECT topK(5)(event_name), groupArray(3)(event_name), sequenceMatch('(?1).*(?2)')(toDateTime(timestamp), event_name = 'a', event_name = 'b'), anyLast(user_id), groupArraySample(2)(session_id) FROM events"),
    ("strings", "SELECT concat('a', 'b') || 'c', lower('A'), substring('abc', 2), splitByChar('/', '/a/b')[2], replaceRegexpOne('x1', '\\\\d', ''), match('a', '^a'), 'a' LIKE '%a%', trim(BOTH ' ' FROM ' a '), format('{} of {}', 'a', 'b'), domain('https://a.b/c'), cutQueryString('/a?b'), path('https://a/b'), left('abc', 1), position('abc', 'b'), formatReadableSize(1000), ';' AS `semi ; colon`"),
    ("words_as_names", "SELECT 1 AS file, 2 AS url, 3 AS user, 4 AS version, 5 AS settings, file + url AS sum_of_both, uniq(file) FROM (SELECT 1) GROUP BY ALL"),
    ("quoted_names", "SELECT count() AS \"Events (total)\", 100 * countIf(user_id IS NULL) / count() AS `share, %` FROM events"),
    ("between", "SELECT count() FROM events WHERE toHour(timestamp) BETWEEN 8 AND 18 AND NOT (country_code = 'US') AND user_id IS NOT NULL OR length(session_id) > 3"),
    ("distinct", "SELECT DISTINCT ON (event_name) event_name, count(DISTINCT session_id) OVER () FROM events"),
    ("heredoc", "SELECT $$it's$$ AS a, $t$ ; file( $t$ AS b -- file('x'); \n/* SELECT /* file('x') */ ; */"),
    ("filter", "SELECT count() FILTER (WHERE event_name = 'a') AS a, sum(1) FILTER (WHERE 0) AS b FROM events"),
    ("zones", "SELECT toTimeZone(now(), {time_zone:String}) AS t, toStartOfDay(now(), {time_zone:String}) AS d, formatDateTime(now(), '%F', 'Europe/Madrid')"),
    ("own_parameters", "SELECT {text:String} AS t, {least:Float64} AS l FROM events WHERE event_name = {text:String} HAVING count() >= {least:Float64} LIMIT {limit:UInt16} OFFSET 0"),
    ("qualify", "SELECT event_name, count() AS n FROM events GROUP BY event_name QUALIFY row_number() OVER (ORDER BY n DESC) <= 3"),
    ("stats", "SELECT corr(a, b), stddevPop(a), varSamp(b), simpleLinearRegression(a, b), exponentialMovingAverage(5)(a, b), deltaSum(a), skewPop(a) FROM (SELECT number AS a, number * 2 AS b FROM numbers(10))"),
    ("hashes", "SELECT cityHash64('a'), hex(MD5('a')), sipHash64(1), rand() >= 0, generateUUIDv4() IS NOT NULL, toString(toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0'))"),
    ("transforms", "SELECT transform(country_code, ['US'], ['United States'], 'other') AS c, ifNull(user_id, session_id) AS v, coalesce(user_id, ''), nullIf(1, 1), greatest(1, 2), round(1.5), floor(1.5), intDiv(3, 2), 3 % 2, -1, 1 = 1 ? 'y' : 'n', bar(1, 0, 2, 5) FROM events"),
    ("values", "SELECT a FROM values('a UInt8, b String', (1, 'x'), (2, 'y')) WHERE b = 'x'"),
    ("series", "SELECT toDate('2026-01-01') + number AS day FROM numbers(7) ORDER BY day"),
    ("own_tables", "SELECT sum(events) FROM rollup UNION ALL SELECT count() FROM events"),
];

#[tokio::test]
async fn ordinary_panels_are_published() {
    let folder = tempfile::tempdir().unwrap();
    let parameters = "-- parameter: text String = x\n-- parameter: least Float64 = 0\n-- parameter: limit UInt16 = 5 from 1 to 9\n";
    for (name, sql) in ORDINARY {
        write_panel(folder.path(), name, &format!("{HEADER}{parameters}{sql}"));
    }
    // The example of the documentation, and the built-in panels as a user's own.
    let documentation = include_str!("../../docs/panels.md");
    let example = documentation.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    write_panel(folder.path(), "documented", example);
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries/panels");
    let mut names: Vec<String> = ORDINARY.iter().map(|(name, _)| (*name).to_owned()).collect();
    names.push("documented".to_owned());
    for entry in std::fs::read_dir(built_in).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("my_{}", path.file_stem().unwrap().to_str().unwrap());
        write_panel(folder.path(), &name, &std::fs::read_to_string(path).unwrap());
        names.push(name);
    }
    assert!(names.len() >= 25 + 9);
    let server = TestServer::start_with(&[("MILLRACE_PANELS_DIR", folder.path().to_str().unwrap())]);
    server.ingest().await.send_events(events_request(vec![event("a"), event("b")])).await.unwrap();
    server.wait_until_landed().await;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let list = wait_until_checked(&server, &names).await;
    let broken: BTreeMap<&str, &str> =
        list.broken.iter().map(|broken| (broken.file.as_str(), broken.message.as_str())).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The list was made from one version of the engine. Every function of a newer one must be reviewed.
#[tokio::test]
async fn every_engine_function_is_listed() {
    use millrace::internals::panels::sandbox::functions;
    let server = TestServer::start();
    let functions =
        server.sql("SELECT name FROM system.functions WHERE alias_to != '' OR origin = 'System'").await;
    let is_unlisted =
        |checked: Result<(), functions::Denied>| checked.is_err_and(functions::Denied::is_unlisted);
    let unknown: Vec<&str> =
        functions.lines().filter(|name| is_unlisted(functions::check_function(name))).collect();
    assert!(functions.lines().count() > 1_000 && unknown.is_empty(), "{unknown:?}");
    let tables = server.sql("SELECT name FROM system.table_functions").await;
    let unknown: Vec<&str> =
        tables.lines().filter(|name| is_unlisted(functions::check_table_function(name))).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let aggregates = server.sql("SELECT name FROM system.functions WHERE is_aggregate").await;
    let unknown: Vec<&str> = aggregates
        .lines()
        .filter(|name| functions::check_function(name).is_ok() && !functions::is_aggregate(name))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let combinators = server.sql("SELECT name FROM system.aggregate_function_combinators").await;
    let unknown: Vec<&str> =
        combinators.lines().filter(|name| !functions::is_aggregate(&format!("sum{name}"))).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let higher = server.sql("SELECT name FROM system.functions WHERE higher_order").await;
    let unknown: Vec<&str> = higher.lines().filter(|name| !functions::is_higher_order(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Panels that try to read the rows of another project. Each returns the projects that it finds in its first column, or
/// nothing.
#[rustfmt::skip]
const OTHER_PROJECT: &[(&str, &str)] = &[
    ("plain", "SELECT DISTINCT project FROM events"),
    ("rollup", "SELECT DISTINCT project FROM rollup FINAL"),
    ("alias", "SELECT DISTINCT x.project FROM millrace.events AS x"),
    ("swapped_alias", "SELECT DISTINCT events.project FROM rollup AS events"),
    ("cte", "WITH events AS (SELECT * FROM millrace.rollup) SELECT DISTINCT project FROM events"),
    ("in", "SELECT 'other' AS project WHERE 'other' IN (SELECT project FROM rollup)"),
    ("in_cte", "WITH p AS (SELECT toString(project) FROM events) SELECT 'other' AS project WHERE 'other' IN p"),
    ("join", "SELECT DISTINCT b.project FROM numbers(1) AS a CROSS JOIN (SELECT project FROM rollup) AS b"),
    ("full_join", "SELECT DISTINCT b.project FROM events AS a FULL JOIN rollup AS b ON a.project = b.project"),
    ("union", "SELECT DISTINCT project FROM (SELECT project FROM rollup UNION ALL SELECT project FROM events)"),
    ("prewhere", "SELECT DISTINCT project FROM events PREWHERE project != 'default'"),
    ("condition", "SELECT DISTINCT project FROM events WHERE project = 'other' OR 1"),
    ("maximum", "SELECT toString(max(project)) AS project FROM events"),
    ("template", "SELECT DISTINCT if(events = 2, 'other', 'default') AS project FROM (SELECT sum(events) AS events FROM {{series('')}})"),
    ("counted", "SELECT if(count() = 2, 'other', 'default') AS project FROM events"),
    ("parameter", "SELECT {project:String} AS project"),
];

/// Panels that would read tables without a row filter.
#[rustfmt::skip]
const UNFILTERED: &[(&str, &str)] = &[
    ("merge", "SELECT project FROM merge('millrace', 'events')"),
    ("index", "SELECT * FROM mergeTreeIndex('millrace', 'rollup')"),
    ("projection", "SELECT * FROM mergeTreeProjection('millrace', 'events', 'p')"),
    ("remote", "SELECT project FROM remote('127.0.0.1', millrace.events)"),
    ("loop", "SELECT project FROM loop(millrace.events) LIMIT 1"),
    ("view", "SELECT project FROM view(SELECT project FROM millrace.events)"),
    ("dictionary", "SELECT dictGet('events', 'project', 1)"),
    ("parts", "SELECT * FROM system.parts"),
    ("columns", "SELECT * FROM system.parts_columns"),
    ("migrations", "SELECT * FROM schema_migrations"),
    ("staging", "SELECT * FROM millrace.events_copy"),
    ("staging_in", "SELECT 1 WHERE 'other' IN (SELECT project FROM events_copy)"),
    ("settings", "SELECT project FROM events SETTINGS additional_table_filters = {}"),
];

#[tokio::test]
async fn a_panel_reads_the_rows_of_one_project_only() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_with(&[
        ("MILLRACE_PANELS_DIR", folder.path().to_str().unwrap()),
        ("PANEL_CACHE_MS", "0"),
    ]);
    server.ingest().await.send_events(events_request(vec![event("page_view")])).await.unwrap();
    server.wait_until_landed().await;
    for table in ["events", "rollup"] {
        server.sql(&format!("INSERT INTO {table} SELECT * REPLACE ('other' AS project) FROM {table}")).await;
    }
    server.sql("CREATE TABLE events_copy AS events").await;
    for (name, statement) in OTHER_PROJECT.iter().chain(UNFILTERED) {
        write_panel(folder.path(), name, &format!("{HEADER}{statement}\n"));
    }
    let names: Vec<&str> = OTHER_PROJECT.iter().chain(UNFILTERED).map(|(name, _)| *name).collect();
    let list = wait_until_checked(&server, &names).await;
    let mut dashboard = server.dashboard().await;
    for (name, statement) in OTHER_PROJECT {
        let request = v1::QueryPanelRequest { panel: (*name).into(), ..Default::default() };
        let table = dashboard.query_panel(request).await.unwrap().into_inner().table.unwrap();
        for row in table.rows {
            let value = row.values[0].kind.clone();
            let default = v1::value::Kind::StringValue("default".into());
            let empty = v1::value::Kind::StringValue(String::new());
            assert!(
                value.as_ref().is_none_or(|value| *value == default || *value == empty),
                "{statement}: {value:?}"
            );
        }
    }
    for (name, statement) in UNFILTERED {
        assert!(list.broken.iter().any(|broken| broken.file == format!("{name}.sql")), "{statement}");
        assert!(!list.panels.iter().any(|panel| panel.name == *name), "{statement}");
    }
}
