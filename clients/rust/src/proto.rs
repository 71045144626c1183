//! The contracts of proto/millrace/v1, generated at build time.

/// Messages of the package `millrace.v1`, and a client for each of its services.
pub mod v1 {
    tonic::include_proto!("millrace.v1");
}
