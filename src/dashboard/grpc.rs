//! DashboardService.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Instant;

use axum::extract::ConnectInfo;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _, StreamMap};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::frame::frame;
use super::heartbeat::{DashboardState, heartbeats, list_version};
use super::messages;
use super::request::QueryFields;
use crate::access::Caller;
use crate::edge;
use crate::error::Error;
use crate::explore::Explore;
use crate::explore::grpc::Answerable as _;
use crate::explore::request::Scope;
use crate::live::{ClientAddress, LiveQuery, LiveUpdate, QuotaPermit, Subscriptions};
use crate::panels::sql::SqlQueries;
use crate::panels::{PanelError, PanelResult, Panels, abbreviate};
use crate::project::Project;
use crate::proto::v1;
use v1::ResultFormat;
use v1::dashboard_service_server::DashboardService;

/// How many queries a call of WatchPanels may have.
const MAX_QUERIES: usize = 100;
/// The longest id of a query. Every update repeats it.
const MAX_ID_BYTES: usize = 256;

/// Implements DashboardService.
#[derive(Debug)]
pub(crate) struct DashboardHandler {
    panels: Panels,
    sql: SqlQueries,
    explore: Explore,
    subscriptions: Subscriptions,
    state: watch::Receiver<DashboardState>,
    /// Ends the streams of WatchPanels.
    stop: CancellationToken,
}

impl DashboardHandler {
    /// Streams of WatchPanels end when `stop` is cancelled, or when their connection shuts down.
    pub(crate) fn new(
        panels: Panels,
        sql: SqlQueries,
        explore: Explore,
        subscriptions: Subscriptions,
        state: watch::Receiver<DashboardState>,
        stop: CancellationToken,
    ) -> Self {
        Self { panels, sql, explore, subscriptions, state, stop }
    }

    /// Queries a built-in panel and converts the result into its typed message.
    async fn query_message<T>(
        &self,
        panel: &str,
        project: Project,
        fields: QueryFields,
        parameter: Option<(&str, u32)>,
        to_message: impl Fn(&PanelResult) -> Result<T, PanelError>,
    ) -> Result<Response<T>, Status> {
        let parameters =
            parameter.map(|(name, value)| (name.to_owned(), value.to_string())).into_iter().collect();
        let fields = QueryFields { panel: panel.to_owned(), parameters, ..fields };
        let query = fields.into_query(project)?;
        let result = self.panels.query(query).await.map_err(Error::from)?;
        Ok(Response::new(to_message(&result).map_err(Error::from)?))
    }
}

fn parse_format(result_format: i32) -> Result<ResultFormat, Error> {
    messages::result_format(result_format).ok_or_else(|| {
        Error::invalid(format!(
            "result_format: {result_format} is invalid; expected RESULT_FORMAT_UNSPECIFIED or RESULT_FORMAT_FRAME"
        ))
    })
}

/// The response of ListPanels.
pub(super) fn list_panels(
    panels: &Panels,
    state: &watch::Receiver<DashboardState>,
) -> v1::ListPanelsResponse {
    let list = messages::list_response(&panels.catalog().borrow());
    let sources = panels.sources();
    v1::ListPanelsResponse {
        version: list_version(&list),
        has_events: state.borrow().has_events,
        dimensions: messages::dimensions(&sources.properties.borrow()),
        events_retention_days: sources.events_retention_days,
        rollup_retention_days: sources.rollup_retention_days,
        ..list
    }
}

/// Executes a statement of a caller.
pub(super) async fn query_sql(
    sql: &SqlQueries,
    project: Project,
    request: v1::QuerySqlRequest,
) -> Result<v1::QuerySqlResponse, Error> {
    let v1::QuerySqlRequest { sql: text, range, bucket, filters, parameters } = request;
    let v1::QueryRange { time_range, interval, time_zone } = range.unwrap_or_default();
    let parameters = parameters.into_iter().collect();
    let fields = QueryFields {
        time_range,
        interval,
        bucket,
        filters,
        time_zone,
        parameters,
        ..QueryFields::default()
    };
    let started_at = Instant::now();
    let result = sql.query(&text, fields.into_query(project)?).await?;
    let cost = v1::QueryCost {
        rows_read: result.statistics.rows_read,
        bytes_read: result.statistics.bytes_read,
        elapsed: prost_types::Duration::try_from(started_at.elapsed()).ok(),
    };
    Ok(v1::QuerySqlResponse { frame: Some(frame(&result)), cost: Some(cost) })
}

#[tonic::async_trait]
impl DashboardService for DashboardHandler {
    async fn get_active_users(
        &self,
        request: Request<v1::GetActiveUsersRequest>,
    ) -> Result<Response<v1::GetActiveUsersResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        let v1::GetActiveUsersRequest { time_range, interval, bucket, filters, time_zone, window_minutes } =
            request.into_inner();
        let window = window_minutes.map(|minutes| ("window_minutes", minutes));
        let fields =
            QueryFields { time_range, interval, bucket, filters, time_zone, ..QueryFields::default() };
        self.query_message("active_users", project, fields, window, messages::active_users).await
    }

    async fn get_signup_funnel(
        &self,
        request: Request<v1::GetSignupFunnelRequest>,
    ) -> Result<Response<v1::GetSignupFunnelResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        let v1::GetSignupFunnelRequest { time_range, interval, bucket, filters, time_zone } =
            request.into_inner();
        let fields =
            QueryFields { time_range, interval, bucket, filters, time_zone, ..QueryFields::default() };
        self.query_message("signup_funnel", project, fields, None, messages::signup_funnel).await
    }

    async fn get_top_features(
        &self,
        request: Request<v1::GetTopFeaturesRequest>,
    ) -> Result<Response<v1::GetTopFeaturesResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        let v1::GetTopFeaturesRequest { time_range, interval, filters, time_zone, limit } =
            request.into_inner();
        let limit = limit.map(|limit| ("limit", limit));
        let fields = QueryFields { time_range, interval, filters, time_zone, ..QueryFields::default() };
        self.query_message("top_features", project, fields, limit, messages::top_features).await
    }

    async fn get_error_rate(
        &self,
        request: Request<v1::GetErrorRateRequest>,
    ) -> Result<Response<v1::GetErrorRateResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        let v1::GetErrorRateRequest { time_range, interval, bucket, filters, time_zone } =
            request.into_inner();
        let fields =
            QueryFields { time_range, interval, bucket, filters, time_zone, ..QueryFields::default() };
        self.query_message("error_rate", project, fields, None, messages::error_rate).await
    }

    async fn get_live_visitors(
        &self,
        request: Request<v1::GetLiveVisitorsRequest>,
    ) -> Result<Response<v1::GetLiveVisitorsResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        let v1::GetLiveVisitorsRequest { time_range, filters, time_zone, window_minutes } =
            request.into_inner();
        let window = window_minutes.map(|minutes| ("window_minutes", minutes));
        let fields = QueryFields { time_range, filters, time_zone, ..QueryFields::default() };
        self.query_message("live_visitors", project, fields, window, messages::live_visitors).await
    }

    async fn get_top_pages(
        &self,
        request: Request<v1::GetTopPagesRequest>,
    ) -> Result<Response<v1::GetTopPagesResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        let v1::GetTopPagesRequest { time_range, interval, filters, time_zone, limit } = request.into_inner();
        let limit = limit.map(|limit| ("limit", limit));
        let fields = QueryFields { time_range, interval, filters, time_zone, ..QueryFields::default() };
        self.query_message("top_pages", project, fields, limit, messages::top_pages).await
    }

    async fn get_traffic_by_country(
        &self,
        request: Request<v1::GetTrafficByCountryRequest>,
    ) -> Result<Response<v1::GetTrafficByCountryResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        let v1::GetTrafficByCountryRequest { time_range, interval, bucket, filters, time_zone } =
            request.into_inner();
        let fields =
            QueryFields { time_range, interval, bucket, filters, time_zone, ..QueryFields::default() };
        self.query_message("traffic_by_country", project, fields, None, messages::traffic_by_country).await
    }

    async fn get_traffic_anomaly(
        &self,
        request: Request<v1::GetTrafficAnomalyRequest>,
    ) -> Result<Response<v1::GetTrafficAnomalyResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        let v1::GetTrafficAnomalyRequest { time_range, filters, time_zone } = request.into_inner();
        let fields = QueryFields { time_range, filters, time_zone, ..QueryFields::default() };
        self.query_message("traffic_anomaly", project, fields, None, messages::traffic_anomaly).await
    }

    async fn list_panels(
        &self,
        _: Request<v1::ListPanelsRequest>,
    ) -> Result<Response<v1::ListPanelsResponse>, Status> {
        Ok(Response::new(list_panels(&self.panels, &self.state)))
    }

    async fn query_panel(
        &self,
        request: Request<v1::QueryPanelRequest>,
    ) -> Result<Response<v1::QueryPanelResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        let v1::QueryPanelRequest {
            panel,
            time_range,
            time_zone,
            parameters,
            result_format,
            interval,
            bucket,
            filters,
            compare,
        } = request.into_inner();
        let format = parse_format(result_format)?;
        let parameters = parameters.into_iter().collect();
        let fields =
            QueryFields { panel, time_range, interval, bucket, compare, filters, time_zone, parameters };
        let query = fields.into_query(project)?;
        let result = self.panels.query(query).await.map_err(Error::from)?;
        let (table, frame) = match format {
            ResultFormat::Unspecified => (Some(messages::table(&result)), None),
            ResultFormat::Frame => (None, Some(frame(&result))),
        };
        Ok(Response::new(v1::QueryPanelResponse { table, frame }))
    }

    async fn query_sql(
        &self,
        request: Request<v1::QuerySqlRequest>,
    ) -> Result<Response<v1::QuerySqlResponse>, Status> {
        let project = Caller::of(request.extensions())?.project;
        Ok(Response::new(query_sql(&self.sql, project, request.into_inner()).await?))
    }

    type WatchPanelsStream = Pin<Box<dyn Stream<Item = Result<v1::WatchPanelsResponse, Status>> + Send>>;

    async fn watch_panels(
        &self,
        request: Request<v1::WatchPanelsRequest>,
    ) -> Result<Response<Self::WatchPanelsStream>, Status> {
        let project = Caller::of(request.extensions())?.project;
        let stop = edge::connection_shutdown(request.extensions(), &self.stop);
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let client = ClientAddress::new(peer.map(|ConnectInfo(address)| address.ip()));
        let v1::WatchPanelsRequest { queries, result_format } = request.into_inner();
        let format = parse_format(result_format)?;
        let (mut updates, mut errors) = (StreamMap::with_capacity(queries.len()), Vec::new());
        for (id, query) in with_ids(queries)? {
            let panel = query.panel.clone();
            match self.subscribe(query, project.clone(), client) {
                Ok((receiver, permit)) => {
                    let stream = query_updates(id.clone(), panel, receiver, permit, format);
                    updates.insert(id, Box::pin(stream));
                }
                Err(error) => errors.push(messages::query_error(id, abbreviate(&panel), error)),
            }
        }
        let heartbeats = heartbeats(self.state.clone())
            .map(|heartbeat| v1::WatchPanelsResponse { heartbeat: Some(heartbeat), ..Default::default() });
        let updates = futures_util::stream::iter(errors).merge(updates.map(|(_, update)| update));
        // Ends with the connection or the server, so that clients reconnect elsewhere and do not delay the shutdown.
        let ended = futures_util::stream::once(async move { stop.cancelled().await });
        let ended = ended.map(|()| Err(edge::connection_closing_error().into()));
        let responses = heartbeats.merge(updates).map(Ok).merge(ended);
        Ok(Response::new(Box::pin(take_through(responses, Result::is_err))))
    }
}

impl DashboardHandler {
    fn subscribe(
        &self,
        query: v1::PanelQuery,
        project: Project,
        client: ClientAddress,
    ) -> Result<(watch::Receiver<LiveUpdate>, QuotaPermit), Error> {
        if let Some(explore) = query.explore {
            if query.id.is_empty() {
                return Err(Error::invalid("id: it is missing; a query of Explore has no name of its own"));
            }
            return Ok(self.subscriptions.subscribe(self.explore_query(explore, &project)?, client)?);
        }
        let v1::PanelQuery {
            id: _,
            explore: _,
            panel,
            time_range,
            time_zone,
            parameters,
            interval,
            bucket,
            filters,
            compare,
        } = query;
        let parameters = parameters.into_iter().collect();
        let fields =
            QueryFields { panel, time_range, interval, bucket, compare, filters, time_zone, parameters };
        let query = fields.into_query(project)?;
        let query = LiveQuery::Panel(self.panels.validate(query)?);
        Ok(self.subscriptions.subscribe(query, client)?)
    }

    fn explore_query(&self, query: v1::panel_query::Explore, project: &Project) -> Result<LiveQuery, Error> {
        use v1::panel_query::Explore;
        let properties = self.explore.properties();
        let scope = Scope { project, properties: &properties };
        Ok(LiveQuery::Explore(Box::new(match query {
            Explore::Trend(request) => request.into_query(&scope)?,
            Explore::Funnel(request) => request.into_query(&scope)?,
            Explore::Retention(request) => request.into_query(&scope)?,
            Explore::Paths(request) => request.into_query(&scope)?,
        })))
    }
}

/// The queries of a request, each with its id: the panel's name by default.
fn with_ids(queries: Vec<v1::PanelQuery>) -> Result<Vec<(String, v1::PanelQuery)>, Error> {
    if queries.is_empty() || queries.len() > MAX_QUERIES {
        return Err(Error::invalid(format!(
            "queries: {} are given; a call can watch 1 to {MAX_QUERIES} panels",
            queries.len()
        )));
    }
    let mut ids = HashSet::new();
    let mut identified = Vec::with_capacity(queries.len());
    for (index, query) in queries.into_iter().enumerate() {
        let id = if query.id.is_empty() { query.panel.clone() } else { query.id.clone() };
        if id.len() > MAX_ID_BYTES {
            return Err(Error::invalid(format!(
                "queries[{index}]: id: {:?} has {} bytes; the maximum is {MAX_ID_BYTES}",
                abbreviate(&id),
                id.len()
            )));
        }
        if !ids.insert(id.clone()) {
            return Err(Error::invalid(format!(
                "queries[{index}]: id: {:?} is used twice; give each query of a call its own id",
                abbreviate(&id)
            )));
        }
        identified.push((id, query));
    }
    Ok(identified)
}

/// The updates of one query, up to its end. The subscription counts for its client until the stream is dropped.
fn query_updates(
    id: String,
    panel: String,
    receiver: watch::Receiver<LiveUpdate>,
    permit: QuotaPermit,
    format: ResultFormat,
) -> impl Stream<Item = v1::WatchPanelsResponse> + Send {
    // Without the initial update, which has neither a result nor an error.
    let updates = WatchStream::new(receiver).filter(|update| !update.is_initial());
    let responses = updates.map(move |update| {
        let _permit = &permit;
        messages::watch_response(id.clone(), panel.clone(), &update, format)
    });
    take_through(responses, |response| response.error.is_some())
}

/// The stream up to and including the first item that is the last.
fn take_through<S: Stream + Send>(
    stream: S,
    is_last: impl Fn(&S::Item) -> bool + Send,
) -> impl Stream<Item = S::Item> + Send {
    let mut ended = false;
    stream.take_while(move |item| !std::mem::replace(&mut ended, is_last(item)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_at_most_256_bytes() {
        let query = |id: &str, panel: &str| v1::PanelQuery {
            id: id.into(),
            panel: panel.into(),
            ..Default::default()
        };
        let longest = "i".repeat(MAX_ID_BYTES);
        assert_eq!(with_ids(vec![query(&longest, "p")]).unwrap()[0].0, longest);
        let too_long = "i".repeat(MAX_ID_BYTES + 1);
        // The panel's name is the default.
        for query in [query(&too_long, "p"), query("", &too_long)] {
            let message = with_ids(vec![query]).unwrap_err().message;
            assert!(message.starts_with("queries[0]: id: ") && message.len() < 200, "{message}");
            assert!(message.ends_with("has 257 bytes; the maximum is 256"), "{message}");
        }
    }
}
