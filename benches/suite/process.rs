//! CPU time and memory of processes, from /proc.

use crate::common::TestServer;

/// Linux reports CPU time in hundredths of a second on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds of client, server and engine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuSeconds {
    pub(crate) client: f64,
    pub(crate) server: f64,
    pub(crate) engine: f64,
}

impl CpuSeconds {
    /// Since each process started. The client is this process with the children that it has waited for.
    pub(crate) fn now(server: &TestServer) -> Self {
        let engine = server.engine_pid().expect("the server has an engine");
        Self {
            client: cpu_ticks("self", 4) / TICKS_PER_SECOND,
            server: cpu_seconds(server.pid()),
            engine: cpu_seconds(engine),
        }
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            client: self.client - earlier.client,
            server: self.server - earlier.server,
            engine: self.engine - earlier.engine,
        }
    }

    pub(crate) fn total(self) -> f64 {
        self.client + self.server + self.engine
    }
}

/// CPU seconds of a process, without its children.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    cpu_ticks(&pid.to_string(), 2) / TICKS_PER_SECOND
}

/// Ticks of a process, from `utime` on: 2 fields are its own, 4 include its children.
fn cpu_ticks(pid: &str, fields: usize) -> f64 {
    const UTIME: usize = 11; // after the name in parentheses
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    after_name.split_whitespace().skip(UTIME).take(fields).map(|ticks| ticks.parse::<f64>().unwrap()).sum()
}

/// A field of /proc/PID/status in MB: `VmHWM` is the peak of the resident memory, `VmRSS` its current size.
pub(crate) fn memory_mb(pid: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1_024.0 / 1e6
}
