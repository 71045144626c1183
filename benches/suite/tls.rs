//! What TLS costs: the same producers with it and without.

use crate::Settings;
use crate::figures::Figures;
use crate::ingest::{Runs, generated_to};
use crate::traffic::{start_server, start_tls_server};

const PRODUCERS: u64 = 4;

/// Both once per run.
pub(crate) async fn measure(settings: &Settings, figures: &mut Figures) {
    let (mut plain, mut tls) = (Runs::default(), Runs::default());
    for _ in 0..settings.runs {
        let server = start_server();
        plain.measure(&server, generated_to(&server.url(), &[], PRODUCERS, settings.events)).await;
        drop(server);
        let (server, authority) = start_tls_server();
        let (url, ca) = (format!("https://{}", server.address), ["--ca", authority.to_str().unwrap()]);
        tls.measure(&server, generated_to(&url, &ca, PRODUCERS, settings.events)).await;
    }
    plain.report("plain", figures);
    tls.report("TLS", figures);
    figures.add_ratio("TLS over plain", "TLS", "plain");
}
