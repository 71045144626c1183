//! Millrace: real-time event analytics that a team runs itself.
//!
//! The modules, in the order in which an event travels:
//!
//! 1. `edge`: accepts connections, and enforces limits and origins before a request is read.
//! 2. `ingest`: gRPC and HTTP handlers decode requests and submit their events. They keep nothing.
//!    `kafka`, of the feature of the same name, consumes topics: Kafka is the journal of their events.
//! 3. `event`: decides whether an event is valid, the same way for every handler. `project` is what it belongs to,
//!    `properties` declares which of its properties get columns.
//! 4. `writer`: admits events as columns, groups them into batches, and inserts each batch exactly once.
//! 5. `journal`: the append-only log on disk. An event is *acknowledged* once it is synced here.
//! 6. `clickhouse`: the client for ClickHouse, the schema, and repairs. `engine` is the embedded ClickHouse, a child
//!    process that is reached like a server.
//! 7. `panels`: SQL files, queried with parameters, whose results are tables and typed messages.
//!    `people` keeps who did the events, and tells it.
//! 8. `explore`: trends, funnels, retention and paths of any event, from the rollup or from events within a budget. `filter`
//!    selects events for all of them. `catalogue` tells which events, properties and values there are.
//! 9. `events`: searches among the stored events, and follows those that are accepted.
//! 10. `insights`: queries of Explore with a name, dashboards and annotations, as files.
//! 11. `live`: results of panels and of Explore, computed again for subscribers when a batch has landed.
//! 12. `dashboard`: gRPC and HTTP handlers that return and stream the results. `web_assets` serves the page, built from
//!     web/.
//!
//! Around them: `commands` are the subcommands of the program, `config` its settings, `server` the one port for gRPC
//! and HTTP, `openapi` the description of the HTTP API, `health` the state of everything, `metrics` its figures for
//! Prometheus (`counters` has their types), `operations` what an operator looks into, `error` the mapping of errors to gRPC and HTTP, `telemetry` the log,
//! `shutdown` the signals, `service_manager` the notifications to systemd. `proto` has the contracts. The client for
//! producers written in Rust is the crate
//! `millrace-client`.
//!
//! The public API is [`cli::run`]: programs use the contracts, not this library. What the tests, benchmarks and fuzz targets
//! of this repository use is in a hidden module.

#![expect(
    rustdoc::private_intra_doc_links,
    reason = "the documentation is read with --document-private-items"
)]

mod access;
mod atomic_file;
mod blocking;
mod catalogue;
pub mod cli;
mod clickhouse;
mod commands;
mod config;
mod counters;
mod dashboard;
mod edge;
mod engine;
mod error;
mod event;
mod events;
mod explore;
mod file_stamp;
mod filter;
mod health;
mod ingest;
mod insights;
mod journal;
mod kafka;
mod live;
mod metrics;
mod openapi;
mod operations;
mod panels;
mod people;
mod project;
mod properties;
mod proto;
mod server;
mod server_id;
mod service_manager;
mod shutdown;
mod sources;
mod telemetry;
mod traces;
mod web_assets;
mod writer;

/// For the tests, benchmarks and fuzz targets of this repository. Not part of the public API.
#[doc(hidden)]
pub mod internals {
    pub mod project {
        pub use crate::project::{InvalidProject, Project};
    }
    pub mod properties {
        pub use crate::properties::{
            BUILT_IN, EVENT_DIMENSIONS, InvalidProperties, Normalisation, PromotedProperty, Properties,
            PropertyType, PropertyValue, Role,
        };
    }
    pub mod clickhouse {
        pub use crate::clickhouse::{ClickHouse, ClickHouseError, Endpoint, INSERT_SETTINGS};
        pub mod batches {
            pub use crate::clickhouse::batches::{BatchPresence, count_stored_events};
        }
        pub mod lexer {
            pub use crate::clickhouse::lexer::Lexer;
        }
    }
    pub mod config {
        pub use crate::config::default_engine_library;
    }
    pub mod edge {
        pub use crate::edge::encoding::fuzz_decompress;
    }
    pub mod insights {
        pub use crate::insights::fuzz_file;
    }
    pub mod event {
        pub use crate::event::{
            MAX_EVENT_NAME_BYTES, MAX_ID_BYTES, MAX_PROPERTIES_BYTES, ValidationRules, validate,
        };
    }
    pub mod ingest {
        pub use crate::ingest::MAX_SEND_EVENTS;
        pub use crate::ingest::fuzzed::FuzzedRequest;
        pub mod otlp {
            pub use crate::ingest::otlp::{fuzz_logs, wire::LogsRequest};
        }
        pub mod segment {
            pub use crate::ingest::segment::fuzz_segment;
        }
        pub mod http {
            pub use crate::ingest::http::fuzz_post_events;
        }
        pub mod wire {
            pub use crate::ingest::wire::EventsRequest;
        }
    }
    pub mod journal {
        pub use crate::journal::{Journal, JournalConfig, JournalError, JournalRecord, Lsn, PendingAppend};
        pub mod entry {
            pub use crate::journal::entry::SegmentEntry;
        }
        pub mod frame {
            pub use crate::journal::frame::{FrameHeader, FrameType, HEADER_BYTES, MAGIC};
        }
        pub mod reader {
            pub use crate::journal::reader::SegmentReader;
        }
        pub mod recovery {
            pub use crate::journal::recovery::RecoveryReport;
        }
    }
    #[cfg(feature = "kafka")]
    pub mod kafka {
        pub use crate::kafka::record::{MalformedSeal, PartitionId, Seal, SealRecord, digest};
        pub use crate::kafka::seals::{Batch, BatchContents, PartitionState, SealConflict, SealLog};
        pub use crate::kafka::topic_id::topic_ids;
    }
    pub mod panels {
        pub mod sandbox {
            pub mod ast {
                pub use crate::panels::sandbox::ast::check;
            }
            pub mod functions {
                pub use crate::panels::sandbox::functions::{
                    Denied, check_function, check_table_function, is_aggregate, is_higher_order, is_type,
                };
            }
            pub mod query_tree {
                pub use crate::panels::sandbox::query_tree::check;
            }
            pub mod tokens {
                pub use crate::panels::sandbox::tokens::{check, is_keyword};
            }
        }
    }
    pub mod proto {
        pub use crate::proto::{FILE_DESCRIPTOR_SET, timestamp_from_millis};
        pub mod codec {
            pub use crate::proto::codec::{FromWire, fuzz_frames};
        }
    }
    pub mod writer {
        pub mod columns {
            pub use crate::writer::columns::EventColumns;
        }
        pub mod durability {
            pub use crate::writer::durability::Durability;
        }
        pub mod producers {
            pub use crate::writer::producers::MAX_PRODUCERS;
        }
        pub mod reconcile {
            pub use crate::writer::reconcile::{
                BatchBody, ExpectedBatch, ReconcileError, ReconcileReport, reconcile,
            };
        }
        pub mod record {
            pub use crate::writer::record::{Snapshot, WriterRecord, kind};
        }
    }
}
