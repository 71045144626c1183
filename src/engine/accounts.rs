//! The engine's users, and the workload that each belongs to.

use subtle::ConstantTimeEq;

/// User for ClickHouse clients other than the server, with the password in `engine.json`.
pub(crate) const DEFAULT_USER: &str = "default";
// The server's own users. They share a key that only the server and its engine know.
pub(super) const WRITER_USER: &str = "millrace-writer";
pub(super) const PANELS_USER: &str = "millrace-panels";
pub(super) const EXPLORE_USER: &str = "millrace-explore";
pub(super) const PROBE_USER: &str = "millrace-probe";

/// A group of callers with separate permits and connections, so that no workload waits for a permit of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    /// Inserts, schema changes and health checks.
    Writer,
    /// Queries of panels; always read-only.
    Panels,
    /// Queries of Explore, which may ask anything; always read-only.
    Explore,
    /// The supervisor's probes.
    Probe,
    /// Statements of [`DEFAULT_USER`].
    AdHoc,
}

impl Workload {
    pub(super) const ALL: [Self; 5] = [Self::Writer, Self::Panels, Self::Explore, Self::Probe, Self::AdHoc];

    /// Number of permits: further statements wait. It is small, since ClickHouse runs each statement on several threads.
    pub(super) fn concurrency_limit(self) -> usize {
        match self {
            // Four inserts, the replay of a dead letter, a schema change, a health check, and two statements of people.
            Self::Writer => 9,
            Self::Probe => 1,
            Self::Panels | Self::AdHoc => 8,
            // The server has its own limit, MILLRACE_EXPLORE_QUERIES.
            Self::Explore => 64,
        }
    }

    /// First statement on each new connection. It gives inserts precedence over ad hoc queries: while a statement with a
    /// lower `priority` runs, those with a higher one pause before each block that they read, for at most a second. Small
    /// blocks make them pause soon. Panels have no priority. The threads of ad hoc queries also leave the cores to all others, where
    /// the process may set their niceness (CAP_SYS_NICE). Measurements: docs/decisions/0006-engine-isolation.md.
    pub(super) fn priority_statement(self) -> Option<String> {
        match self {
            Self::Writer => Some("SET priority = 1".to_owned()),
            Self::Explore | Self::AdHoc => {
                let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
                let threads = (cores / 2).max(1);
                Some(format!(
                    "SET priority = 2, low_priority_query_wait_time_ms = 1000, max_threads = {threads}, \
                     max_block_size = 8192, os_threads_nice_value_query = 19"
                ))
            }
            Self::Panels | Self::Probe => None,
        }
    }
}

/// The credentials of all users.
pub(super) struct Accounts {
    /// Password of [`DEFAULT_USER`].
    password: String,
    /// Password of the server's own users. `None` in a standalone engine, which has no such users.
    server_key: Option<String>,
}

impl Accounts {
    pub(super) fn new(password: String, server_key: Option<String>) -> Self {
        Self { password, server_key }
    }

    /// The user's workload. `None` if the user is unknown or the password is wrong.
    pub(super) fn authenticate(&self, user: &str, password: &str) -> Option<Workload> {
        let (workload, expected) = match user {
            DEFAULT_USER => (Workload::AdHoc, Some(&self.password)),
            WRITER_USER => (Workload::Writer, self.server_key.as_ref()),
            PANELS_USER => (Workload::Panels, self.server_key.as_ref()),
            EXPLORE_USER => (Workload::Explore, self.server_key.as_ref()),
            PROBE_USER => (Workload::Probe, self.server_key.as_ref()),
            _ => return None,
        };
        // An account with an empty password cannot be used.
        let expected = expected.filter(|expected| !expected.is_empty())?;
        // Constant time, so that the duration reveals at most the length of the password.
        bool::from(expected.as_bytes().ct_eq(password.as_bytes())).then_some(workload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_authenticates_with_its_own_password() {
        let accounts = Accounts::new("open".into(), Some("key".into()));
        assert_eq!(accounts.authenticate(DEFAULT_USER, "open"), Some(Workload::AdHoc));
        assert_eq!(accounts.authenticate(WRITER_USER, "key"), Some(Workload::Writer));
        assert_eq!(accounts.authenticate(PANELS_USER, "key"), Some(Workload::Panels));
        assert_eq!(accounts.authenticate(EXPLORE_USER, "key"), Some(Workload::Explore));
        assert_eq!(accounts.authenticate(PROBE_USER, "key"), Some(Workload::Probe));
        for (user, password) in [
            (DEFAULT_USER, "key"),
            (DEFAULT_USER, "ope"),
            (DEFAULT_USER, ""),
            (WRITER_USER, "open"),
            ("other", "key"),
        ] {
            assert_eq!(accounts.authenticate(user, password), None, "{user} {password}");
        }
        let standalone = Accounts::new(String::new(), None);
        for user in [DEFAULT_USER, WRITER_USER, PANELS_USER, EXPLORE_USER, PROBE_USER] {
            assert_eq!(standalone.authenticate(user, ""), None, "{user}");
        }
    }
}
