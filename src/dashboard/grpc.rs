//! DashboardService.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _, StreamMap};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::clickhouse::ErrorKind;
use crate::edge;
use crate::error::{Error, ErrorCode};
use crate::panels::catalog::{Catalog, abbreviate};
use crate::panels::range::TimeRange;
use crate::panels::subscriptions::{ClientAddress, PanelUpdate, Subscriptions};
use crate::panels::{PanelError, PanelQuery, PanelResult, Panels, messages};
use crate::proto::v1;
use v1::dashboard_service_server::DashboardService;

/// When a caller should ask again that found ClickHouse away.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// How many panels one call may watch.
const MAX_QUERIES: usize = 100;

/// The gRPC door.
#[derive(Debug)]
pub struct DashboardHandler {
    panels: Panels,
    subscriptions: Subscriptions,
    /// Ends the streams.
    stop: CancellationToken,
}

impl DashboardHandler {
    /// A door to the panels, whose streams end with `stop`.
    pub fn new(panels: Panels, subscriptions: Subscriptions, stop: CancellationToken) -> Self {
        Self { panels, subscriptions, stop }
    }

    /// Asks a built-in panel and shapes the answer.
    async fn query_message<T>(
        &self,
        panel: &str,
        time_range: i32,
        time_zone: Option<String>,
        parameter: Option<(&str, u32)>,
        to_message: impl Fn(&PanelResult) -> Result<T, PanelError>,
    ) -> Result<Response<T>, Status> {
        let parameters =
            parameter.map(|(name, value)| (name.to_owned(), value.to_string())).into_iter().collect();
        let query = parse_query(panel, time_range, time_zone, parameters)?;
        let result = self.panels.query(query).await.map_err(Error::from)?;
        Ok(Response::new(to_message(&result).map_err(Error::from)?))
    }
}

fn parse_query(
    panel: &str,
    time_range: i32,
    time_zone: Option<String>,
    parameters: BTreeMap<String, String>,
) -> Result<PanelQuery, Error> {
    let range = TimeRange::from_proto(time_range).ok_or_else(|| {
        Error::invalid(format!(
            "time_range: {time_range} is not known; TIME_RANGE_1H, TIME_RANGE_6H, TIME_RANGE_24H or TIME_RANGE_7D is \
             expected"
        ))
    })?;
    let time_zone = time_zone.filter(|zone| !zone.is_empty());
    Ok(PanelQuery { panel: panel.to_owned(), range, time_zone, parameters })
}

impl From<PanelError> for Error {
    fn from(error: PanelError) -> Self {
        let kind = match &error {
            PanelError::UnknownPanel { .. } => ErrorCode::NotFound,
            PanelError::InvalidQuery(_) => ErrorCode::Invalid,
            PanelError::Busy | PanelError::MemoryExhausted(_) => ErrorCode::Busy { retry_after: RETRY_DELAY },
            PanelError::InvalidResult { .. } => ErrorCode::Internal,
            PanelError::ClickHouse { source, .. } => match source.kind {
                ErrorKind::Unreachable | ErrorKind::Transient => {
                    ErrorCode::Unavailable { retry_after: RETRY_DELAY }
                }
                ErrorKind::LimitExceeded => ErrorCode::TimedOut,
                ErrorKind::Permanent => ErrorCode::Internal,
            },
        };
        Self::new(kind, error.to_string())
    }
}

#[tonic::async_trait]
impl DashboardService for DashboardHandler {
    async fn get_active_users(
        &self,
        request: Request<v1::GetActiveUsersRequest>,
    ) -> Result<Response<v1::GetActiveUsersResponse>, Status> {
        let v1::GetActiveUsersRequest { time_range, time_zone, window_minutes } = request.into_inner();
        let window = window_minutes.map(|minutes| ("window_minutes", minutes));
        self.query_message("active_users", time_range, time_zone, window, messages::active_users).await
    }

    async fn get_signup_funnel(
        &self,
        request: Request<v1::GetSignupFunnelRequest>,
    ) -> Result<Response<v1::GetSignupFunnelResponse>, Status> {
        let v1::GetSignupFunnelRequest { time_range, time_zone } = request.into_inner();
        self.query_message("signup_funnel", time_range, time_zone, None, messages::signup_funnel).await
    }

    async fn get_top_features(
        &self,
        request: Request<v1::GetTopFeaturesRequest>,
    ) -> Result<Response<v1::GetTopFeaturesResponse>, Status> {
        let v1::GetTopFeaturesRequest { time_range, time_zone, limit } = request.into_inner();
        let limit = limit.map(|limit| ("limit", limit));
        self.query_message("top_features", time_range, time_zone, limit, messages::top_features).await
    }

    async fn get_error_rate(
        &self,
        request: Request<v1::GetErrorRateRequest>,
    ) -> Result<Response<v1::GetErrorRateResponse>, Status> {
        let v1::GetErrorRateRequest { time_range, time_zone } = request.into_inner();
        self.query_message("error_rate", time_range, time_zone, None, messages::error_rate).await
    }

    async fn get_live_visitors(
        &self,
        request: Request<v1::GetLiveVisitorsRequest>,
    ) -> Result<Response<v1::GetLiveVisitorsResponse>, Status> {
        let v1::GetLiveVisitorsRequest { time_range, time_zone, window_minutes } = request.into_inner();
        let window = window_minutes.map(|minutes| ("window_minutes", minutes));
        self.query_message("live_visitors", time_range, time_zone, window, messages::live_visitors).await
    }

    async fn get_top_pages(
        &self,
        request: Request<v1::GetTopPagesRequest>,
    ) -> Result<Response<v1::GetTopPagesResponse>, Status> {
        let v1::GetTopPagesRequest { time_range, time_zone, limit } = request.into_inner();
        let limit = limit.map(|limit| ("limit", limit));
        self.query_message("top_pages", time_range, time_zone, limit, messages::top_pages).await
    }

    async fn get_traffic_by_country(
        &self,
        request: Request<v1::GetTrafficByCountryRequest>,
    ) -> Result<Response<v1::GetTrafficByCountryResponse>, Status> {
        let v1::GetTrafficByCountryRequest { time_range, time_zone } = request.into_inner();
        self.query_message("traffic_by_country", time_range, time_zone, None, messages::traffic_by_country)
            .await
    }

    async fn get_traffic_anomaly(
        &self,
        request: Request<v1::GetTrafficAnomalyRequest>,
    ) -> Result<Response<v1::GetTrafficAnomalyResponse>, Status> {
        let v1::GetTrafficAnomalyRequest { time_range, time_zone } = request.into_inner();
        self.query_message("traffic_anomaly", time_range, time_zone, None, messages::traffic_anomaly).await
    }

    async fn list_panels(
        &self,
        _: Request<v1::ListPanelsRequest>,
    ) -> Result<Response<v1::ListPanelsResponse>, Status> {
        Ok(Response::new(list_response(&self.panels.catalog().borrow())))
    }

    async fn query_panel(
        &self,
        request: Request<v1::QueryPanelRequest>,
    ) -> Result<Response<v1::QueryPanelResponse>, Status> {
        let v1::QueryPanelRequest { panel, time_range, time_zone, parameters } = request.into_inner();
        let query = parse_query(&panel, time_range, time_zone, parameters.into_iter().collect())?;
        let result = self.panels.query(query).await.map_err(Error::from)?;
        let table = result.table.to_proto(result.context.clone());
        Ok(Response::new(v1::QueryPanelResponse { table: Some(table) }))
    }

    type WatchPanelsStream = Pin<Box<dyn Stream<Item = Result<v1::WatchPanelsResponse, Status>> + Send>>;

    async fn watch_panels(
        &self,
        request: Request<v1::WatchPanelsRequest>,
    ) -> Result<Response<Self::WatchPanelsStream>, Status> {
        let stop = edge::connection_shutdown(request.extensions(), &self.stop);
        // Without an address, all who have none are one.
        let address =
            request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        let client = ClientAddress::new(address);
        let v1::WatchPanelsRequest { queries } = request.into_inner();
        let mut updates = StreamMap::with_capacity(queries.len());
        for (id, query) in self.parse_queries(queries)? {
            let panel = query.panel.clone();
            let (receiver, permit) = self.subscriptions.subscribe(query, client).map_err(|error| {
                Error::new(ErrorCode::Busy { retry_after: RETRY_DELAY }, error.to_string())
            })?;
            // A value that is not there yet is no value: each is sent once it is computed or has failed.
            let stream = WatchStream::new(receiver).filter(move |update| {
                let _permit = &permit;
                update.value.is_some() || update.stale.is_some()
            });
            updates.insert((id, panel), stream);
        }
        let responses = updates.map(|((id, panel), update)| Ok(watch_response(id, panel, update)));
        // Ends with the server or its connection, so that clients connect again elsewhere instead of holding up the stop.
        let ended = futures_util::stream::once(async move { stop.cancelled().await });
        let ended = ended.map(|()| Err(edge::connection_closing_error().into()));
        Ok(Response::new(Box::pin(until_error(responses.merge(ended)))))
    }
}

impl DashboardHandler {
    /// The questions of a request with their ids.
    fn parse_queries(&self, queries: Vec<v1::PanelQuery>) -> Result<Vec<(String, PanelQuery)>, Error> {
        if queries.is_empty() || queries.len() > MAX_QUERIES {
            return Err(Error::invalid(format!(
                "queries: there are {}; 1 to {MAX_QUERIES} panels can be watched by one call",
                queries.len()
            )));
        }
        let mut ids = HashSet::new();
        let mut parsed = Vec::with_capacity(queries.len());
        for (index, request) in queries.into_iter().enumerate() {
            let at = |error: Error| Error::new(error.code, format!("queries[{index}]: {error}"));
            let v1::PanelQuery { id, panel, time_range, time_zone, parameters } = request;
            let query =
                parse_query(&panel, time_range, time_zone, parameters.into_iter().collect()).map_err(at)?;
            let query = self.panels.validate(query).map_err(|error| at(error.into()))?;
            let id = if id.is_empty() { panel } else { id };
            if !ids.insert(id.clone()) {
                return Err(at(Error::invalid(format!(
                    "id: {:?} is there twice; give each query an id of its own",
                    abbreviate(&id)
                ))));
            }
            parsed.push((id, query));
        }
        Ok(parsed)
    }
}

/// The catalogue as the contract has it.
pub(super) fn list_response(catalog: &Catalog) -> v1::ListPanelsResponse {
    let panels = catalog.panels.values().map(|panel| v1::Panel {
        name: panel.name.clone(),
        title: panel.title.clone(),
        description: panel.description.clone(),
        unit: panel.unit.clone(),
        chart: panel.chart.into(),
        refresh: prost_types::Duration::try_from(panel.refresh).ok(),
        parameters: panel
            .parameters
            .iter()
            .map(|parameter| v1::PanelParameter {
                name: parameter.name.clone(),
                r#type: parameter.kind.name().to_owned(),
                default_value: parameter.default.clone(),
                description: parameter.description.clone(),
            })
            .collect(),
        sql: panel.sql.clone(),
        built_in: panel.built_in,
    });
    let broken = catalog.broken.iter().map(|broken| v1::BrokenPanel {
        file: broken.file.clone(),
        line: broken.line,
        message: broken.message.clone(),
    });
    v1::ListPanelsResponse { panels: panels.collect(), broken: broken.collect() }
}

fn watch_response(id: String, panel: String, update: PanelUpdate) -> v1::WatchPanelsResponse {
    let (stale_reason, stale_since) = update.stale.map(|stale| (stale.reason, stale.since)).unzip();
    v1::WatchPanelsResponse {
        id,
        panel,
        value: update.value.map(Arc::unwrap_or_clone),
        stale_reason,
        stale_since,
    }
}

/// The stream up to its first error, that one included.
fn until_error<T>(
    stream: impl Stream<Item = Result<T, Status>> + Send,
) -> impl Stream<Item = Result<T, Status>> + Send {
    let mut failed = false;
    stream.take_while(move |item| !std::mem::replace(&mut failed, item.is_err()))
}
