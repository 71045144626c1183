//! Log-in of people with OpenID Connect: the authorization code flow with PKCE.
//!
//! [`routes`] sends the browser to the provider and takes it back with a code. [`provider`] exchanges the code for an ID
//! token, checks it, and finds the roles of the person. The session that begins then is that of [`super::session`].
//!
//! State, nonce and the verifier of PKCE are in a cookie of the browser for at most ten minutes: a code that was issued for
//! another browser, or by another log-in, is of no use. The server keeps nothing of log-ins under way, so nobody can use up
//! its memory with them.

mod http;
mod provider;
pub(crate) mod routes;

pub(crate) use provider::Oidc;

/// Relative to the public URL.
pub(crate) const LOG_IN_PATH: &str = "/api/session/oidc";
/// Registered at the provider, with the public URL before it.
pub(crate) const CALLBACK_PATH: &str = "/api/session/oidc/callback";

/// Why log-in with OpenID Connect cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    #[error("MILLRACE_PEOPLE_FILE: the section [oidc] has a URL that cannot be used: {0}")]
    Url(String),
    #[error(
        "MILLRACE_PEOPLE_FILE: the section [oidc] needs the system's certificates of authorities: {0}; install them (Debian: \
         ca-certificates), or set SSL_CERT_FILE"
    )]
    Certificates(#[from] std::io::Error),
}
