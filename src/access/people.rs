//! What people may do: grants give them roles in projects.
//!
//! An OpenID Connect provider ([`super::oidc`]), or an authenticating proxy, says who a person is; the grants of the file of people
//! ([`super::people_file`]) say what the person may do. A person whom no grant names has no role, and is not let in.

use serde::Deserialize;

use super::Scope;
use crate::project::Project;

/// What a person may do in a project. In ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Viewer,
    /// Reads, and edits insights and dashboards.
    Editor,
    Admin,
}

impl Role {
    /// The scope of a key that reads and manages the same.
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

/// Whom a grant is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Grantee {
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

/// All grants: who has which role in which projects.
#[derive(Debug)]
pub(crate) struct Grants(pub(super) Vec<(Grantee, Role, Vec<Project>)>);

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::people_file;

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
        let grants = people_file::tests::read_text(text).unwrap().grants;
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
        use crate::access::Requirement::{Admin, BrowserWrite, Edit, Open, Read, Write};
        for (role, allowed) in [
            (Role::Viewer, vec![Open, Read]),
            (Role::Editor, vec![Open, Read, Edit]),
            (Role::Admin, vec![Open, Read, Edit, Admin]),
        ] {
            for requirement in [Open, Write, BrowserWrite, Read, Edit, Admin] {
                assert_eq!(
                    requirement.allows_role(role),
                    allowed.contains(&requirement),
                    "{role:?} {requirement:?}"
                );
            }
        }
    }
}
