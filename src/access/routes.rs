//! HTTP routes, each with what it requires.

use std::collections::HashSet;
use std::convert::Infallible;

use axum::Router;
use axum::routing::MethodRouter;

use super::{AccessControl, Requirement, layer};

/// Collects the routes of a server. There is no way to add one without its requirement, other than the files of the
/// page.
pub(crate) struct HttpRoutes {
    router: Router,
    access: AccessControl,
    requirements: Vec<(String, Requirement)>,
}

impl HttpRoutes {
    pub(crate) fn new(access: AccessControl) -> Self {
        Self { router: Router::new(), access, requirements: Vec::new() }
    }

    /// Adds a route. Its handlers run for callers that meet the requirement.
    pub(crate) fn route(
        mut self,
        path: &str,
        requirement: Requirement,
        methods: MethodRouter<(), Infallible>,
    ) -> Self {
        let state = (self.access.clone(), requirement);
        let checked = methods.layer(axum::middleware::from_fn_with_state(state, layer::check_http));
        self.router = self.router.route(path, checked);
        self.requirements.push((path.to_owned(), requirement));
        self
    }

    /// Adds a file of the page, for everybody.
    pub(crate) fn file(mut self, path: &str, methods: MethodRouter<(), Infallible>) -> Self {
        self.router = self.router.route(path, methods);
        self
    }

    /// The paths that pages of other origins may use.
    pub(crate) fn browser_paths(&self) -> HashSet<String> {
        let for_browsers =
            self.requirements.iter().filter(|(_, requirement)| *requirement == Requirement::BrowserWrite);
        for_browsers.map(|(path, _)| path.clone()).collect()
    }

    /// Paths and requirements, for the log and for tests.
    pub(crate) fn requirements(&self) -> &[(String, Requirement)] {
        &self.requirements
    }

    pub(crate) fn into_router(self) -> Router {
        self.router
    }
}
