//! writer
pub mod columns;
