//! PeopleService.

use tonic::{Request, Response, Status};

use super::service::PeopleService;
use crate::access::Caller;
use crate::error::Error;
use crate::proto::v1;
use v1::people_service_server;

/// Implements PeopleService.
#[derive(Debug)]
pub(crate) struct PeopleHandler(PeopleService);

impl PeopleHandler {
    pub(crate) fn new(people: PeopleService) -> Self {
        Self(people)
    }
}

#[tonic::async_trait]
impl people_service_server::PeopleService for PeopleHandler {
    async fn get_person(
        &self,
        request: Request<v1::GetPersonRequest>,
    ) -> Result<Response<v1::GetPersonResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        let response = self.0.get_person(&project, request.into_inner()).await;
        Ok(Response::new(response.map_err(Error::from)?))
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        let response = self.0.list_sessions(&project, request.into_inner()).await;
        Ok(Response::new(response.map_err(Error::from)?))
    }

    async fn get_timeline(
        &self,
        request: Request<v1::GetTimelineRequest>,
    ) -> Result<Response<v1::GetTimelineResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        let response = self.0.get_timeline(&project, request.into_inner()).await;
        Ok(Response::new(response.map_err(Error::from)?))
    }

    async fn search_people(
        &self,
        request: Request<v1::SearchPeopleRequest>,
    ) -> Result<Response<v1::SearchPeopleResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        let response = self.0.search_people(&project, request.into_inner()).await;
        Ok(Response::new(response.map_err(Error::from)?))
    }
}
