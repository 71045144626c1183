//! What each RPC requires.

use super::Requirement;
use Requirement::{Admin, BrowserWrite, Edit, Open, Read, Write};

/// A service, and the requirement of each of its RPCs.
type Service = (&'static str, &'static [(&'static str, Requirement)]);

/// A test compares them with the descriptors of the services. An RPC that is not here is for admin keys.
const RPCS: &[Service] = &[
    (
        "millrace.v1.IngestService",
        &[
            ("SendEvents", BrowserWrite),
            ("StreamEvents", Write),
            ("UploadEvents", Write),
            ("GetProducer", Write),
        ],
    ),
    (
        "millrace.v1.DashboardService",
        &[
            ("GetActiveUsers", Read),
            ("GetSignupFunnel", Read),
            ("GetTopFeatures", Read),
            ("GetErrorRate", Read),
            ("GetLiveVisitors", Read),
            ("GetTopPages", Read),
            ("GetTrafficByCountry", Read),
            ("GetTrafficAnomaly", Read),
            ("ListPanels", Read),
            ("QueryPanel", Read),
            ("QuerySql", Edit),
            ("WatchPanels", Read),
        ],
    ),
    (
        "millrace.v1.ExploreService",
        &[
            ("QueryTrend", Read),
            ("QueryFunnel", Read),
            ("QueryRetention", Read),
            ("QueryPaths", Read),
            ("ListPeople", Read),
        ],
    ),
    (
        "millrace.v1.EventsService",
        &[("SearchEvents", Read), ("TailEvents", Read), ("ListRejectedEvents", Read), ("ListSources", Read)],
    ),
    (
        "millrace.v1.CatalogueService",
        &[("ListEventNames", Read), ("ListProperties", Read), ("ListValues", Read)],
    ),
    (
        "millrace.v1.PeopleService",
        &[("GetPerson", Read), ("ListSessions", Read), ("GetTimeline", Read), ("SearchPeople", Read)],
    ),
    (
        "millrace.v1.InsightService",
        &[
            ("ListInsights", Read),
            ("GetInsight", Read),
            ("SaveInsight", Edit),
            ("DeleteInsight", Edit),
            ("ListDashboards", Read),
            ("GetDashboard", Read),
            ("SaveDashboard", Edit),
            ("DeleteDashboard", Edit),
            ("ListAnnotations", Read),
            ("SaveAnnotation", Edit),
            ("DeleteAnnotation", Edit),
        ],
    ),
    ("millrace.v1.HealthService", &[("Check", Read), ("Watch", Read)]),
    (
        "millrace.v1.AdminService",
        &[("ListKeys", Admin), ("CreateKey", Admin), ("RotateKey", Admin), ("RevokeKey", Admin)],
    ),
    (
        "millrace.v1.OperationsService",
        &[
            ("ListDeadLetters", Admin),
            ("ReplayDeadLetters", Admin),
            ("ListPanelStatistics", Admin),
            ("ListSettings", Admin),
        ],
    ),
    ("opentelemetry.proto.collector.logs.v1.LogsService", &[("Export", Write)]),
    // For load balancers. It tells nothing but whether events are accepted.
    ("grpc.health.v1.Health", &[("Check", Open), ("Watch", Open)]),
    ("grpc.reflection.v1.ServerReflection", &[("ServerReflectionInfo", Read)]),
    ("grpc.reflection.v1alpha.ServerReflection", &[("ServerReflectionInfo", Read)]),
];

/// The requirement of the RPC with this path: `/package.Service/Method`.
pub(super) fn requirement(path: &str) -> Requirement {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let methods = RPCS.iter().find(|(name, _)| *name == service).map_or(&[][..], |(_, methods)| methods);
    methods.iter().find(|(name, _)| *name == method).map_or(Admin, |(_, requirement)| *requirement)
}

/// Whether there is an RPC with this path.
pub(crate) fn is_known(path: &str) -> bool {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    RPCS.iter().any(|(name, methods)| *name == service && methods.iter().any(|(name, _)| *name == method))
}

/// Whether a call of the RPC with this path lasts as long as a stream of requests, which has a limit of its own.
pub(super) fn is_upload(path: &str) -> bool {
    path == "/millrace.v1.IngestService/UploadEvents"
}

/// Whether pages of other origins may call the RPC with this path.
pub(crate) fn is_for_browsers(path: &str) -> bool {
    requirement(path) == BrowserWrite
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost_reflect::DescriptorPool;

    use super::*;

    #[test]
    fn every_rpc_has_a_requirement_and_no_other() {
        let mut pool = DescriptorPool::decode(crate::proto::FILE_DESCRIPTOR_SET).unwrap();
        for set in [
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            pool.decode_file_descriptor_set(set).unwrap();
        }
        let served: BTreeSet<String> = pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .map(|method| method.full_name().to_owned())
            .collect();
        let listed: BTreeSet<String> = RPCS
            .iter()
            .flat_map(|(service, methods)| {
                methods.iter().map(move |(method, _)| format!("{service}.{method}"))
            })
            .collect();
        assert_eq!(served, listed);
    }

    #[test]
    fn unknown_rpcs_are_for_admin_keys() {
        assert_eq!(requirement("/millrace.v1.DashboardService/QueryPanel"), Read);
        for path in ["/millrace.v1.DashboardService/New", "/x.Y/QueryPanel", "/", ""] {
            assert_eq!(requirement(path), Admin, "{path}");
        }
    }
}
