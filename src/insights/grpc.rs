//! InsightService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{Broken, Insights, may_see};
use crate::access::Caller;
use crate::error::Error;
use crate::project::Project;
use crate::proto::v1;
use v1::insight_service_server::InsightService;

/// Handles the calls of InsightService.
#[derive(Clone, Debug)]
pub(crate) struct InsightHandler {
    insights: Insights,
}

impl InsightHandler {
    pub(crate) fn new(insights: Insights) -> Self {
        Self { insights }
    }
}

impl Insights {
    pub(super) fn list_insights(&self, caller: &Caller) -> v1::ListInsightsResponse {
        let library = Arc::clone(&self.library.borrow());
        v1::ListInsightsResponse {
            insights: self.list(&caller.project, &library),
            broken: visible(&caller.project, &library.broken_insights),
            version: library.version.clone(),
            read_only: library.read_only_insights,
        }
    }

    pub(super) fn list_dashboards(&self, caller: &Caller) -> v1::ListDashboardsResponse {
        let library = Arc::clone(&self.library.borrow());
        v1::ListDashboardsResponse {
            dashboards: self.list(&caller.project, &library),
            broken: visible(&caller.project, &library.broken_dashboards),
            version: library.version.clone(),
            read_only: library.read_only_dashboards,
        }
    }

    pub(super) fn list_annotations(&self, caller: &Caller) -> v1::ListAnnotationsResponse {
        let library = Arc::clone(&self.library.borrow());
        v1::ListAnnotationsResponse {
            annotations: self.list(&caller.project, &library),
            broken: visible(&caller.project, &library.broken_annotations),
            version: library.version.clone(),
            read_only: library.read_only_annotations,
        }
    }
}

/// The broken files that a project may see.
fn visible(project: &Project, broken: &[Broken]) -> Vec<v1::BrokenInsightFile> {
    let visible =
        broken.iter().filter(|broken| may_see(project, broken.project.as_deref().unwrap_or_default()));
    visible.map(|broken| broken.file.clone()).collect()
}

fn missing(name: &str) -> Error {
    Error::invalid(format!("{name}: it is missing"))
}

#[tonic::async_trait]
impl InsightService for InsightHandler {
    async fn list_insights(
        &self,
        request: Request<v1::ListInsightsRequest>,
    ) -> Result<Response<v1::ListInsightsResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        Ok(Response::new(self.insights.list_insights(&caller)))
    }

    async fn get_insight(
        &self,
        request: Request<v1::GetInsightRequest>,
    ) -> Result<Response<v1::GetInsightResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        let insight = self.insights.get(&caller.project, &request.get_ref().name).map_err(Error::from)?;
        Ok(Response::new(v1::GetInsightResponse { insight: Some(insight) }))
    }

    async fn save_insight(
        &self,
        request: Request<v1::SaveInsightRequest>,
    ) -> Result<Response<v1::SaveInsightResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        let insight = request.into_inner().insight.ok_or_else(|| missing("insight"))?;
        let insight = Some(self.insights.save(&caller, insight).await?);
        Ok(Response::new(v1::SaveInsightResponse { insight }))
    }

    async fn delete_insight(
        &self,
        request: Request<v1::DeleteInsightRequest>,
    ) -> Result<Response<v1::DeleteInsightResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        let v1::DeleteInsightRequest { name, etag } = request.into_inner();
        self.insights.delete::<v1::Insight>(&caller, name, etag).await?;
        Ok(Response::new(v1::DeleteInsightResponse {}))
    }

    async fn list_dashboards(
        &self,
        request: Request<v1::ListDashboardsRequest>,
    ) -> Result<Response<v1::ListDashboardsResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        Ok(Response::new(self.insights.list_dashboards(&caller)))
    }

    async fn get_dashboard(
        &self,
        request: Request<v1::GetDashboardRequest>,
    ) -> Result<Response<v1::GetDashboardResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        let dashboard = self.insights.get(&caller.project, &request.get_ref().name).map_err(Error::from)?;
        Ok(Response::new(v1::GetDashboardResponse { dashboard: Some(dashboard) }))
    }

    async fn save_dashboard(
        &self,
        request: Request<v1::SaveDashboardRequest>,
    ) -> Result<Response<v1::SaveDashboardResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        let dashboard = request.into_inner().dashboard.ok_or_else(|| missing("dashboard"))?;
        let dashboard = Some(self.insights.save(&caller, dashboard).await?);
        Ok(Response::new(v1::SaveDashboardResponse { dashboard }))
    }

    async fn delete_dashboard(
        &self,
        request: Request<v1::DeleteDashboardRequest>,
    ) -> Result<Response<v1::DeleteDashboardResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        let v1::DeleteDashboardRequest { name, etag } = request.into_inner();
        self.insights.delete::<v1::Dashboard>(&caller, name, etag).await?;
        Ok(Response::new(v1::DeleteDashboardResponse {}))
    }

    async fn list_annotations(
        &self,
        request: Request<v1::ListAnnotationsRequest>,
    ) -> Result<Response<v1::ListAnnotationsResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        Ok(Response::new(self.insights.list_annotations(&caller)))
    }

    async fn save_annotation(
        &self,
        request: Request<v1::SaveAnnotationRequest>,
    ) -> Result<Response<v1::SaveAnnotationResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        let annotation = request.into_inner().annotation.ok_or_else(|| missing("annotation"))?;
        let annotation = Some(self.insights.save(&caller, annotation).await?);
        Ok(Response::new(v1::SaveAnnotationResponse { annotation }))
    }

    async fn delete_annotation(
        &self,
        request: Request<v1::DeleteAnnotationRequest>,
    ) -> Result<Response<v1::DeleteAnnotationResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        let v1::DeleteAnnotationRequest { name, etag } = request.into_inner();
        self.insights.delete::<v1::Annotation>(&caller, name, etag).await?;
        Ok(Response::new(v1::DeleteAnnotationResponse {}))
    }
}
