//! Simulates power cuts at random moments under load, and counts the events after each time.
//!
//! The data folder (journal and engine) is on a real ext4 in a file. `EXT4_IOC_SHUTDOWN` makes that file system drop
//! everything that is not synced, while the processes run. Then they are killed and it is mounted again. A long commit
//! interval ensures that most of what is not synced explicitly is lost.
//!
//! `make power-cut-test CUTS=50` runs many cuts; the default is two.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use std::{fs, io};

use millrace_client::ProducerConfig;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;

use crate::common::{DeliveryCounts, TestServer, free_address};
use crate::crash::{kill_engine, late_event, send_until_stopped};
use crate::rollup_assertions::assert_rollup_matches_events;

const PRODUCERS: usize = 4;
const IMAGE_BYTES: u64 = 4 << 30;

/// Makes an ext4 drop everything that is not on its disk, including its own journal (flag 2: NOLOGFLUSH).
const SHUTDOWN_SCRIPT: &str = "import fcntl, os, struct, sys; \
    fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";

/// A mounted file system whose power can be cut.
struct PowerCutDisk {
    image: PathBuf,
    folder: Arc<TempDir>,
    /// Holds the image.
    _image_dir: TempDir,
}

impl PowerCutDisk {
    /// `None` if a loop device cannot be mounted; prints the reason to standard error.
    fn create() -> Option<Self> {
        let image_dir = tempfile::tempdir().unwrap();
        let image = image_dir.path().join("disk");
        fs::File::create(&image).unwrap().set_len(IMAGE_BYTES).unwrap();
        let disk = Self { image, folder: tempfile::tempdir().unwrap().into(), _image_dir: image_dir };
        let mounted = run(Command::new("mkfs.ext4").args(["-q", "-F", "-i", "4096"]).arg(&disk.image))
            .and_then(|()| disk.mount());
        match mounted {
            Ok(()) => Some(disk),
            Err(error) => {
                eprintln!("NOT TESTED: power cuts need an ext4 on a loop device (root, mkfs.ext4): {error}");
                None
            }
        }
    }

    fn mount(&self) -> io::Result<()> {
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", "loop,commit=300"])
            .arg(&self.image)
            .arg(self.path()))
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Drops what is not synced, kills the server and the engine, and mounts the file system again.
    fn cut(&self, server: TestServer) {
        run(Command::new("python3").args(["-c", SHUTDOWN_SCRIPT]).arg(self.path())).unwrap();
        kill_engine(&server);
        drop(server); // kill -9
        run(Command::new("umount").arg(self.path())).unwrap();
        self.mount().unwrap();
    }
}

impl Drop for PowerCutDisk {
    fn drop(&mut self) {
        // Fails if it is not mounted.
        Command::new("umount").args(["-q", "-l"]).arg(self.path()).status().ok();
    }
}

fn run(command: &mut Command) -> io::Result<()> {
    let output =
        command.output().map_err(|error| io::Error::new(error.kind(), format!("{command:?}: {error}")))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| io::Error::other(stderr.trim()))
}

fn cuts() -> usize {
    std::env::var("POWER_CUTS").map_or(2, |text| text.parse().expect("POWER_CUTS is a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cuts_neither_lose_nor_duplicate_events() {
    let Some(disk) = PowerCutDisk::create() else {
        return;
    };
    let seed = std::env::var("POWER_SEED").map_or_else(|_| rand::random(), |text| text.parse().unwrap());
    println!("POWER_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let boot_dir = tempfile::tempdir().unwrap();
    let boot_id = boot_dir.path().join("boot_id");
    let new_boot_id = || fs::write(&boot_id, format!("{}\n", uuid::Uuid::new_v4())).unwrap();
    let address = free_address();
    let start = || {
        let variables = [
            ("MILLRACE_LISTEN", address.as_str()),
            ("MILLRACE_LOG", "info"),
            ("MILLRACE_BOOT_ID_FILE", boot_id.to_str().unwrap()),
        ];
        TestServer::start_on(Arc::clone(&disk.folder), &variables)
    };
    new_boot_id();
    let mut server = start();
    let mut producers = Vec::new();
    for number in 0..PRODUCERS {
        let config = ProducerConfig::new(server.url()).producer_id(format!("producer-{number}"));
        producers.push((config.connect().await.unwrap(), 0_u64));
    }
    let (mut events, mut broken_parts) = (0, 0);
    for cut in 1..=cuts() {
        let stop = Arc::new(AtomicBool::new(false));
        let sending: Vec<_> = producers
            .drain(..)
            .map(|(producer, next)| {
                tokio::spawn(send_until_stopped(producer, next, Arc::clone(&stop), late_event))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(random.random_range(500..4_000))).await;
        disk.cut(server);
        new_boot_id();
        server = start();
        tokio::time::sleep(Duration::from_millis(random.random_range(0..1_000))).await;
        stop.store(true, Relaxed);
        for task in sending {
            producers.push(task.await.unwrap());
        }
        server.wait_until_landed().await;

        let sent: u64 = producers.iter().map(|(_, next)| next).sum();
        let DeliveryCounts { stored, lost, duplicated } = server.count_deliveries(sent).await;
        let detached = "SELECT count() FROM system.detached_parts WHERE startsWith(reason, 'broken')";
        let detached = server.sql_numbers(detached).await[0];
        println!(
            "cut {cut:3}  events {sent}  lost {lost}  duplicated {duplicated}  broken parts {}",
            detached.saturating_sub(broken_parts)
        );
        broken_parts = detached;
        assert_eq!((lost, duplicated), (0, 0), "POWER_SEED={seed}: {stored} of {sent}\n{}", server.log());
        assert_rollup_matches_events(&server).await;
        events = sent;
    }
    println!("cuts {}, events {events}, lost 0, duplicated 0", cuts());
    drop(server);
}
