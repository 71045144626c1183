//! Who may send statements to the engine, and which permits each uses.

use subtle::ConstantTimeEq;

/// The user for people and their programs.
pub const USER: &str = "default";
/// The server's own users. They share one key, which only the server and its engine know.
pub(super) const WRITER: &str = "millrace-writer";
pub(super) const PANELS: &str = "millrace-panels";
pub(super) const PROBE: &str = "millrace-probe";

/// A group of callers with permits and connections of its own: none can make another wait for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Inserts, the schema, and health.
    Writer,
    /// Panels.
    Panels,
    /// The supervisor's probe.
    Probe,
    /// Everybody else who has the password.
    People,
}

impl Class {
    pub(super) const ALL: [Self; 4] = [Self::Writer, Self::Panels, Self::Probe, Self::People];

    /// How many statements run at the same time. More wait for a permit: the engine runs each on several threads.
    pub(super) fn permits(self) -> usize {
        match self {
            // One insert, one redrive, the schema, and the health check.
            Self::Writer => 4,
            Self::Probe => 1,
            Self::Panels | Self::People => 8,
        }
    }
}

impl Class {
    /// What a new connection of the class is told before anything else, so that an insert gets the cores when it needs
    /// them: while a statement with a lower number runs, one with a higher number pauses before each block that it reads,
    /// for a second at most. Panels neither pause nor make others pause. Measured in
    /// docs/decisions/0006-engine-isolation.md.
    pub(super) fn priority(self) -> Option<String> {
        match self {
            Self::Writer => Some("SET priority = 1".to_owned()),
            Self::People => {
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
    pub(super) fn class(&self, user: &str, password: &str) -> Option<Class> {
        let (class, expected) = match user {
            USER => (Class::People, Some(&self.password)),
            WRITER => (Class::Writer, self.server_key.as_ref()),
            PANELS => (Class::Panels, self.server_key.as_ref()),
            PROBE => (Class::Probe, self.server_key.as_ref()),
            _ => return None,
        };
        // An empty password lets nobody in.
        let expected = expected.filter(|expected| !expected.is_empty())?;
        // The time tells the length of the password at most.
        bool::from(expected.as_bytes().ct_eq(password.as_bytes())).then_some(class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_its_password_and_its_class() {
        let accounts = Accounts::new("open".into(), Some("key".into()));
        assert_eq!(accounts.class(USER, "open"), Some(Class::People));
        assert_eq!(accounts.class(WRITER, "key"), Some(Class::Writer));
        assert_eq!(accounts.class(PANELS, "key"), Some(Class::Panels));
        assert_eq!(accounts.class(PROBE, "key"), Some(Class::Probe));
        for (user, password) in [(USER, "key"), (USER, "ope"), (USER, ""), (WRITER, "open"), ("other", "key")]
        {
            assert_eq!(accounts.class(user, password), None, "{user} {password}");
        }
        let alone = Accounts::new(String::new(), None);
        for user in [USER, WRITER, PANELS, PROBE] {
            assert_eq!(alone.class(user, ""), None, "{user}");
        }
    }
}
