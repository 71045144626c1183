//! People: the tables that the task keeps, and the calls that read them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_client::proto::v1;
use tonic::Code;
use v1::event::PropertiesKind;
use v1::people_service_client::PeopleServiceClient;

use crate::common::{TIMEOUT, TestServer, event, events_request, http_request};

/// Everything that a table of people has and the events do not say, or the other way round. The expected rows are computed in
/// another way than by the task: by sorting.
pub(crate) const DIFFERENCES: [(&str, &str); 4] = [
    (
        "session_users",
        "SELECT count() FROM (SELECT project, session_id, xxh3(session_id) AS session, \
         arraySort(groupArray((timestamp, assumeNotNull(user_id))))[1] AS first FROM events \
         WHERE user_id IS NOT NULL AND session_id != '' GROUP BY project, session_id) AS expected FULL JOIN \
         (SELECT project, session, session_id, first_user FROM session_users FINAL) AS stored \
         ON stored.project = expected.project AND stored.session = expected.session \
         WHERE stored.session_id != expected.session_id OR stored.first_user != expected.first",
    ),
    (
        "people",
        "SELECT count() FROM (SELECT project, ifNull(user_id, session_id) AS id, isNotNull(user_id) AS is_user, \
         arraySort(groupArray((timestamp, toString(country_code)))) AS countries, \
         arraySort(groupArray((timestamp, toString(device_type)))) AS devices, \
         arrayFilter(c -> c.2 NOT IN ('', 'ZZ'), countries) AS known_countries, \
         arrayFilter(d -> d.2 NOT IN ('', 'unknown'), devices) AS known_devices \
         FROM events WHERE id != '' GROUP BY project, id, is_user) AS expected FULL JOIN people AS stored FINAL \
         ON stored.project = expected.project AND stored.id = expected.id AND stored.is_user = expected.is_user \
         WHERE stored.id != expected.id OR first_seen != countries[1].1 OR last_seen != countries[-1].1 \
         OR first_country.1 != if(empty(known_countries), toDateTime64('2299-12-31', 3, 'UTC'), known_countries[1].1) \
         OR NOT has(known_countries, first_country) AND first_country.2 != '' \
         OR last_country.1 != known_countries[-1].1 OR NOT has(known_countries, last_country) AND last_country.2 != '' \
         OR first_device.1 != if(empty(known_devices), toDateTime64('2299-12-31', 3, 'UTC'), known_devices[1].1) \
         OR NOT has(known_devices, first_device) AND first_device.2 != '' \
         OR last_device.1 != known_devices[-1].1 OR NOT has(known_devices, last_device) AND last_device.2 != ''",
    ),
    (
        "first_events",
        "SELECT count() FROM (SELECT project, event_name, xxh3(ifNull(user_id, session_id)) AS person, \
         isNotNull(user_id) AS is_user, arraySort(groupArray(timestamp))[1] AS first FROM events \
         WHERE ifNull(user_id, session_id) != '' GROUP BY project, event_name, person, is_user) AS expected FULL JOIN \
         first_events AS stored FINAL ON stored.project = expected.project AND stored.event_name = expected.event_name \
         AND stored.person = expected.person AND stored.is_user = expected.is_user WHERE first_time != first",
    ),
    (
        "traits",
        "SELECT count() FROM (SELECT project, ifNull(user_id, session_id) AS id, isNotNull(user_id) AS is_user, \
         trait.1 AS name, arraySort(groupArray((timestamp, trait.2)))[-1] AS latest FROM events \
         ARRAY JOIN JSONExtractKeysAndValuesRaw(properties) AS trait WHERE event_name = 'identify' AND id != '' \
         GROUP BY project, id, is_user, name) AS expected FULL JOIN traits AS stored FINAL \
         ON stored.project = expected.project AND stored.id = expected.id AND stored.is_user = expected.is_user \
         AND stored.name = expected.name WHERE stored.latest != expected.latest",
    ),
];

/// Whether every stored event was added to the tables of people.
const IS_ADDED: &str = "SELECT (SELECT ifNull(max(toUInt128(batch)), 0) FROM events) \
    < (SELECT argMax(people_marks.mark, version) FROM people_marks WHERE name = 'landed') \
    AND (SELECT countIf(last = 0) = 0 FROM (SELECT argMax(people_marks.mark, version) AS last FROM people_marks \
    WHERE name != 'landed' GROUP BY name))";

/// Waits until the task has added what is stored.
pub(crate) async fn wait_until_added(server: &TestServer) {
    let deadline = Instant::now() + TIMEOUT;
    while server.sql(IS_ADDED).await != "1" {
        assert!(Instant::now() < deadline, "events are not added to the tables of people:\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the task has added what is stored, and compares every table of people with `events`.
pub(crate) async fn assert_people_match_events(server: &TestServer) {
    wait_until_added(server).await;
    for (table, differences) in DIFFERENCES {
        assert_eq!(server.sql(differences).await, "0", "{table}:\n{}", server.log());
    }
}

/// An event of a session, some seconds ago.
fn event_of(name: &str, session: &str, user: &str, seconds_ago: i64) -> v1::Event {
    let timestamp = jiff::Timestamp::now().as_millisecond() - seconds_ago * 1_000;
    v1::Event {
        session_id: session.into(),
        user_id: Some(user.into()),
        timestamp: Some(millrace::internals::proto::timestamp_from_millis(timestamp)),
        ..event(name)
    }
}

async fn send(server: &TestServer, events: Vec<v1::Event>) {
    let response = server.ingest().await.send_events(events_request(events)).await.unwrap().into_inner();
    assert!(response.rejections.is_empty(), "{response:?}");
}

async fn first_users(server: &TestServer) -> String {
    server.sql("SELECT session_id, first_user.2 FROM session_users FINAL ORDER BY session_id").await
}

#[tokio::test]
async fn a_session_belongs_to_its_first_user_by_the_time_of_the_events() {
    let server = TestServer::start();
    let same = event_of("page_view", "tie", "b", 50);
    send(
        &server,
        vec![
            event_of("page_view", "shared", "", 100),
            event_of("page_view", "shared", "second", 80),
            event_of("page_view", "shared", "third", 70),
            v1::Event { user_id: Some("a".into()), ..same.clone() },
            same.clone(),
            v1::Event { user_id: Some("c".into()), ..same },
            event_of("page_view", "anonymous", "", 60),
            event_of("page_view", "", "without a session", 60),
        ],
    )
    .await;
    server.wait_until_landed().await;
    assert_people_match_events(&server).await;
    assert_eq!(first_users(&server).await, "shared\tsecond\ntie\ta");
    // A late event is of an earlier user.
    send(&server, vec![event_of("page_view", "shared", "first", 90)]).await;
    server.wait_until_landed().await;
    assert_people_match_events(&server).await;
    assert_eq!(first_users(&server).await, "shared\tfirst\ntie\ta");
    let people = "SELECT id, is_user FROM people FINAL ORDER BY is_user, id";
    assert_eq!(
        server.sql(people).await,
        "anonymous\tfalse\nshared\tfalse\na\ttrue\nb\ttrue\nc\ttrue\nfirst\ttrue\nsecond\ttrue\nthird\ttrue\n\
         without a session\ttrue"
    );
}

#[tokio::test]
async fn the_latest_value_of_each_trait_counts() {
    let server = TestServer::start();
    let identify = |seconds_ago, traits: &str| v1::Event {
        properties_kind: Some(PropertiesKind::PropertiesJson(traits.into())),
        ..event_of("identify", "s", "u", seconds_ago)
    };
    send(
        &server,
        vec![
            identify(10, r#"{"plan":"pro","seats":5}"#),
            identify(20, r#"{"plan":"free","name":"Ada"}"#),
            v1::Event { event_name: "page_view".into(), ..identify(1, r#"{"plan":"no trait"}"#) },
        ],
    )
    .await;
    server.wait_until_landed().await;
    assert_people_match_events(&server).await;
    let traits = server.sql("SELECT name, latest.2 FROM traits FINAL ORDER BY name").await;
    assert_eq!(traits, "name\t\"Ada\"\nplan\t\"pro\"\nseats\t5");
}

/// The server is killed right after events have landed, so that the task has likely not added them.
#[tokio::test]
async fn what_landed_before_a_kill_is_added_after_the_next_start() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    for number in 0..3 {
        let server = TestServer::start_on(Arc::clone(&folder), &[]);
        for round in 0..3 {
            let (session, user) = (format!("session {number} {round}"), format!("user {number} {round}"));
            send(&server, vec![event_of("page_view", &session, &user, 10)]).await;
            server.wait_until_landed().await;
        }
        drop(server); // kill -9
    }
    let server = TestServer::start_on(folder, &[]);
    assert_people_match_events(&server).await;
    assert_eq!(server.sql("SELECT count() FROM session_users FINAL").await, "9");
}

/// The state of a data folder of an earlier version: events, and no tables of people.
#[tokio::test]
async fn the_events_of_an_older_data_folder_are_added() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let server = TestServer::start_on(Arc::clone(&folder), &[]);
    let events =
        (0..40_i64).map(|day| event_of("page_view", &format!("s{day}"), &format!("u{day}"), day * 86_400));
    send(&server, events.collect()).await;
    server.wait_until_landed().await;
    wait_until_added(&server).await;
    for table in ["session_users", "people", "first_events", "traits", "people_marks"] {
        server.sql(&format!("DROP TABLE {table} SYNC")).await;
    }
    server.sql("DELETE FROM schema_migrations WHERE name = '0008_people'").await;
    server.stop();
    let server = TestServer::start_on(Arc::clone(&folder), &[]);
    assert_people_match_events(&server).await;
    assert_eq!(server.sql("SELECT count() FROM session_users FINAL").await, "40");
    let weeks = "SELECT count() >= 6 FROM people_marks FINAL WHERE name != 'landed' AND mark = 1";
    assert_eq!(server.sql(weeks).await, "1");
}

/// As if the clock had been set back since the last run.
#[tokio::test]
async fn a_mark_in_the_future_is_lowered_before_anything_lands() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let server = TestServer::start_on(Arc::clone(&folder), &[]);
    send(&server, vec![event_of("page_view", "before", "u", 10)]).await;
    server.wait_until_landed().await;
    wait_until_added(&server).await;
    let (status, log) = server.stop();
    assert!(status.success(), "{log}");
    let server = TestServer::start_on(Arc::clone(&folder), &[]);
    server
        .sql(
            "INSERT INTO people_marks SELECT name, mark + bitShiftLeft(toUInt128(86400000), 80), version + 1000000 \
             FROM people_marks FINAL WHERE name = 'landed'",
        )
        .await;
    drop(server);
    let server = TestServer::start_on(folder, &[]);
    send(&server, vec![event_of("page_view", "after", "u", 5)]).await;
    server.wait_until_landed().await;
    assert_people_match_events(&server).await;
    assert_eq!(first_users(&server).await, "after\tu\nbefore\tu");
    let is_lowered = "SELECT max(mark) < bitShiftLeft(toUInt128(toUnixTimestamp64Milli(now64(3)) + 3600000), 80) \
                      FROM people_marks FINAL WHERE name = 'landed'";
    assert_eq!(server.sql(is_lowered).await, "1");
}

/// The id of a dead letter is below the mark when it is replayed.
#[tokio::test]
async fn the_events_of_a_replayed_dead_letter_are_added_before_it_is_deleted() {
    let server = TestServer::start();
    server.sql("ALTER TABLE events ADD CONSTRAINT no_poison CHECK event_name != 'poison'").await;
    send(&server, vec![event_of("poison", "poisoned", "u", 10)]).await;
    let batches = |health: &v1::Health| health.dead_letters.as_ref().unwrap().batches;
    server.wait_for_health("dead-lettered", |health| batches(health) == 1).await;
    send(&server, vec![event_of("page_view", "later", "u", 5)]).await;
    server.wait_for_health("landed", |health| health.events_inserted == 1).await;
    wait_until_added(&server).await;
    let letter = std::fs::read_dir(server.data_dir().join("dead-letters")).unwrap();
    let letter = letter.map(|entry| entry.unwrap().path()).find(|path| path.extension().unwrap() == "native");
    let batch = letter.unwrap().file_stem().unwrap().to_str().unwrap().to_owned();
    let is_below = format!(
        "SELECT toUInt128(toUUID('{batch}')) < max(mark) FROM people_marks FINAL WHERE name = 'landed'"
    );
    assert_eq!(server.sql(&is_below).await, "1");
    server.sql("ALTER TABLE events DROP CONSTRAINT no_poison").await;
    let replay = std::process::Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["dead-letters", "replay", "--data-dir", server.data_dir().to_str().unwrap()])
        .output()
        .unwrap();
    assert!(replay.status.success(), "{replay:?}");
    // Nothing else has to happen.
    assert_eq!(first_users(&server).await, "later\tu\npoisoned\tu");
    assert_people_match_events(&server).await;
}

async fn people(server: &TestServer) -> PeopleServiceClient<tonic::transport::Channel> {
    PeopleServiceClient::new(server.channel().await)
}

async fn person(server: &TestServer, id: &str) -> Result<v1::GetPersonResponse, tonic::Status> {
    let response = people(server).await.get_person(v1::GetPersonRequest { id: id.into() }).await?;
    Ok(response.into_inner())
}

/// The task runs at most every five seconds: most of these events are not added to the tables when they are read.
#[tokio::test]
async fn a_person_is_exact_as_soon_as_events_have_landed() {
    let server = TestServer::start();
    let anonymous = |name: &str, seconds_ago| event_of(name, "s1", "", seconds_ago);
    send(&server, vec![v1::Event { country_code: "ES".into(), ..anonymous("page_view", 100) }]).await;
    server.wait_until_landed().await;
    let before = person(&server, "s1").await.unwrap().person.unwrap();
    assert_eq!((before.id.as_str(), before.is_user, before.first_country.as_str()), ("s1", false, "ES"));
    for round in 0..3 {
        let user = format!("u{round}");
        send(&server, vec![event_of("signup", &format!("t{round}"), &user, 50)]).await;
        send(
            &server,
            vec![v1::Event { country_code: "FR".into(), ..event_of("signup", "s1", &user, 50 - round) }],
        )
        .await;
        server.wait_until_landed().await;
        let found = person(&server, "s1").await.unwrap();
        let summary = found.person.unwrap();
        // The first user stays.
        assert_eq!((summary.id.as_str(), summary.is_user), ("u0", true));
        assert_eq!((summary.first_country.as_str(), summary.last_country.as_str()), ("ES", "FR"));
        assert_eq!((found.session_ids, found.session_count), (vec!["s1".to_owned(), "t0".to_owned()], 2));
        // The first page view of the session, and the user's own two events; no other user's.
        assert_eq!((found.event_count, found.events.len()), (3, 2));
        assert_eq!(found.complete_since, None);
    }
    let second = person(&server, "u1").await.unwrap();
    assert_eq!((second.session_ids, second.event_count), (vec!["t1".to_owned()], 2));
    // The same from the tables.
    assert_people_match_events(&server).await;
    assert_eq!(person(&server, "s1").await.unwrap().event_count, 3);
}

#[tokio::test]
async fn people_are_listed_with_their_sessions_and_events() {
    let server = TestServer::start();
    let page = |page: &str, user: &str, seconds_ago| v1::Event {
        properties_kind: Some(PropertiesKind::PropertiesJson(format!(r#"{{"page_url":"{page}"}}"#))),
        device_type: "mobile".into(),
        ..event_of("page_view", "s", user, seconds_ago)
    };
    let identify = v1::Event {
        properties_kind: Some(PropertiesKind::PropertiesJson(r#"{"plan":"pro"}"#.into())),
        ..event_of("identify", "s", "ann", 7_000)
    };
    send(
        &server,
        vec![
            page("/a", "", 20_000),
            page("/b", "", 18_201),
            page("/c", "ann", 18_100),
            identify,
            page("/d", "ann", 5_201),
            event_of("other", "z", "", 90),
            event_of("other", "y", "anton", 60),
        ],
    )
    .await;
    server.wait_until_landed().await;
    let mut client = people(&server).await;
    // Exactly 30 minutes of silence end a session, less do not.
    let mut request = v1::ListSessionsRequest { id: "s".into(), page_size: 2, page_token: String::new() };
    let mut sessions = Vec::new();
    loop {
        let response = client.list_sessions(request.clone()).await.unwrap().into_inner();
        sessions.extend(response.sessions);
        request.page_token = response.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let shown: Vec<_> = sessions
        .iter()
        .map(|s| (s.events, s.first_event.as_str(), s.first_page.as_str(), s.last_page.as_str()))
        .collect();
    assert_eq!(shown, [(2, "identify", "/d", "/d"), (3, "page_view", "/a", "/c")]);
    assert!(sessions.iter().all(|session| session.device_type == "mobile"), "{sessions:?}");

    let mut request = v1::GetTimelineRequest { id: "ann".into(), page_size: 2, ..Default::default() };
    let mut events = Vec::new();
    loop {
        let response = client.get_timeline(request.clone()).await.unwrap().into_inner();
        assert!(response.events.len() <= 2);
        events.extend(response.events);
        request.page_token = response.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let names: Vec<_> =
        events.iter().map(|event| (event.event_name.as_str(), event.user_id.as_str())).collect();
    let (view, identify) = ("page_view", "identify");
    assert_eq!(names, [(view, "ann"), (identify, "ann"), (view, "ann"), (view, ""), (view, "")]);
    assert_eq!(events[1].properties_json, r#"{"plan":"pro"}"#);
    let condition = v1::FieldCondition {
        field: "page_url".into(),
        operator: v1::FieldOperator::Is.into(),
        values: vec!["/b".into(), "'; DROP".into()],
    };
    let filter = v1::EventFilter { condition: Some(v1::event_filter::Condition::Field(condition)) };
    let filtered = v1::GetTimelineRequest { id: "ann".into(), filter: Some(filter), ..Default::default() };
    assert_eq!(client.get_timeline(filtered).await.unwrap().into_inner().events.len(), 1);

    for is_added in [false, true] {
        if is_added {
            assert_people_match_events(&server).await;
        }
        let mut search = async |request: v1::SearchPeopleRequest| {
            let people = client.search_people(request).await.unwrap().into_inner().people;
            people.into_iter().map(|person| person.id).collect::<Vec<_>>()
        };
        let all = search(v1::SearchPeopleRequest::default()).await;
        assert_eq!(all, ["anton", "z", "ann"], "the session s is ann, and y is anton");
        let prefix =
            |prefix: &str| v1::SearchPeopleRequest { id_prefix: prefix.into(), ..Default::default() };
        assert_eq!(search(prefix("ant")).await, ["anton"]);
        let with_trait = |value: &str| v1::SearchPeopleRequest {
            trait_name: "plan".into(),
            trait_value: value.into(),
            ..Default::default()
        };
        assert_eq!(search(with_trait("pro")).await, ["ann"]);
        assert!(search(with_trait("free")).await.is_empty());
    }
    let first = v1::SearchPeopleRequest { page_size: 2, ..Default::default() };
    let first = client.search_people(first).await.unwrap().into_inner();
    let next = v1::SearchPeopleRequest { page_token: first.next_page_token, ..Default::default() };
    let next = client.search_people(next).await.unwrap().into_inner();
    assert_eq!((first.people.len(), next.people.len(), next.people[0].id.as_str()), (2, 1, "ann"));
    assert!(next.next_page_token.is_empty());

    let get = |path: &str| {
        let (head, body) = http_request(&server, "GET", path, "text/plain", b"");
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_slice::<serde_json::Value>(&body).unwrap())
    };
    assert_eq!(get("/api/people?search=an").1["people"][1]["id"], "ann");
    let (status, ann) = get("/api/people/s");
    assert_eq!((status, &ann["person"]["id"], &ann["event_count"]), (200, &"ann".into(), &5.into()));
    assert_eq!(ann["traits"][0]["value_json"], "\"pro\"");
    assert_eq!(get("/api/people/s/sessions").1["sessions"].as_array().unwrap().len(), 2);
    assert_eq!(get("/api/people/s/timeline?page_size=3").1["events"].as_array().unwrap().len(), 3);
    for (path, status, detail) in [
        ("/api/people/nobody", 404, "\"nobody\" was seen"),
        ("/api/people?trait=plan", 400, "trait_name and trait_value"),
        ("/api/people?page_size=101", 400, "101 is given; expected 1 to 100"),
        ("/api/people?find=x", 400, "find"),
        ("/api/people/s/timeline?page_token=x", 400, "page_token: \"x\""),
    ] {
        let (got, problem) = get(path);
        assert_eq!(got, status, "{path}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{problem}");
    }
}

#[tokio::test]
async fn people_of_another_project_never_show() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    for (project, user) in [("shop", "hers"), ("web", "his")] {
        let server = TestServer::start_on(Arc::clone(&folder), &[("MILLRACE_PROJECT", project)]);
        send(&server, vec![event_of("identify", "shared", user, 10), event_of("x", "alone", "", 10)]).await;
        server.wait_until_landed().await;
        for is_added in [false, true] {
            if is_added {
                assert_people_match_events(&server).await;
            }
            let found = person(&server, "shared").await.unwrap();
            assert_eq!((found.person.unwrap().id.as_str(), found.event_count), (user, 1));
            let all = v1::SearchPeopleRequest::default();
            let all = people(&server).await.search_people(all).await.unwrap().into_inner().people;
            assert_eq!(all.iter().map(|person| person.id.as_str()).collect::<Vec<_>>(), ["alone", user]);
            assert_eq!(person(&server, "alone").await.unwrap().event_count, 1);
        }
    }
    let server = TestServer::start_on(folder, &[("MILLRACE_PROJECT", "third")]);
    assert_eq!(person(&server, "shared").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn invalid_requests_are_rejected_with_the_value() {
    let server = TestServer::start();
    let mut client = people(&server).await;
    let long = "x".repeat(257);
    for (id, part) in [("", "id: it is empty"), (long.as_str(), "has more than 256 bytes")] {
        let error = person(&server, id).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains(part), "{error}");
    }
    let did = v1::EventFilter { condition: Some(v1::event_filter::Condition::Did(Box::default())) };
    let timeline = v1::GetTimelineRequest { id: "x".into(), filter: Some(did), ..Default::default() };
    let error = client.get_timeline(timeline).await.unwrap_err();
    assert!(error.code() == Code::InvalidArgument && error.message().starts_with("filter: "), "{error}");
    let sessions = v1::ListSessionsRequest { id: "x".into(), page_token: "zz".into(), ..Default::default() };
    let error = client.list_sessions(sessions).await.unwrap_err();
    assert!(error.message().starts_with("page_token: \"zz\""), "{error}");
    assert_eq!(person(&server, "nobody").await.unwrap_err().code(), Code::NotFound);
}
