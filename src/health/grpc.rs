//! HealthService, and the status of grpc.health.v1.Health.

use std::pin::Pin;

use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::HealthView;
use crate::proto::v1;
use v1::health_service_server::HealthService;

/// A service's name in grpc.health.v1.Health.
pub(crate) const INGEST: &str = "millrace.v1.IngestService";
pub(crate) const DASHBOARD: &str = "millrace.v1.DashboardService";
pub(crate) const HEALTH: &str = "millrace.v1.HealthService";

/// Implements HealthService.
#[derive(Debug)]
pub(crate) struct HealthHandler {
    view: HealthView,
}

impl HealthHandler {
    /// Serves the health of `view`.
    pub(crate) fn new(view: HealthView) -> Self {
        Self { view }
    }
}

#[tonic::async_trait]
impl HealthService for HealthHandler {
    async fn check(&self, _: Request<v1::CheckRequest>) -> Result<Response<v1::CheckResponse>, Status> {
        Ok(Response::new(v1::CheckResponse { health: Some(self.view.current()) }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(&self, _: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let mut last_sent = None;
        // WatchStream holds only the latest health, so a slow reader skips some. The uptime alone is not a change.
        let changes = WatchStream::new(self.view.subscribe()).filter_map(move |health| {
            let comparable = v1::Health { uptime: None, ..health.clone() };
            if last_sent.as_ref() == Some(&comparable) {
                return None;
            }
            last_sent = Some(comparable);
            Some(Ok(v1::WatchResponse { health: Some(health) }))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

/// Sets the status of each service for load balancers until `stop` is cancelled, then sets all to not serving. Ingest does
/// not serve while events are not accepted, the dashboard while ClickHouse is unreachable.
pub(crate) async fn report_serving_status(
    reporter: HealthReporter,
    view: HealthView,
    stop: CancellationToken,
) {
    let mut view = view.subscribe();
    loop {
        let (down, reachable) = {
            let health = view.borrow_and_update();
            (health.status() == v1::Status::Down, health.clickhouse.as_ref().is_some_and(|c| c.reachable))
        };
        set_serving(&reporter, "", true).await;
        set_serving(&reporter, HEALTH, true).await;
        set_serving(&reporter, INGEST, !down).await;
        set_serving(&reporter, DASHBOARD, reachable).await;
        tokio::select! {
            () = stop.cancelled() => break,
            changed = view.changed() => if changed.is_err() { break },
        }
    }
    for service in ["", HEALTH, INGEST, DASHBOARD] {
        set_serving(&reporter, service, false).await;
    }
}

async fn set_serving(reporter: &HealthReporter, service: &str, serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    reporter.set_service_status(service, status).await;
}
