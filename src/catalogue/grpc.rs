//! CatalogueService.

use tonic::{Request, Response, Status};

use super::service::CatalogueService;
use crate::access::Caller;
use crate::error::Error;
use crate::proto::v1;
use v1::catalogue_service_server;

/// Implements CatalogueService.
#[derive(Debug)]
pub(crate) struct CatalogueHandler(CatalogueService);

impl CatalogueHandler {
    pub(crate) fn new(catalogue: CatalogueService) -> Self {
        Self(catalogue)
    }
}

#[tonic::async_trait]
impl catalogue_service_server::CatalogueService for CatalogueHandler {
    async fn list_event_names(
        &self,
        request: Request<v1::ListEventNamesRequest>,
    ) -> Result<Response<v1::ListEventNamesResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        let response = self.0.list_event_names(&caller, request.into_inner()).await;
        Ok(Response::new(response.map_err(Error::from)?))
    }

    async fn list_properties(
        &self,
        request: Request<v1::ListPropertiesRequest>,
    ) -> Result<Response<v1::ListPropertiesResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        let response = self.0.list_properties(&caller, request.into_inner()).await;
        Ok(Response::new(response.map_err(Error::from)?))
    }

    async fn list_values(
        &self,
        request: Request<v1::ListValuesRequest>,
    ) -> Result<Response<v1::ListValuesResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        let response = self.0.list_values(&caller, request.into_inner()).await;
        Ok(Response::new(response.map_err(Error::from)?))
    }
}
