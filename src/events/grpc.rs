//! EventsService over gRPC.

use std::pin::Pin;

use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::search::{PageRequest, check_range};
use super::{Search, Tails};
use crate::access::Caller;
use crate::dashboard::request::query_range;
use crate::edge;
use crate::error::Error;
use crate::ingest::rejected::{MAX_REJECTED, RejectedEvents};
use crate::project::Project;
use crate::proto::v1;
use crate::sources::Sources;
use v1::events_service_server::EventsService;

const DEFAULT_REJECTED: u32 = 100;

/// Implements EventsService, and is what the routes of HTTP call.
#[derive(Clone, Debug)]
pub(crate) struct EventsHandler {
    pub(super) search: Search,
    pub(super) tails: Tails,
    rejected: RejectedEvents,
    sources: Sources,
    /// Ends the tails.
    pub(super) stop: CancellationToken,
}

impl EventsHandler {
    /// Tails end when `stop` is cancelled, or when their connection shuts down.
    pub(crate) fn new(
        search: Search,
        tails: Tails,
        rejected: RejectedEvents,
        sources: Sources,
        stop: CancellationToken,
    ) -> Self {
        Self { search, tails, rejected, sources, stop }
    }

    pub(super) fn list_rejected(
        &self,
        project: &Project,
        limit: Option<u32>,
    ) -> Result<v1::ListRejectedEventsResponse, Error> {
        let limit = limit.unwrap_or(DEFAULT_REJECTED);
        check_range("limit", limit, 1, MAX_REJECTED as u32)?;
        Ok(self.rejected.list(project, limit as usize))
    }

    pub(super) fn list_sources(&self, project: &Project) -> v1::ListSourcesResponse {
        self.sources.list(project)
    }
}

#[tonic::async_trait]
impl EventsService for EventsHandler {
    async fn search_events(
        &self,
        request: Request<v1::SearchEventsRequest>,
    ) -> Result<Response<v1::SearchEventsResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        let v1::SearchEventsRequest { filter, range, page_size, page_token } = request.into_inner();
        let (range, time_zone) = query_range(range)?;
        let request = PageRequest { filter, range, time_zone, page_size, page_token };
        Ok(Response::new(self.search.page(&project, request).await.map_err(Error::from)?))
    }

    type TailEventsStream = Pin<Box<dyn Stream<Item = Result<v1::TailEventsResponse, Status>> + Send>>;

    async fn tail_events(
        &self,
        request: Request<v1::TailEventsRequest>,
    ) -> Result<Response<Self::TailEventsStream>, Status> {
        let project = Caller::of(request.extensions())?.project;
        let stop = edge::connection_shutdown(request.extensions(), &self.stop);
        let tail = self.tails.start(project, request.into_inner()).await.map_err(Error::from)?;
        // Clients reconnect elsewhere, and do not delay the shutdown.
        let messages = futures_util::StreamExt::take_until(tail, stop.cancelled_owned()).map(Ok);
        let ended = futures_util::stream::once(async { Err(edge::connection_closing_error().into()) });
        Ok(Response::new(Box::pin(messages.chain(ended))))
    }

    async fn list_rejected_events(
        &self,
        request: Request<v1::ListRejectedEventsRequest>,
    ) -> Result<Response<v1::ListRejectedEventsResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        Ok(Response::new(self.list_rejected(&project, request.into_inner().limit)?))
    }

    async fn list_sources(
        &self,
        request: Request<v1::ListSourcesRequest>,
    ) -> Result<Response<v1::ListSourcesResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        Ok(Response::new(self.list_sources(&project)))
    }
}
