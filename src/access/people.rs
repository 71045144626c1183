//! The file of people, `MILLRACE_PEOPLE_FILE`: which role a person has in which projects, and the OpenID Connect provider
//! where people log in. deploy/people.toml is a commented example.
//!
//! The provider, or an authenticating proxy, says who a person is; the grants of the file say what the person may do. A
//! person whom no grant names has no role, and is not let in. The file is read at the start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderName;
use openidconnect::url::Url;
use serde::Deserialize;

use super::{Requirement, Scope};
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

/// What a person may do in a project. In ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Viewer,
    /// Reads, as a viewer: there is nothing to edit yet.
    Editor,
    Admin,
}

impl Role {
    /// The scope of a key that may do the same, by which [`Requirement`] decides.
    pub(crate) fn scope(self) -> Scope {
        match self {
            Self::Viewer | Self::Editor => Scope::Read,
            Self::Admin => Scope::Admin,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }
}

impl Requirement {
    /// Whether a person with this role may make the call. People send no events, whatever their role.
    pub(super) fn allows_role(self, role: Role) -> bool {
        matches!(self, Self::Open | Self::Read | Self::Admin) && self.allows(role.scope())
    }
}

/// A person who is logged in without a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// For the log and the page.
    pub(crate) name: String,
    /// The role in each project, in the order of the grants. Never empty.
    roles: Vec<(Project, Role)>,
}

impl Person {
    /// The role in a project.
    pub(crate) fn role_in(&self, project: &Project) -> Option<Role> {
        self.roles.iter().find(|(known, _)| known == project).map(|(_, role)| *role)
    }

    pub(crate) fn projects(&self) -> impl Iterator<Item = &Project> {
        self.roles.iter().map(|(project, _)| project)
    }

    /// The chosen project if the person has a role in it, or else the first one.
    pub(crate) fn current_project(&self, chosen: Option<&str>) -> &Project {
        let chosen = chosen.and_then(|chosen| self.projects().find(|project| project.as_str() == chosen));
        chosen.unwrap_or(&self.roles[0].0)
    }
}

/// What is known of a person, by whoever has authenticated the person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// For people.
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
    /// Only if the provider has verified it. In lower case.
    pub(crate) email: Option<String>,
}

/// Gives people roles.
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

/// Whom a grant is for.
#[derive(Debug, PartialEq, Eq)]
enum Grantee {
    Group(String),
    Email(String),
    EmailDomain(String),
    /// Everybody who can log in.
    Everyone,
}

impl Grantee {
    fn is(&self, identity: &Identity) -> bool {
        match self {
            Self::Group(group) => identity.groups.contains(group),
            Self::Email(email) => identity.email.as_ref() == Some(email),
            Self::EmailDomain(domain) => identity
                .email
                .as_ref()
                .and_then(|email| email.rsplit_once('@'))
                .is_some_and(|(_, of_email)| of_email == domain),
            Self::Everyone => true,
        }
    }
}

/// The grants of a file.
#[derive(Debug, Default)]
pub(crate) struct Grants(Vec<(Grantee, Role, Vec<Project>)>);

impl Grants {
    /// The person with this identity; `None` without a role.
    pub(crate) fn person(&self, identity: Identity) -> Option<Person> {
        let mut roles: Vec<(Project, Role)> = Vec::new();
        for (_, role, projects) in self.0.iter().filter(|(grantee, _, _)| grantee.is(&identity)) {
            for project in projects {
                match roles.iter_mut().find(|(known, _)| known == project) {
                    Some((_, known)) => *known = (*known).max(*role),
                    None => roles.push((project.clone(), *role)),
                }
            }
        }
        (!roles.is_empty()).then_some(Person { name: identity.name, roles })
    }

    /// Whether a grant needs the groups of people.
    pub(super) fn name_groups(&self) -> bool {
        self.0.iter().any(|(grantee, _, _)| matches!(grantee, Grantee::Group(_)))
    }

    /// Whether a grant needs the e-mail addresses of people.
    pub(super) fn name_emails(&self) -> bool {
        let of_emails = |grantee: &Grantee| matches!(grantee, Grantee::Email(_) | Grantee::EmailDomain(_));
        self.0.iter().any(|(grantee, _, _)| of_emails(grantee))
    }
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
    pub(super) client_secret: Option<String>,
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
            Some(secret)
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
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<People, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("people.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::write(folder.path().join("secret"), " s3cret\n").unwrap();
        let people = People::read(file.to_str().unwrap());
        people.map(Option::unwrap).map_err(|error| error.to_string())
    }

    const GRANT: &str = "[[grant]]\neveryone = true\nrole = \"viewer\"\nprojects = [\"default\"]\n";
    const OIDC: &str = "[oidc]\nissuer = \"https://login.example\"\nclient_id = \"m\"\npublic_url = \"https://m.example/stats\"\n";

    fn identity(groups: &[&str], email: Option<&str>) -> Identity {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        Identity { name: "ada".into(), groups, email: email.map(str::to_owned) }
    }

    #[test]
    fn grants_add_up_to_the_highest_role_of_each_project() {
        let text = r#"
            [[grant]]
            group = "staff"
            role = "viewer"
            projects = ["shop", "blog"]
            [[grant]]
            group = "blog team"
            role = "editor"
            projects = ["blog"]
            [[grant]]
            email = "Ada@Example.com"
            role = "admin"
            projects = ["ops"]
            [[grant]]
            email_domain = "example.com"
            role = "viewer"
            projects = ["ops"]
        "#;
        let grants = read_text(text).unwrap().grants;
        let roles = |groups: &[&str], email| {
            let person = grants.person(identity(groups, email))?;
            Some(
                person
                    .roles
                    .iter()
                    .map(|(project, role)| format!("{project} {}", role.as_str()))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(roles(&["staff"], None).unwrap(), ["shop viewer", "blog viewer"]);
        assert_eq!(roles(&["blog team", "staff", "x"], None).unwrap(), ["shop viewer", "blog editor"]);
        assert_eq!(roles(&[], Some("ada@example.com")).unwrap(), ["ops admin"]);
        assert_eq!(roles(&[], Some("bob@example.com")).unwrap(), ["ops viewer"]);
        for email in ["bob@evil-example.com", "bob@example.com.evil", "example.com"] {
            assert_eq!(roles(&["Staff", "staf"], Some(email)), None);
        }
        let person = grants.person(identity(&["staff"], None)).unwrap();
        assert_eq!(person.current_project(Some("blog")).as_str(), "blog");
        for chosen in [Some("ops"), Some(""), None] {
            assert_eq!(person.current_project(chosen).as_str(), "shop");
        }
    }

    #[test]
    fn people_read_and_manage_but_send_nothing() {
        use Requirement::{Admin, BrowserWrite, Open, Read, Write};
        for (role, allowed) in [
            (Role::Viewer, vec![Open, Read]),
            (Role::Editor, vec![Open, Read]),
            (Role::Admin, vec![Open, Read, Admin]),
        ] {
            for requirement in [Open, Write, BrowserWrite, Read, Admin] {
                assert_eq!(
                    requirement.allows_role(role),
                    allowed.contains(&requirement),
                    "{role:?} {requirement:?}"
                );
            }
        }
    }

    #[test]
    fn the_example_is_valid() {
        let text = include_str!("../../deploy/people.toml");
        let people = read_text(&text.replace("/run/secrets/millrace-oidc", "secret")).unwrap();
        let oidc = people.oidc.unwrap();
        assert_eq!(oidc.client_secret.as_deref(), Some("s3cret"));
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
