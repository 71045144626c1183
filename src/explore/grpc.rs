//! ExploreService.

use tonic::{Request, Response, Status};

use super::request::Scope;
use super::{Explore, Query, QueryResult, messages};
use crate::access::Caller;
use crate::error::{Error, ErrorCode};
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

/// A request that a query answers.
pub(crate) trait Answerable: prost::Message + Default {
    /// The names of the messages in the contracts.
    const REQUEST: &'static str;
    const RESPONSE: &'static str;
    type Response: prost::Message;

    fn into_query(self, scope: &Scope<'_>) -> Result<Query, Error>;

    /// The response, if the result is one of this request's.
    fn response(result: &QueryResult) -> Option<Self::Response>;
}

macro_rules! answerable {
    ($request:ident, $response:ident, $kind:ident, $function:ident) => {
        impl Answerable for v1::$request {
            const REQUEST: &'static str = stringify!($request);
            const RESPONSE: &'static str = stringify!($response);
            type Response = v1::$response;

            fn into_query(self, scope: &Scope<'_>) -> Result<Query, Error> {
                scope.$function(self).map(Query::$kind)
            }

            fn response(result: &QueryResult) -> Option<v1::$response> {
                match result {
                    QueryResult::$kind(result) => Some(messages::$function(result)),
                    _ => None,
                }
            }
        }
    };
}

answerable!(QueryTrendRequest, QueryTrendResponse, Trend, trend);
answerable!(QueryFunnelRequest, QueryFunnelResponse, Funnel, funnel);
answerable!(QueryRetentionRequest, QueryRetentionResponse, Retention, retention);
answerable!(QueryPathsRequest, QueryPathsResponse, Paths, paths);
answerable!(ListPeopleRequest, ListPeopleResponse, People, people);

impl Explore {
    /// Answers a request of a caller.
    pub(super) async fn answer<R: Answerable>(
        &self,
        caller: &Caller,
        request: R,
    ) -> Result<R::Response, Error> {
        let properties = self.properties();
        let query = request.into_query(&Scope { project: &caller.project, properties: &properties })?;
        let result = self.query(query, &caller.id()).await?;
        R::response(&result).ok_or_else(|| {
            Error::new(ErrorCode::Internal, "the result is of another query; report this as a bug")
        })
    }
}

impl ExploreHandler {
    async fn answer<R: Answerable>(&self, request: Request<R>) -> Result<Response<R::Response>, Status> {
        let caller = Caller::of(request.extensions())?;
        Ok(Response::new(self.explore.answer(&caller, request.into_inner()).await?))
    }
}

#[tonic::async_trait]
impl ExploreService for ExploreHandler {
    async fn query_trend(
        &self,
        request: Request<v1::QueryTrendRequest>,
    ) -> Result<Response<v1::QueryTrendResponse>, Status> {
        self.answer(request).await
    }

    async fn query_funnel(
        &self,
        request: Request<v1::QueryFunnelRequest>,
    ) -> Result<Response<v1::QueryFunnelResponse>, Status> {
        self.answer(request).await
    }

    async fn query_retention(
        &self,
        request: Request<v1::QueryRetentionRequest>,
    ) -> Result<Response<v1::QueryRetentionResponse>, Status> {
        self.answer(request).await
    }

    async fn query_paths(
        &self,
        request: Request<v1::QueryPathsRequest>,
    ) -> Result<Response<v1::QueryPathsResponse>, Status> {
        self.answer(request).await
    }

    async fn list_people(
        &self,
        request: Request<v1::ListPeopleRequest>,
    ) -> Result<Response<v1::ListPeopleResponse>, Status> {
        self.answer(request).await
    }
}
