//! How the server is. The [`Gatherer`] looks at the parts once a second and whenever asked for a fresh look; the gRPC
//! services only show what it saw.

mod gather;
pub mod grpc;

pub use gather::{Gatherer, HealthView, Sources};
