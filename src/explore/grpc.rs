//! ExploreService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::request::Scope;
use super::{Explore, Query, QueryResult, messages};
use crate::access::Caller;
use crate::error::Error;
use crate::proto::v1;
use v1::explore_service_server::ExploreService;

/// Handles the calls of ExploreService.
#[derive(Clone, Debug)]
pub(crate) struct ExploreHandler {
    explore: Explore,
}

impl ExploreHandler {
    pub(crate) fn new(explore: Explore) -> Self {
        Self { explore }
    }
}

impl Explore {
    /// Answers a trend.
    pub(super) async fn answer_trend(
        &self,
        caller: &Caller,
        request: v1::QueryTrendRequest,
    ) -> Result<v1::QueryTrendResponse, Error> {
        let query = self.parse(caller, |scope| scope.trend(request))?;
        match &*self.query(Query::Trend(query), &caller.id()).await? {
            QueryResult::Trend(result) => Ok(messages::trend(result)),
        }
    }

    fn parse<T>(
        &self,
        caller: &Caller,
        parse: impl FnOnce(&Scope<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let properties = Arc::clone(&self.sources.properties.borrow());
        parse(&Scope { project: &caller.project, properties: &properties })
    }
}

#[tonic::async_trait]
impl ExploreService for ExploreHandler {
    async fn query_trend(
        &self,
        request: Request<v1::QueryTrendRequest>,
    ) -> Result<Response<v1::QueryTrendResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        Ok(Response::new(self.explore.answer_trend(&caller, request.into_inner()).await?))
    }

    async fn query_funnel(
        &self,
        _request: Request<v1::QueryFunnelRequest>,
    ) -> Result<Response<v1::QueryFunnelResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn query_retention(
        &self,
        _request: Request<v1::QueryRetentionRequest>,
    ) -> Result<Response<v1::QueryRetentionResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn query_paths(
        &self,
        _request: Request<v1::QueryPathsRequest>,
    ) -> Result<Response<v1::QueryPathsResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn list_people(
        &self,
        _request: Request<v1::ListPeopleRequest>,
    ) -> Result<Response<v1::ListPeopleResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }
}
