//! The file of people, `MILLRACE_PEOPLE_FILE`: which role a person has in which projects, and the OpenID Connect provider
//! where people log in. deploy/people.toml is a commented example. The file is read at the start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderName;
use openidconnect::ClientSecret;
use openidconnect::url::Url;
use serde::Deserialize;

use super::people::{Grantee, Grants, Role};
use crate::atomic_file;
use crate::project::Project;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeopleFileError {
    /// The message names the file.
    #[error("MILLRACE_PEOPLE_FILE (--people-file): {0}")]
    File(#[from] io::Error),
    #[error("MILLRACE_PEOPLE_FILE (--people-file): {}: {error}", path.display())]
    Syntax { path: PathBuf, error: String },
    #[error("MILLRACE_PEOPLE_FILE (--people-file): {}: {problem}", path.display())]
    Value { path: PathBuf, problem: String },
    #[error(
        "MILLRACE_PEOPLE_FILE is set, but there are no keys, so everybody may do everything: make the first key with \
         `millrace keys create --scope admin --data-dir {}`",
        data_dir.display()
    )]
    NoKeys { data_dir: PathBuf },
    #[error(
        "MILLRACE_PEOPLE_FILE has a section [proxy] without MILLRACE_TRUSTED_HEADER, so no proxy may name people: set it and \
         MILLRACE_TRUSTED_PROXIES, or remove the section"
    )]
    NoTrustedHeader,
}

/// A `[[grant]]`, as the file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    group: Option<String>,
    email: Option<String>,
    email_domain: Option<String>,
    #[serde(default)]
    everyone: bool,
    role: Role,
    #[serde(default)]
    projects: Vec<String>,
}

/// The section `[oidc]`, as the file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OidcSection {
    issuer: String,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    public_url: String,
    #[serde(default = "default_provider_name")]
    provider_name: String,
    #[serde(default = "default_scopes")]
    scopes: Vec<String>,
    #[serde(default = "default_groups_claim")]
    groups_claim: String,
}

fn default_provider_name() -> String {
    "OpenID Connect".to_owned()
}

fn default_scopes() -> Vec<String> {
    ["profile", "email"].map(str::to_owned).to_vec()
}

fn default_groups_claim() -> String {
    "groups".to_owned()
}

/// The provider where people log in.
#[derive(Debug)]
pub(crate) struct OidcSettings {
    /// As the file has it: the provider's own metadata must have the same text.
    pub(super) issuer: String,
    pub(super) client_id: String,
    /// Not shown by `Debug`.
    pub(super) client_secret: Option<ClientSecret>,
    /// Where browsers reach the page. Ends with a slash.
    pub(super) public_url: Url,
    /// On the button of the page.
    pub(super) provider_name: String,
    /// Besides `openid`.
    pub(super) scopes: Vec<String>,
    pub(super) groups_claim: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProxySection {
    groups_header: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    #[serde(default, rename = "grant")]
    grants: Vec<Grant>,
    oidc: Option<OidcSection>,
    proxy: Option<ProxySection>,
}

/// What the file says.
#[derive(Debug)]
pub(crate) struct People {
    pub(crate) grants: Arc<Grants>,
    pub(crate) oidc: Option<OidcSettings>,
    /// In which a trusted proxy names the groups of a person, separated by commas.
    pub(crate) groups_header: Option<HeaderName>,
}

impl People {
    /// Reads the file, and that of the secret. `None` without a path.
    pub(crate) fn read(path: &str) -> Result<Option<Self>, PeopleFileError> {
        if path.is_empty() {
            return Ok(None);
        }
        let path = Path::new(path);
        let text = read(path)?;
        let contents: Contents = toml::from_str(&text).map_err(|error| PeopleFileError::Syntax {
            path: path.to_owned(),
            error: one_line(&error, &text),
        })?;
        let invalid = |problem: String| PeopleFileError::Value { path: path.to_owned(), problem };
        let grants = contents.grants.into_iter().enumerate().map(|(index, grant)| {
            parse_grant(grant).map_err(|problem| invalid(format!("grant {}: {problem}", index + 1)))
        });
        let grants = Grants(grants.collect::<Result<_, _>>()?);
        if grants.0.is_empty() {
            return Err(invalid("there is no [[grant]], so nobody would have a role; add one".to_owned()));
        }
        let oidc = contents.oidc.map(|section| parse_oidc(section, path)).transpose()?;
        let groups_header = contents.proxy.map(|proxy| {
            let name = proxy.groups_header;
            let expected = "is not the name of a header, such as X-Forwarded-Groups";
            name.parse().map_err(|_| invalid(format!("proxy.groups_header: {name:?} {expected}")))
        });
        Ok(Some(Self { grants: Arc::new(grants), oidc, groups_header: groups_header.transpose()? }))
    }
}

fn read(path: &Path) -> Result<String, PeopleFileError> {
    Ok(std::fs::read_to_string(path).map_err(|error| atomic_file::with_path(path, error))?)
}

/// The parser's messages have several lines, with an excerpt of the file.
fn one_line(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {}: {}", before.matches('\n').count() + 1, error.message().replace('\n', "; "))
}

fn parse_grant(grant: Grant) -> Result<(Grantee, Role, Vec<Project>), String> {
    let Grant { group, email, email_domain, everyone, role, projects } = grant;
    let grantees = [
        group.map(Grantee::Group),
        email.map(|email| Grantee::Email(email.to_lowercase())),
        email_domain.map(|domain| Grantee::EmailDomain(domain.trim_start_matches('@').to_lowercase())),
        everyone.then_some(Grantee::Everyone),
    ];
    let mut grantees = grantees.into_iter().flatten();
    let (Some(grantee), None) = (grantees.next(), grantees.next()) else {
        return Err("name one of group, email, email_domain and everyone = true".to_owned());
    };
    if matches!(&grantee, Grantee::Group(name) | Grantee::Email(name) | Grantee::EmailDomain(name) if name.is_empty())
    {
        return Err("the name is empty".to_owned());
    }
    let projects = projects.iter().map(|name| name.parse().map_err(|error| format!("projects: {error}")));
    let projects: Vec<Project> = projects.collect::<Result<_, _>>()?;
    if projects.is_empty() {
        return Err(
            "projects is empty; name those to which the role applies, such as [\"default\"]".to_owned()
        );
    }
    Ok((grantee, role, projects))
}

fn parse_oidc(section: OidcSection, path: &Path) -> Result<OidcSettings, PeopleFileError> {
    let invalid = |problem: String| PeopleFileError::Value { path: path.to_owned(), problem };
    let url = |name: &str, text: &str| {
        let url = Url::parse(text)
            .ok()
            .filter(|url| url.has_host() && url.query().is_none() && url.fragment().is_none());
        url.ok_or_else(|| {
            invalid(format!("oidc.{name}: {text:?} is not a URL such as https://login.example.com"))
        })
    };
    if !is_confidential(&url("issuer", &section.issuer)?) {
        let issuer = section.issuer;
        return Err(invalid(format!(
            "oidc.issuer: {issuer:?} must begin with https://, but on loopback addresses"
        )));
    }
    let mut public_url = url("public_url", &section.public_url)?;
    if !matches!(public_url.scheme(), "http" | "https") {
        return Err(invalid(format!("oidc.public_url: {:?} must begin with https://", section.public_url)));
    }
    if !public_url.path().ends_with('/') {
        public_url.set_path(&format!("{}/", public_url.path()));
    }
    if section.client_id.is_empty() {
        return Err(invalid("oidc.client_id is empty".to_owned()));
    }
    let client_secret = match section.client_secret_file {
        None => None,
        Some(file) => {
            // Beside this file, unless the path is absolute.
            let file = path.parent().unwrap_or(Path::new("")).join(file);
            let secret = read(&file)?.trim().to_owned();
            if secret.is_empty() {
                return Err(invalid(format!("oidc.client_secret_file: {} is empty", file.display())));
            }
            Some(ClientSecret::new(secret))
        }
    };
    let OidcSection { issuer, client_id, provider_name, scopes, groups_claim, .. } = section;
    Ok(OidcSettings { issuer, client_id, client_secret, public_url, provider_name, scopes, groups_claim })
}

/// Whether nobody between here and the URL's host can read or change what is sent.
pub(super) fn is_confidential(url: &Url) -> bool {
    use openidconnect::url::Host;
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::access) fn read_text(text: &str) -> Result<People, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("people.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::write(folder.path().join("secret"), " s3cret\n").unwrap();
        let people = People::read(file.to_str().unwrap());
        people.map(Option::unwrap).map_err(|error| error.to_string())
    }

    const GRANT: &str = "[[grant]]\neveryone = true\nrole = \"viewer\"\nprojects = [\"default\"]\n";
    const OIDC: &str = "[oidc]\nissuer = \"https://login.example\"\nclient_id = \"m\"\npublic_url = \"https://m.example/stats\"\n";

    #[test]
    fn the_example_is_valid() {
        let text = include_str!("../../deploy/people.toml");
        let people = read_text(&text.replace("/run/secrets/millrace-oidc", "secret")).unwrap();
        let oidc = people.oidc.unwrap();
        assert_eq!(oidc.client_secret.as_ref().unwrap().secret(), "s3cret");
        assert!(!format!("{oidc:?}").contains("s3cret"));
        assert!(people.grants.name_groups());
        let commented =
            text.replace("/run/secrets/millrace-oidc", "secret").replace("\n# [proxy]\n# ", "\n[proxy]\n");
        assert_eq!(read_text(&commented).unwrap().groups_header.unwrap(), "x-forwarded-groups");
    }

    #[test]
    fn a_broken_file_is_one_clear_line() {
        let secret = "client_secret_file = \"none\"\n";
        for (text, part) in [
            (
                "[[grant]]\nrole = \"owner\"",
                "people.toml: line 2: unknown variant `owner`, expected one of `viewer`",
            ),
            ("\n[oidc", "line 2: "),
            ("x = 1", "line 1: unknown field `x`"),
            (OIDC, "there is no [[grant]]"),
            (&GRANT.replace("everyone = true", ""), "grant 1: name one of group, email"),
            (&GRANT.replace("everyone = true", "everyone = true\ngroup = \"a\""), "grant 1: name one of"),
            (&GRANT.replace("everyone = true", "group = \"\""), "grant 1: the name is empty"),
            (&GRANT.replace("default", "Shop"), "grant 1: projects: \"Shop\" is not a project"),
            (&GRANT.replace("\"default\"", ""), "grant 1: projects is empty"),
            (
                &format!("{GRANT}{}", OIDC.replace("https://login", "http://login")),
                "must begin with https://",
            ),
            (
                &format!("{GRANT}{}", OIDC.replace("https://login.example", "login")),
                "oidc.issuer: \"login\" is not a URL",
            ),
            (&format!("{GRANT}{}", OIDC.replace("https://m.example", "ftp://m")), "oidc.public_url: "),
            (&format!("{GRANT}{OIDC}{secret}"), "none: No such file"),
            (
                &format!("{GRANT}[proxy]\ngroups_header = \"a b\""),
                "proxy.groups_header: \"a b\" is not the name",
            ),
        ] {
            let error = read_text(text).unwrap_err();
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
        let error = People::read("/none/people.toml").unwrap_err().to_string();
        assert!(error.starts_with("MILLRACE_PEOPLE_FILE (--people-file): /none/people.toml: "), "{error}");
        assert!(People::read("").unwrap().is_none());
        let people =
            read_text(&format!("{GRANT}{}", OIDC.replace("https://login.example", "http://127.0.0.1:9")))
                .unwrap();
        assert_eq!(people.oidc.unwrap().public_url.as_str(), "https://m.example/stats/");
    }
}
