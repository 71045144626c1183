//! What TLS costs: the same producers with it and without.

use std::time::{Duration, Instant};

use crate::Settings;
use crate::common::TestServer;
use crate::figures::Figures;
use crate::ingest::generated_to;
use crate::process::CpuSeconds;
use crate::traffic::{start_server, start_tls_server};

const PRODUCERS: u64 = 4;

/// The runs with TLS, or without.
#[derive(Default)]
struct Runs {
    rate: Vec<f64>,
    server: Vec<f64>,
}

impl Runs {
    /// Sends events, and waits until all can be queried.
    async fn measure(&mut self, server: &TestServer, url: &str, arguments: &[&str], events: u64) {
        let (cpu, started_at) = (CpuSeconds::now(server), Instant::now());
        let sent = generated_to(url, arguments, PRODUCERS, events).await;
        while server.sql_numbers("SELECT count() FROM events").await[0] < sent {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.rate.push(sent as f64 / started_at.elapsed().as_secs_f64());
        let cpu = CpuSeconds::now(server).since(cpu);
        self.server.push(cpu.server / (sent as f64 / 1e6));
    }

    fn report(self, name: &str, figures: &mut Figures) {
        figures.add(name, "events/s", self.rate);
        figures.add(format!("{name}: server"), "CPU-s/M", self.server);
    }
}

/// Both once per run.
pub(crate) async fn measure(settings: &Settings, figures: &mut Figures) {
    let (mut plain, mut tls) = (Runs::default(), Runs::default());
    for _ in 0..settings.runs {
        let server = start_server();
        plain.measure(&server, &server.url(), &[], settings.events).await;
        drop(server);
        let (server, authority) = start_tls_server();
        let (url, ca) = (format!("https://{}", server.address), ["--ca", authority.to_str().unwrap()]);
        tls.measure(&server, &url, &ca, settings.events).await;
    }
    plain.report("plain", figures);
    tls.report("TLS", figures);
    figures.add_ratio("TLS over plain", "TLS", "plain");
}
