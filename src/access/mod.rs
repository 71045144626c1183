//! Who may call what: keys, the callers that they stand for, and the check of every request.
//!
//! A server without a file of keys serves everyone, on loopback addresses only: see [`KeyFile`]. With one, every request but
//! those of [`Requirement::Open`] presents a key, as `authorization: Bearer KEY` or, for clients that know only user names,
//! as the user name of `authorization: Basic`. A verified client certificate may stand for a key, and for calls that read so
//! may the cookie of a [`session`], or the name that a trusted proxy gives. The key decides the project; a [`Person`] who has
//! logged in with [`oidc`] may have a role in several ([`people`]). A handler checks no key itself: it takes the [`Caller`] from the
//! request's extensions.
//!
//! [`layer`] checks HTTP routes and RPCs before their handlers run; [`rpcs`] has the requirement of each RPC, and each HTTP
//! route names its own where it is added ([`HttpRoutes`]). A request whose key is revoked while it runs ends with
//! UNAUTHENTICATED.

pub(crate) mod admin;
mod file;
pub(crate) mod key;
pub(crate) mod keys;
pub(crate) mod layer;
pub(crate) mod limits;
pub(crate) mod oidc;
pub(crate) mod people;
pub(crate) mod people_file;
mod routes;
pub(crate) mod rpcs;
pub(crate) mod session;
#[cfg(test)]
mod timing;
mod trusted_proxy;

use std::sync::Arc;

use http::Extensions;
use tokio_util::sync::CancellationToken;

pub(crate) use file::{KeyFile, KeyOptions, KeyRecord};
pub(crate) use key::{KeyId, Scope};
pub(crate) use keys::{AccessControl, Key};
pub(crate) use limits::{KeyLimits, LimitSettings};
pub(crate) use people::{Person, Role};
pub(crate) use routes::HttpRoutes;
pub(crate) use trusted_proxy::TrustedProxies;

use crate::error::{Error, ErrorCode};
use crate::project::Project;

/// What a route or an RPC requires of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requirement {
    /// Nothing: probes, the files of the page.
    Open,
    /// A key that sends events: write or admin.
    Write,
    /// The same, or a browser key.
    BrowserWrite,
    /// A key that reads: read or admin.
    Read,
    /// Who edits insights and dashboards: an admin key, or a person with the role editor or admin.
    Edit,
    /// An admin key.
    Admin,
}

impl Requirement {
    /// Whether a key with this scope is enough.
    pub(crate) fn allows(self, scope: Scope) -> bool {
        match self {
            Self::Open => true,
            Self::Write => matches!(scope, Scope::Write | Scope::Admin),
            Self::BrowserWrite => matches!(scope, Scope::Write | Scope::Browser | Scope::Admin),
            Self::Read => matches!(scope, Scope::Read | Scope::Admin),
            Self::Edit | Self::Admin => scope == Scope::Admin,
        }
    }

    /// Whether a person with this role is enough. People send no events, whatever their role.
    pub(crate) fn allows_role(self, role: Role) -> bool {
        match self {
            Self::Open | Self::Read => true,
            Self::Edit => role >= Role::Editor,
            Self::Admin => role == Role::Admin,
            Self::Write | Self::BrowserWrite => false,
        }
    }

    /// Whether people can meet it, who have no key.
    fn is_for_people(self) -> bool {
        matches!(self, Self::Read | Self::Edit | Self::Admin)
    }

    /// The roles that are enough, for messages.
    fn roles(self) -> &'static str {
        match self {
            Self::Edit => "editor or admin",
            _ => "admin",
        }
    }

    /// The scopes that are enough, for messages.
    fn scopes(self) -> &'static str {
        match self {
            Self::Open => "any",
            Self::Write => "write or admin",
            Self::BrowserWrite => "write, browser or admin",
            Self::Read => "read or admin",
            Self::Edit | Self::Admin => "admin",
        }
    }
}

/// Who sent a request. In the extensions of every request that reaches a handler.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The project whose events it sends and reads.
    pub(crate) project: Project,
    /// `None` on a server without keys, and for people who have logged in without one.
    pub(crate) key: Option<Arc<Key>>,
    /// Who has logged in, with a role in the project. `None` with a key, and for people whom a trusted proxy names without groups.
    pub(crate) person: Option<Arc<Person>>,
    /// Cancelled when its key is revoked, or its session ends.
    pub(crate) revoked: CancellationToken,
}

impl From<Arc<Person>> for Caller {
    fn from(person: Arc<Person>) -> Self {
        let project = person.current_project(None).clone();
        Self { project, key: None, person: Some(person), revoked: CancellationToken::new() }
    }
}

impl Caller {
    /// The caller of a request, from its extensions.
    ///
    /// # Errors
    /// `Internal` if the request was not checked. That is a bug: nothing may be served then.
    pub(crate) fn of(extensions: &Extensions) -> Result<Self, Error> {
        let unchecked = || Error::new(ErrorCode::Internal, "the request has no caller; report this as a bug");
        extensions.get::<Self>().cloned().ok_or_else(unchecked)
    }

    /// With the project that a person has chosen, if the person has a role in it. A key has one project.
    fn in_project(mut self, chosen: Option<&str>) -> Self {
        if let Some(person) = &self.person {
            self.project = person.current_project(chosen).clone();
        }
        self
    }

    /// Who it is, for limits per caller: its key, or the person. Empty on a server without keys.
    pub(crate) fn id(&self) -> String {
        match (&self.key, &self.person) {
            (Some(key), _) => format!("key {}", key.id),
            (None, Some(person)) => format!("person {}", person.name),
            (None, None) => String::new(),
        }
    }

    /// The limits of its key.
    pub(crate) fn limits(&self) -> Option<&Arc<KeyLimits>> {
        self.key.as_ref().map(|key| &key.limits)
    }

    /// Whether it may send this event.
    pub(crate) fn may_send(&self, event_name: &str) -> bool {
        let Some(key) = &self.key else { return true };
        key.events.is_empty() || key.events.iter().any(|allowed| allowed == event_name)
    }

    /// Whether it is a browser: everybody can read its key, so it must not act as a producer.
    pub(crate) fn is_browser(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.scope == Scope::Browser)
    }
}
