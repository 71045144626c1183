//! Who may send statements to the engine, and which permits each uses.

use subtle::ConstantTimeEq;

/// The user for people and their programs.
pub const DEFAULT_USER: &str = "default";
/// The server's own users. They share one key, which only the server and its engine know.
pub(super) const WRITER_USER: &str = "millrace-writer";
pub(super) const PANELS_USER: &str = "millrace-panels";
pub(super) const PROBE_USER: &str = "millrace-probe";

/// A group of callers with permits and connections of its own: none can make another wait for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    /// Inserts, the schema, and health.
    Writer,
    /// Panels.
    Panels,
    /// The supervisor's probe.
    Probe,
    /// Everybody else who has the password.
    AdHoc,
}

impl Workload {
    pub(super) const ALL: [Self; 4] = [Self::Writer, Self::Panels, Self::Probe, Self::AdHoc];

    /// How many statements run at the same time. More wait for a permit: the engine runs each on several threads.
    pub(super) fn concurrency_limit(self) -> usize {
        match self {
            // One insert, one redrive, the schema, and the health check.
            Self::Writer => 4,
            Self::Probe => 1,
            Self::Panels | Self::AdHoc => 8,
        }
    }
}

impl Workload {
    /// What a new connection of the class is told before anything else, so that an insert gets the cores when it needs
    /// them: while a statement with a lower number runs, one with a higher number pauses before each block that it reads,
    /// for a second at most. Panels neither pause nor make others pause. Measured in
    /// docs/decisions/0006-engine-isolation.md.
    pub(super) fn priority_statement(self) -> Option<String> {
        match self {
            Self::Writer => Some("SET priority = 1".to_owned()),
            Self::AdHoc => {
                let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
                let threads = (cores / 2).max(1);
                Some(format!(
                    "SET priority = 2, low_priority_query_wait_time_ms = 1000, max_threads = {threads}, \
                     max_block_size = 8192"
                ))
            }
            Self::Panels | Self::Probe => None,
        }
    }
}

/// The passwords.
pub(super) struct Accounts {
    password: String,
    /// None in an engine that runs alone.
    server_key: Option<String>,
}

impl Accounts {
    pub(super) fn new(password: String, server_key: Option<String>) -> Self {
        Self { password, server_key }
    }

    /// The class of a user that gave this password; none where they do not fit.
    pub(super) fn authenticate(&self, user: &str, password: &str) -> Option<Workload> {
        let (workload, expected) = match user {
            DEFAULT_USER => (Workload::AdHoc, Some(&self.password)),
            WRITER_USER => (Workload::Writer, self.server_key.as_ref()),
            PANELS_USER => (Workload::Panels, self.server_key.as_ref()),
            PROBE_USER => (Workload::Probe, self.server_key.as_ref()),
            _ => return None,
        };
        // An empty password lets nobody in.
        let expected = expected.filter(|expected| !expected.is_empty())?;
        // The time tells the length of the password at most.
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
        for user in [DEFAULT_USER, WRITER_USER, PANELS_USER, PROBE_USER] {
            assert_eq!(standalone.authenticate(user, ""), None, "{user}");
        }
    }
}
