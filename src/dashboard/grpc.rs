//! DashboardService.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::pin::Pin;

use axum::extract::ConnectInfo;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _, StreamMap};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::messages;
use crate::edge;
use crate::error::Error;
use crate::panels::subscriptions::{ClientAddress, Subscriptions};
use crate::panels::{PanelError, PanelQuery, PanelResult, Panels, abbreviate};
use crate::proto::v1;
use v1::dashboard_service_server::DashboardService;

/// How many queries a call of WatchPanels may have.
const MAX_QUERIES: usize = 100;

/// Implements DashboardService.
#[derive(Debug)]
pub(crate) struct DashboardHandler {
    panels: Panels,
    subscriptions: Subscriptions,
    /// Ends the streams of WatchPanels.
    stop: CancellationToken,
}

impl DashboardHandler {
    /// Streams of WatchPanels end when `stop` is cancelled, or when their connection shuts down.
    pub(crate) fn new(panels: Panels, subscriptions: Subscriptions, stop: CancellationToken) -> Self {
        Self { panels, subscriptions, stop }
    }

    /// Queries a built-in panel and converts the result into its typed message.
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
    let range = messages::time_range(time_range).ok_or_else(|| {
        Error::invalid(format!(
            "time_range: {time_range} is invalid; expected TIME_RANGE_1H, TIME_RANGE_6H, TIME_RANGE_24H or TIME_RANGE_7D"
        ))
    })?;
    let time_zone = time_zone.filter(|zone| !zone.is_empty());
    Ok(PanelQuery { panel: panel.to_owned(), range, time_zone, parameters })
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
        Ok(Response::new(messages::list_response(&self.panels.catalog().borrow())))
    }

    async fn query_panel(
        &self,
        request: Request<v1::QueryPanelRequest>,
    ) -> Result<Response<v1::QueryPanelResponse>, Status> {
        let v1::QueryPanelRequest { panel, time_range, time_zone, parameters } = request.into_inner();
        let query = parse_query(&panel, time_range, time_zone, parameters.into_iter().collect())?;
        let result = self.panels.query(query).await.map_err(Error::from)?;
        Ok(Response::new(v1::QueryPanelResponse { table: Some(messages::table(&result)) }))
    }

    type WatchPanelsStream = Pin<Box<dyn Stream<Item = Result<v1::WatchPanelsResponse, Status>> + Send>>;

    async fn watch_panels(
        &self,
        request: Request<v1::WatchPanelsRequest>,
    ) -> Result<Response<Self::WatchPanelsStream>, Status> {
        let stop = edge::connection_shutdown(request.extensions(), &self.stop);
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let client = ClientAddress::new(peer.map(|ConnectInfo(address)| address.ip()));
        let v1::WatchPanelsRequest { queries } = request.into_inner();
        let mut updates = StreamMap::with_capacity(queries.len());
        for (id, query) in self.parse_queries(queries)? {
            let panel = query.panel.clone();
            let (receiver, permit) = self.subscriptions.subscribe(query, client).map_err(Error::from)?;
            // Without the initial update, which has neither a result nor an error.
            let stream = WatchStream::new(receiver).filter(move |update| {
                let _permit = &permit;
                update.result.is_some() || update.stale.is_some()
            });
            updates.insert((id, panel), stream);
        }
        let responses = updates.map(|((id, panel), update)| {
            messages::watch_response(id, panel, &update).map_err(|error| Error::from(error).into())
        });
        // Ends with the connection or the server, so that clients reconnect elsewhere and do not delay the shutdown.
        let ended = futures_util::stream::once(async move { stop.cancelled().await });
        let ended = ended.map(|()| Err(edge::connection_closing_error().into()));
        Ok(Response::new(Box::pin(until_error(responses.merge(ended)))))
    }
}

impl DashboardHandler {
    /// Validates the queries of a request. Each has an id, the panel's name by default.
    fn parse_queries(&self, queries: Vec<v1::PanelQuery>) -> Result<Vec<(String, PanelQuery)>, Error> {
        if queries.is_empty() || queries.len() > MAX_QUERIES {
            return Err(Error::invalid(format!(
                "queries: {} are given; a call can watch 1 to {MAX_QUERIES} panels",
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
                    "id: {:?} is used twice; give each query of a call its own id",
                    abbreviate(&id)
                ))));
            }
            parsed.push((id, query));
        }
        Ok(parsed)
    }
}

/// The stream up to and including its first error.
fn until_error<T>(
    stream: impl Stream<Item = Result<T, Status>> + Send,
) -> impl Stream<Item = Result<T, Status>> + Send {
    let mut failed = false;
    stream.take_while(move |item| !std::mem::replace(&mut failed, item.is_err()))
}
