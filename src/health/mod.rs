//! How the server is. The [`HealthCollector`] looks at the parts once a second and whenever asked for a fresh look; the gRPC
//! services only show what it saw.

mod collect;
pub mod grpc;

pub use collect::{HealthCollector, HealthSources, HealthView};
