//! OperationsService: what an operator looks into when the health is not ok.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::blocking::run_blocking;
use crate::config::Setting;
use crate::counters::HistogramSnapshot;
use crate::error::{Error, ErrorCode};
use crate::panels::Panels;
use crate::proto::{timestamp_from_millis, v1};
use crate::writer::dead_letter::{DeadLetter, DeadLetterListing, DeadLetters};
use v1::operations_service_server::OperationsService;

/// How many dead letters a list has.
const MAX_LISTED: usize = 1_000;

/// Implements OperationsService.
#[derive(Debug)]
pub(crate) struct OperationsHandler {
    dead_letters: DeadLetters,
    panels: Panels,
    settings: Arc<[Setting]>,
}

impl OperationsHandler {
    pub(crate) fn new(dead_letters: DeadLetters, panels: Panels, settings: Vec<Setting>) -> Self {
        Self { dead_letters, panels, settings: settings.into() }
    }
}

fn timestamp(text: &str) -> Option<prost_types::Timestamp> {
    Some(timestamp_from_millis(text.parse::<Timestamp>().ok()?.as_millisecond()))
}

fn dead_letter(letter: DeadLetter) -> v1::DeadLetter {
    v1::DeadLetter {
        batch_id: letter.batch_id.to_string(),
        events: letter.events,
        bytes: letter.bytes,
        dead_lettered_at: timestamp(&letter.dead_lettered_at),
        reason: letter.reason,
        refused: letter.rejected,
        attempts: letter.attempts,
        next_attempt_at: letter.next_attempt_at.as_deref().filter(|_| !letter.rejected).and_then(timestamp),
    }
}

/// The batches to replay: all if none are named.
fn choose(letters: &[DeadLetter], ids: &[String]) -> Result<Vec<Uuid>, Error> {
    if ids.is_empty() {
        return Ok(letters.iter().map(|letter| letter.batch_id).collect());
    }
    let known = |id: &String| {
        let id: Uuid = id.parse().map_err(|_| Error::invalid(format!("batch_ids: {id:?} is not a UUID")))?;
        if letters.iter().any(|letter| letter.batch_id == id) {
            return Ok(id);
        }
        let message = format!("batch_ids: there is no dead letter {id}; it may have been replayed already");
        Err(Error::new(ErrorCode::NotFound, message))
    };
    ids.iter().map(known).collect()
}

#[tonic::async_trait]
impl OperationsService for OperationsHandler {
    async fn list_dead_letters(
        &self,
        _: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        let DeadLetterListing { letters, problems } = self.dead_letters.list();
        let dead_letters = letters.into_iter().take(MAX_LISTED).map(dead_letter).collect();
        Ok(Response::new(v1::ListDeadLettersResponse { dead_letters, problems }))
    }

    async fn replay_dead_letters(
        &self,
        request: Request<v1::ReplayDeadLettersRequest>,
    ) -> Result<Response<v1::ReplayDeadLettersResponse>, Status> {
        let chosen = choose(&self.dead_letters.list().letters, &request.into_inner().batch_ids)?;
        let batches = u32::try_from(chosen.len()).unwrap_or(u32::MAX);
        let dead_letters = self.dead_letters.clone();
        let requeued =
            run_blocking(move || chosen.into_iter().try_for_each(|batch_id| dead_letters.requeue(batch_id)));
        requeued.await.map_err(|error| {
            Error::new(ErrorCode::Internal, format!("the dead letters cannot be changed: {error}"))
        })?;
        Ok(Response::new(v1::ReplayDeadLettersResponse { batches }))
    }

    async fn list_panel_statistics(
        &self,
        _: Request<v1::ListPanelStatisticsRequest>,
    ) -> Result<Response<v1::ListPanelStatisticsResponse>, Status> {
        let mut panels: Vec<(f64, v1::PanelStatistics)> = Vec::new();
        for (panel, figures) in self.panels.stats().by_panel() {
            let latency = figures.latency.snapshot();
            let last_error = figures.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let average = latency.sum_seconds / latency.count().max(1) as f64;
            let p99 = latency.quantile_since(&HistogramSnapshot::default(), 0.99);
            let message = v1::PanelStatistics {
                panel,
                statements: latency.count(),
                failures: figures.failures.load(Relaxed),
                average: prost_types::Duration::try_from(std::time::Duration::from_secs_f64(average)).ok(),
                p99: p99.and_then(|p99| prost_types::Duration::try_from(p99).ok()),
                last_error_at: last_error.as_ref().map(|(_, at)| timestamp_from_millis(at.as_millisecond())),
                last_error: last_error.map(|(message, _)| message).unwrap_or_default(),
            };
            panels.push((latency.sum_seconds, message));
        }
        panels.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let panels = panels.into_iter().map(|(_, panel)| panel).collect();
        Ok(Response::new(v1::ListPanelStatisticsResponse { panels }))
    }

    async fn list_settings(
        &self,
        _: Request<v1::ListSettingsRequest>,
    ) -> Result<Response<v1::ListSettingsResponse>, Status> {
        let setting = |setting: &Setting| v1::Setting {
            name: setting.name.clone(),
            value: setting.value.clone().unwrap_or_default(),
            secret: setting.value.is_none(),
            is_default: setting.is_default,
            description: setting.description.clone(),
        };
        let settings = self.settings.iter().map(setting).collect();
        Ok(Response::new(v1::ListSettingsResponse { settings }))
    }
}
