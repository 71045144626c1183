//! The provider: its metadata and signing keys, and what it says of a person who comes back with a code.

use std::sync::Arc;
use std::time::Duration;

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClientAuthMethod, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse,
    CoreTokenType,
};
use openidconnect::{
    AccessToken, AdditionalClaims, AuthType, AuthorizationCode, ClaimsVerificationError, Client, ClientId,
    CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, IdTokenClaims,
    IdTokenFields, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RequestTokenError, Scope, StandardErrorResponse, StandardTokenResponse, TokenResponse as _,
    UserInfoClaims, url::Url,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::http::{HttpClient, with_causes};
use super::{CALLBACK_PATH, LOG_IN_PATH, OidcError};
use crate::access::people::{Grants, Identity, Person};
use crate::access::people_file::OidcSettings;

/// Metadata and keys are fetched again after this time. New keys are also fetched when a token has one.
const REFRESH_INTERVAL: Duration = Duration::from_secs(3_600);
/// Delays between attempts while the provider does not respond. They double.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);
/// Log-ins that wait for the provider at a time. Anybody can send codes, though no valid ones.
const MAX_EXCHANGES: usize = 32;
/// Of a group or a name in a log.
const MAX_LOGGED_BYTES: usize = 200;

/// The claims that the library does not know by name, among them the groups.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct OtherClaims(Map<String, Value>);

impl AdditionalClaims for OtherClaims {}

type Claims = IdTokenClaims<OtherClaims, CoreGenderClaim>;
type TokenFields = IdTokenFields<
    OtherClaims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type TokenResponse = StandardTokenResponse<TokenFields, CoreTokenType>;
type OidcClient = Client<
    OtherClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    TokenResponse,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Why a log-in fails. The messages are for the log; the page gets [`Self::code`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogInError {
    #[error("{0}")]
    Unreachable(String),
    #[error("too many log-ins wait for the provider")]
    Busy,
    #[error(
        "the browser has no log-in under way: it took more than 10 minutes, was begun elsewhere, or is over"
    )]
    Expired,
    #[error("the parameter state is another one than that of the browser's log-in")]
    State,
    #[error("the response is from the issuer {0:?}")]
    Issuer(String),
    #[error("the provider refuses: {0}")]
    Refused(String),
    #[error("the provider does not accept the code: {0}")]
    Code(String),
    #[error("the ID token is not valid: {0}")]
    Token(String),
    #[error("the user info cannot be used: {0}")]
    UserInfo(String),
    #[error(
        "{name:?} is in too many groups for a token of Entra; assign groups to the application, and let it send only those"
    )]
    TooManyGroups { name: String },
    #[error("no grant of MILLRACE_PEOPLE_FILE is for {name:?}, who is in the groups {groups}{}", email_words(.email.as_deref()))]
    NoRole { name: String, groups: String, email: Option<String> },
}

fn email_words(email: Option<&str>) -> String {
    email.map_or_else(
        || " and has no verified e-mail address".to_owned(),
        |email| format!(" and has the address {email:?}"),
    )
}

impl LogInError {
    /// For the page, which has words for each.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) | Self::Busy => "unavailable",
            Self::Expired | Self::State => "expired",
            Self::Refused(_) => "refused",
            Self::NoRole { .. } => "no_role",
            Self::Issuer(_)
            | Self::Code(_)
            | Self::Token(_)
            | Self::UserInfo(_)
            | Self::TooManyGroups { .. } => "failed",
        }
    }
}

/// What the browser keeps while it is at the provider.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Pending {
    pub(super) state: CsrfToken,
    pub(super) nonce: Nonce,
    pub(super) verifier: PkceCodeVerifier,
    /// Where the page was.
    pub(super) return_to: String,
}

/// The provider, as far as it is known.
#[derive(Debug)]
pub(crate) struct Oidc {
    pub(super) settings: OidcSettings,
    issuer: IssuerUrl,
    redirect_url: RedirectUrl,
    /// Where the page sends people.
    log_in_url: Url,
    grants: Arc<Grants>,
    http: HttpClient,
    /// `None` until the provider has responded.
    metadata: watch::Sender<Option<Arc<CoreProviderMetadata>>>,
    /// Why the provider cannot be used; empty if it can.
    problem: watch::Sender<String>,
    exchanges: Semaphore,
}

impl Oidc {
    /// # Errors
    /// When the system has no certificates of authorities.
    pub(crate) fn new(settings: OidcSettings, grants: Arc<Grants>) -> Result<Arc<Self>, OidcError> {
        let unusable = |error: openidconnect::url::ParseError| OidcError::Url(error.to_string());
        let redirect_url = settings.public_url.join(&CALLBACK_PATH[1..]).map_err(unusable)?;
        let log_in_url = settings.public_url.join(&LOG_IN_PATH[1..]).map_err(unusable)?;
        Ok(Arc::new(Self {
            issuer: IssuerUrl::new(settings.issuer.clone()).map_err(unusable)?,
            redirect_url: RedirectUrl::from_url(redirect_url),
            log_in_url,
            settings,
            grants,
            http: HttpClient::new()?,
            metadata: watch::Sender::default(),
            problem: watch::Sender::default(),
            exchanges: Semaphore::new(MAX_EXCHANGES),
        }))
    }

    /// For the button of the page.
    pub(crate) fn provider_name(&self) -> &str {
        &self.settings.provider_name
    }

    /// Where the page sends people who log in.
    pub(crate) fn log_in_url(&self) -> &str {
        self.log_in_url.as_str()
    }

    /// Why people cannot log in; empty if they can.
    pub(crate) fn problem(&self) -> watch::Receiver<String> {
        self.problem.subscribe()
    }

    /// Keeps the metadata up to date until `stop`. What is known stays in use while the provider does not respond.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut retry_delay = MIN_RETRY_DELAY;
        loop {
            let Some(fetched) = stop.run_until_cancelled(self.fetch_metadata()).await else { return };
            let delay = if fetched.is_ok() { REFRESH_INTERVAL } else { retry_delay };
            retry_delay =
                if fetched.is_ok() { MIN_RETRY_DELAY } else { (retry_delay * 2).min(MAX_RETRY_DELAY) };
            if stop.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
                return;
            }
        }
    }

    async fn fetch_metadata(&self) -> Result<Arc<CoreProviderMetadata>, LogInError> {
        let fetched = CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http).await;
        let fetched = fetched.map_err(|error| {
            format!(
                "the OpenID Connect provider {} cannot be used: {}",
                self.issuer.as_str(),
                with_causes(&error)
            )
        });
        let problem = fetched.as_ref().err().cloned().unwrap_or_default();
        let is_new = self.problem.send_if_modified(|known| {
            let is_new = *known != problem;
            problem.clone_into(known);
            is_new
        });
        match fetched {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                if self.metadata.send_replace(Some(Arc::clone(&metadata))).is_none() || is_new {
                    tracing::info!(issuer = self.issuer.as_str(), "people can log in with OpenID Connect");
                }
                Ok(metadata)
            }
            Err(problem) => {
                if is_new {
                    tracing::warn!("{problem}; it is tried again");
                }
                Err(LogInError::Unreachable(problem))
            }
        }
    }

    fn known_metadata(&self) -> Result<Arc<CoreProviderMetadata>, LogInError> {
        self.metadata.borrow().clone().ok_or_else(|| LogInError::Unreachable(self.problem.borrow().clone()))
    }

    fn client(&self, metadata: &CoreProviderMetadata) -> OidcClient {
        let secret = self.settings.client_secret.clone();
        let client_id = ClientId::new(self.settings.client_id.clone());
        let client = OidcClient::from_provider_metadata(metadata.clone(), client_id, secret)
            .set_redirect_uri(self.redirect_url.clone());
        // Without a list, the default is client_secret_basic.
        let methods = metadata.token_endpoint_auth_methods_supported();
        let basic = methods.is_none_or(|methods| methods.contains(&CoreClientAuthMethod::ClientSecretBasic));
        client.set_auth_type(if basic { AuthType::BasicAuth } else { AuthType::RequestBody })
    }

    /// The URL of the provider where a person logs in, and what the browser keeps meanwhile.
    pub(super) fn begin(&self, return_to: String) -> Result<(Url, Pending), LogInError> {
        let client = self.client(&*self.known_metadata()?);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let scopes = self.settings.scopes.iter().cloned().map(Scope::new);
        let (url, state, nonce) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scopes(scopes)
            .set_pkce_challenge(challenge)
            .url();
        Ok((url, Pending { state, nonce, verifier, return_to }))
    }

    /// The person who comes back with a code.
    pub(super) async fn complete(&self, code: String, pending: Pending) -> Result<Person, LogInError> {
        let _permit = self.exchanges.try_acquire().map_err(|_| LogInError::Busy)?;
        let metadata = self.known_metadata()?;
        let client = self.client(&metadata);
        let request = client.exchange_code(AuthorizationCode::new(code));
        let request = request.map_err(|error| LogInError::Code(error.to_string()))?;
        let response = request.set_pkce_verifier(pending.verifier).request_async(&self.http).await;
        let response = response.map_err(|error| match error {
            RequestTokenError::Request(error) => LogInError::Unreachable(error.to_string()),
            error => LogInError::Code(with_causes(&error)),
        })?;
        let claims = match verify(&client, &metadata, &response, &pending.nonce) {
            // The provider may have new keys.
            Err(ClaimsVerificationError::SignatureVerification(_)) => {
                let metadata = self.fetch_metadata().await?;
                verify(&self.client(&metadata), &metadata, &response, &pending.nonce)
            }
            verified => verified,
        };
        let claims = claims.map_err(|error| LogInError::Token(with_causes(&error)))?;
        let identity = self.identity(&client, response.access_token(), &claims).await?;
        let Identity { name, groups, email } = identity.clone();
        let groups = cut(&format!("{groups:?}"));
        self.grants.person(identity).ok_or(LogInError::NoRole { name, groups, email })
    }

    /// From the ID token and, where it does not have all that the grants need, from the endpoint for user info.
    async fn identity(
        &self,
        client: &OidcClient,
        access_token: &AccessToken,
        claims: &Claims,
    ) -> Result<Identity, LogInError> {
        let mut groups = find_claim(&claims.additional_claims().0, &self.settings.groups_claim).cloned();
        let mut email = claims.email().map(|email| email.to_string());
        let mut is_verified = claims.email_verified();
        let mut name = claims.preferred_username().map(|name| name.to_string());
        let is_incomplete =
            (groups.is_none() && self.grants.name_groups()) || (email.is_none() && self.grants.name_emails());
        // The library expects that a header can have the token.
        let is_usable = access_token.secret().bytes().all(|byte| byte.is_ascii_graphic());
        if is_incomplete && is_usable && client.user_info_url().is_some() {
            let request = client.user_info(access_token.clone(), Some(claims.subject().clone()));
            let request = request.map_err(|error| LogInError::UserInfo(error.to_string()))?;
            let info: UserInfoClaims<OtherClaims, CoreGenderClaim> = request
                .request_async(&self.http)
                .await
                .map_err(|error| LogInError::UserInfo(with_causes(&error)))?;
            groups = groups
                .or_else(|| find_claim(&info.additional_claims().0, &self.settings.groups_claim).cloned());
            name = name.or_else(|| info.preferred_username().map(|name| name.to_string()));
            if email.is_none() {
                email = info.email().map(|email| email.to_string());
                is_verified = info.email_verified();
            }
        }
        let name = name.or_else(|| email.clone()).unwrap_or_else(|| claims.subject().to_string());
        let elsewhere =
            claims.additional_claims().0.get("_claim_names").and_then(|names| names.get("groups"));
        if groups.is_none() && elsewhere.is_some() {
            return Err(LogInError::TooManyGroups { name: cut(&name) });
        }
        let email = email.filter(|_| is_verified == Some(true)).map(|email| email.to_lowercase());
        Ok(Identity { name: cut(&name), groups: groups.as_ref().map(texts).unwrap_or_default(), email })
    }
}

/// The claims of a valid ID token: signed by the provider, for this client, not expired, with the nonce of this log-in.
fn verify(
    client: &OidcClient,
    metadata: &CoreProviderMetadata,
    response: &TokenResponse,
    nonce: &Nonce,
) -> Result<Claims, ClaimsVerificationError> {
    let missing = || {
        ClaimsVerificationError::Other(
            "the response has no ID token; is the scope openid allowed?".to_owned(),
        )
    };
    let token = response.id_token().ok_or_else(missing)?;
    let algorithms =
        metadata.id_token_signing_alg_values_supported().iter().filter(|algorithm| is_asymmetric(algorithm));
    let verifier = client.id_token_verifier().set_allowed_algs(algorithms.cloned());
    token.claims(&verifier, nonce).cloned()
}

/// A secret that the client knows too is no proof of who has signed.
fn is_asymmetric(algorithm: &CoreJwsSigningAlgorithm) -> bool {
    use CoreJwsSigningAlgorithm as Algorithm;
    !matches!(
        algorithm,
        Algorithm::HmacSha256 | Algorithm::HmacSha384 | Algorithm::HmacSha512 | Algorithm::None
    )
}

/// A claim by its name, which may have dots (`https://example.com/groups`), or by its path (`realm_access.roles`).
fn find_claim<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    let by_path = || {
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |claim, part| claim.get(part))
    };
    claims.get(name).or_else(by_path)
}

/// A claim with one value may be a text instead of a list.
fn texts(claim: &Value) -> Vec<String> {
    let values = claim.as_array().map_or(std::slice::from_ref(claim), Vec::as_slice);
    values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_LOGGED_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups_are_found_by_name_or_path() {
        let claims = json!({
            "groups": ["a", 1, "b"],
            "role": "admin",
            "https://example.com/groups": ["c"],
            "realm_access": { "roles": ["d"] },
        });
        let claims = claims.as_object().unwrap();
        for (name, expected) in [
            ("groups", vec!["a", "b"]),
            ("role", vec!["admin"]),
            ("https://example.com/groups", vec!["c"]),
            ("realm_access.roles", vec!["d"]),
        ] {
            assert_eq!(texts(find_claim(claims, name).unwrap()), expected);
        }
        for name in ["other", "realm_access.groups", "realm_access.roles.x", "."] {
            assert!(find_claim(claims, name).is_none(), "{name}");
        }
        assert_eq!(cut(&"ä".repeat(300)), "ä".repeat(100));
    }
}
