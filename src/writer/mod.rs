//! writer
pub mod batch;
pub mod columns;
pub mod producers;
pub mod recent_ids;
pub mod record;
