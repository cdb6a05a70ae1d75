//! TLS for a listener: certificates from files, read again when these change and when told.

mod error;
mod files;
mod named;
mod validity;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

pub use error::TlsError;
pub use files::TlsFiles;
use files::{Contents, Made};
use validity::Validity;

use crate::HttpMetrics;
use crate::metrics::TlsMetrics;

/// How often the files are looked at. They are a few KB, and a certificate is renewed weeks before it ends.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A listener's certificate, its key and whom it takes as clients. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    /// The wall clock: a certificate's dates are in it.
    clock: fn() -> SystemTime,
    used: Mutex<Used>,
    metrics: Option<TlsMetrics>,
}

/// What connections get.
struct Used {
    config: Arc<ServerConfig>,
    validity: Validity,
    /// What was read when it was last tried to use it, and what at the last look.
    tried: u64,
    seen: u64,
}

impl Tls {
    /// Reads the files, which blocks. What is counted is counted for a listener of that name; without one nothing is.
    pub fn load(
        files: TlsFiles,
        clock: fn() -> SystemTime,
        counted: Option<(&HttpMetrics, &str)>,
    ) -> Result<Self, TlsError> {
        let read = files.read();
        let fingerprint = TlsFiles::fingerprint(&read);
        let Made { config, validity } = files.make(&read?)?;
        let used = Mutex::new(Used { config, validity, tried: fingerprint, seen: fingerprint });
        let metrics = counted.map(|(metrics, listener)| metrics.tls(listener));
        let tls = Self(Arc::new(Inner { files, clock, used, metrics }));
        tls.note_days_left();
        Ok(tls)
    }

    /// What is worth a warning although it is served.
    pub fn warnings(&self) -> Vec<String> {
        let validity = self.used().validity;
        self.0.files.warnings(validity, (self.0.clock)())
    }

    /// Reads the files again, which blocks, and uses what they hold from the next connection on. If that cannot be used,
    /// what was in use stays, and the error is logged and returned. Says how long the certificate is valid.
    pub fn reload(&self) -> Result<String, TlsError> {
        let read = self.0.files.read();
        let fingerprint = TlsFiles::fingerprint(&read);
        self.try_use(read, fingerprint)
    }

    /// Reads the files again whenever they have changed, until it is told to stop. What changes is used when it has stayed
    /// the same from one look to the next, so that half of a renewal is not taken for the whole.
    pub async fn watch(self, every: Duration, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            let tls = self.clone();
            // A disk that hangs holds up this task alone.
            let look = tokio::task::spawn_blocking(move || tls.look());
            if stop.run_until_cancelled(look).await.is_none() {
                return;
            }
        }
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.used().config)
    }

    fn look(&self) {
        self.note_days_left();
        let read = self.0.files.read();
        let fingerprint = TlsFiles::fingerprint(&read);
        let is_new = {
            let mut used = self.used();
            let has_settled = std::mem::replace(&mut used.seen, fingerprint) == fingerprint;
            has_settled && used.tried != fingerprint
        };
        if is_new {
            // What it says is logged.
            let _ = self.try_use(read, fingerprint);
        }
    }

    fn try_use(&self, read: Result<Contents, TlsError>, fingerprint: u64) -> Result<String, TlsError> {
        let made = read.and_then(|contents| self.0.files.make(&contents));
        self.used().tried = fingerprint;
        let file = self.0.files.cert.display();
        let result = match made {
            Ok(Made { config, validity }) => {
                {
                    let mut used = self.used();
                    (used.config, used.validity) = (config, validity);
                }
                let days_left = self.note_days_left();
                tracing::info!(%file, days_left, "the certificate was read again and is in use");
                self.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
                Ok(format!("{file} is in use, valid for {days_left} days"))
            }
            Err(error) => {
                tracing::error!("the certificate of before stays in use: {error}");
                Err(error)
            }
        };
        if let Some(metrics) = &self.0.metrics {
            metrics.reloaded(result.is_ok());
        }
        result
    }

    /// Whole days, below 0 where it has expired.
    fn note_days_left(&self) -> i64 {
        let (now, end) = ((self.0.clock)(), self.used().validity.not_after);
        let seconds = match end.duration_since(now) {
            Ok(left) => left.as_secs_f64(),
            Err(over) => -over.duration().as_secs_f64(),
        };
        if let Some(metrics) = &self.0.metrics {
            metrics.seconds_left.set(seconds);
        }
        #[allow(clippy::cast_possible_truncation, reason = "dates have four digits of years")]
        let days = (seconds / 86_400.0).floor() as i64;
        days
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
