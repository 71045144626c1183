//! AdminService.

use std::num::NonZeroU32;

use tonic::{Request, Response, Status};

use super::file::{KeyFile, KeyFileError, KeyOptions, KeyRecord};
use super::key::{KeyId, Scope};
use super::limits::LimitSettings;
use crate::blocking::run_blocking;
use crate::error::{Error, ErrorCode};
use crate::proto::v1;
use v1::KeyScope;
use v1::admin_service_server::AdminService;

/// Changes the file of keys. The server follows the file.
#[derive(Debug)]
pub(crate) struct AdminHandler {
    file: KeyFile,
}

impl AdminHandler {
    pub(crate) fn new(file: KeyFile) -> Self {
        Self { file }
    }

    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&KeyFile) -> Result<T, KeyFileError> + Send + 'static,
    ) -> Result<T, Error> {
        let file = self.file.clone();
        Ok(run_blocking(move || change(&file)).await?)
    }
}

impl From<KeyFileError> for Error {
    fn from(error: KeyFileError) -> Self {
        let code = match error {
            KeyFileError::Invalid(_) => ErrorCode::Invalid,
            KeyFileError::Unknown(_) => ErrorCode::NotFound,
            KeyFileError::File(_) | KeyFileError::Syntax { .. } | KeyFileError::Key { .. } => {
                ErrorCode::Internal
            }
        };
        Self::new(code, error.to_string())
    }
}

fn parse_id(id: &str) -> Result<KeyId, Error> {
    id.parse().map_err(|error: super::key::InvalidKeyId| Error::invalid(format!("id: {error}")))
}

fn parse_scope(scope: KeyScope) -> Option<Scope> {
    match scope {
        KeyScope::Unspecified => None,
        KeyScope::Write => Some(Scope::Write),
        KeyScope::Browser => Some(Scope::Browser),
        KeyScope::Read => Some(Scope::Read),
        KeyScope::Admin => Some(Scope::Admin),
    }
}

/// 0 is no limit.
fn limits_of(limits: v1::KeyLimits) -> Result<LimitSettings, Error> {
    let v1::KeyLimits {
        events_per_second,
        burst,
        bytes_per_second,
        events_per_day,
        max_streams,
        max_requests,
    } = limits;
    if burst > 0 && events_per_second == 0 {
        return Err(Error::invalid(format!("limits: burst is {burst} without events_per_second; give both")));
    }
    Ok(LimitSettings {
        events_per_second: NonZeroU32::new(events_per_second),
        burst: NonZeroU32::new(burst),
        bytes_per_second: NonZeroU32::new(bytes_per_second),
        events_per_day: (events_per_day > 0).then_some(events_per_day),
        max_streams: NonZeroU32::new(max_streams),
        max_requests: NonZeroU32::new(max_requests),
    })
}

fn limits_message(limits: &LimitSettings) -> v1::KeyLimits {
    let number = |limit: Option<NonZeroU32>| limit.map_or(0, NonZeroU32::get);
    v1::KeyLimits {
        events_per_second: number(limits.events_per_second),
        burst: number(limits.burst),
        bytes_per_second: number(limits.bytes_per_second),
        events_per_day: limits.events_per_day.unwrap_or(0),
        max_streams: number(limits.max_streams),
        max_requests: number(limits.max_requests),
    }
}

fn to_message(record: KeyRecord) -> v1::Key {
    let scope = match record.scope {
        Scope::Write => KeyScope::Write,
        Scope::Browser => KeyScope::Browser,
        Scope::Read => KeyScope::Read,
        Scope::Admin => KeyScope::Admin,
    };
    let created_at = record.created_at.parse::<jiff::Timestamp>().ok();
    v1::Key {
        id: record.id.to_string(),
        name: record.name,
        scope: scope.into(),
        project: record.project,
        origins: record.origins,
        events: record.events,
        created_at: created_at.map(|time| crate::proto::timestamp_from_millis(time.as_millisecond())),
        secrets: record.secrets.len() as u32,
        limits: Some(limits_message(&record.limits)),
    }
}

#[tonic::async_trait]
impl AdminService for AdminHandler {
    async fn list_keys(
        &self,
        _: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        let records = self.change(KeyFile::read).await?.unwrap_or_default();
        Ok(Response::new(v1::ListKeysResponse { keys: records.into_iter().map(to_message).collect() }))
    }

    async fn create_key(
        &self,
        request: Request<v1::CreateKeyRequest>,
    ) -> Result<Response<v1::CreateKeyResponse>, Status> {
        let v1::CreateKeyRequest { name, scope, project, origins, events, limits } = request.into_inner();
        let scope = KeyScope::try_from(scope).ok().and_then(parse_scope).ok_or_else(|| {
            Error::invalid(format!(
                "scope: {scope} is invalid; expected KEY_SCOPE_WRITE, KEY_SCOPE_BROWSER, KEY_SCOPE_READ or KEY_SCOPE_ADMIN"
            ))
        })?;
        let project = match project.as_str() {
            "" => Default::default(),
            name => name.parse().map_err(|error| Error::invalid(format!("project: {error}")))?,
        };
        let limits = limits_of(limits.unwrap_or_default())?;
        let options = KeyOptions { name, scope, project, origins, events, certificates: Vec::new(), limits };
        let (record, new) = self.change(move |file| file.create(options)).await?;
        tracing::info!(key = %record.id, scope = %record.scope, project = record.project, "key created");
        Ok(Response::new(v1::CreateKeyResponse { key: Some(to_message(record)), text: new.text }))
    }

    async fn rotate_key(
        &self,
        request: Request<v1::RotateKeyRequest>,
    ) -> Result<Response<v1::RotateKeyResponse>, Status> {
        let id = parse_id(&request.into_inner().id)?;
        let (record, new) = self.change(move |file| file.rotate(&id)).await?;
        tracing::info!(key = %record.id, "key rotated");
        Ok(Response::new(v1::RotateKeyResponse { key: Some(to_message(record)), text: new.text }))
    }

    async fn revoke_key(
        &self,
        request: Request<v1::RevokeKeyRequest>,
    ) -> Result<Response<v1::RevokeKeyResponse>, Status> {
        let v1::RevokeKeyRequest { id, old_secrets_only } = request.into_inner();
        let id = parse_id(&id)?;
        let changed = move |file: &KeyFile| match old_secrets_only {
            true => file.revoke_old(&id),
            false => file.revoke(&id),
        };
        let record = self.change(changed).await?;
        tracing::info!(key = %record.id, old_secrets_only, "key revoked");
        Ok(Response::new(v1::RevokeKeyResponse {}))
    }
}
