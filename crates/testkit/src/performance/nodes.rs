//! The nodes that are measured, as processes on loopback.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::PerformanceOptions;
use super::bench_report::{BenchReport, Measured};
use super::usage::{Usage, disk_bytes};
use crate::{Fleet, Settings, looks_for};

/// A node is at rest that takes less than so much of a processor for so long: the engine has merged what was written.
const AT_REST: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long a node may merge what was written to it. 40 GB at 50 MB/s are 800 s.
const REST_PATIENCE: Duration = Duration::from_secs(1_200);
/// How often a node that starts is asked whether it is ready.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// How long a node may take to be ready again: many times the bars, so that a figure is told and not a panic.
const READY_PATIENCE: Duration = Duration::from_secs(900);
/// How many of its last lines are shown of a node that ended.
const LAST_LINES: usize = 5;

/// Some nodes.
pub(super) struct Nodes {
    pub(super) fleet: Fleet,
    program: PathBuf,
}

impl Nodes {
    /// So many that are ready.
    pub(super) fn ready(options: &PerformanceOptions, nodes: usize) -> Result<Self, String> {
        let mut nodes = Self::set_up(options, nodes, |_| {});
        nodes.form()?;
        Ok(nodes)
    }

    /// The same, not started yet, each with more settings than usual.
    pub(super) fn set_up(options: &PerformanceOptions, nodes: usize, more: impl Fn(&mut Settings)) -> Self {
        let mut fleet = Fleet::of(&options.program, nodes);
        for name in fleet.names() {
            let settings = fleet.settings(&name);
            settings.cache_mb = Some(options.cache_mb);
            settings.lines = "log_level: warning\n".into();
            if nodes == 1 {
                settings.expect = None;
            }
            more(settings);
        }
        Self { fleet, program: options.program.clone() }
    }

    /// Starts all, and waits until they are a cluster that is ready.
    pub(super) fn form(&mut self) -> Result<(), String> {
        self.fleet.start_all();
        let names = self.fleet.names();
        if let [only] = &*names {
            self.fleet.wait_until_it_is_a_cluster(only);
        }
        names.iter().try_for_each(|name| self.wait_until_ready(name))
    }

    /// Where sessions are served.
    pub(super) fn addresses(&self, names: &[String]) -> Vec<SocketAddr> {
        names.iter().map(|name| self.fleet.http(name)).collect()
    }

    /// All but one.
    pub(super) fn others(&self, name: &str) -> Vec<String> {
        self.fleet.names().into_iter().filter(|other| other != name).collect()
    }

    /// One that does not lead, and the one that does.
    pub(super) fn follower_and_leader(&mut self) -> (String, String) {
        let leader = self.fleet.wait_for_leader();
        let follower = self.others(&leader).pop().unwrap_or_else(|| leader.clone());
        (follower, leader)
    }

    pub(super) fn bench(&self, at: &[String], time: Duration, more: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("bench").args(at.iter().map(|name| format!("http://{}/sessions/v1/", self.fleet.http(name))));
        command.args(["--json", "--duration"]).arg(format!("{}ms", time.as_millis())).args(more);
        command.stdin(Stdio::null());
        command
    }

    pub(super) fn load(&mut self, time: Duration, more: &[&str]) -> Result<Measured, String> {
        let names = self.fleet.names();
        let before = self.processor_time()?;
        let report = BenchReport::of(self.bench(&names, time, more).output())?;
        let spent = self.processor_time()? - before;
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let cost = spent.as_micros() as f64 / report.count().max(1) as f64;
        Ok(Measured { report, cost })
    }

    pub(super) fn fill(&mut self, keys: &str, more: &[&str]) -> Result<(), String> {
        let all = [&["--mix", "1:0:0", "--keys", keys], more].concat();
        self.load(Duration::from_secs(1), &all).map(drop)
    }

    /// Looks at its process.
    pub(super) fn usage(&mut self, name: &str) -> Usage {
        Usage::of(self.fleet.process(name).id())
    }

    /// What all that run took of processors since they started.
    pub(super) fn processor_time(&mut self) -> Result<Duration, String> {
        self.fleet.running().iter().map(|name| self.usage(name).processor_time()).sum()
    }

    /// Megabytes of memory that the node with the most of it takes.
    pub(super) fn resident_mb(&mut self) -> Result<u64, String> {
        let each = self.fleet.running().into_iter().map(|name| self.usage(&name).resident_bytes());
        Ok(each.collect::<Result<Vec<_>, _>>()?.into_iter().max().unwrap_or(0) / 1_000_000)
    }

    /// Waits until nobody merges what was written.
    pub(super) fn come_to_rest(&mut self) -> Result<(), String> {
        let (little, long) = AT_REST;
        let mut spent = self.processor_time()?;
        let begin = Instant::now();
        loop {
            thread::sleep(long);
            self.all_live()?;
            let now = self.processor_time()?;
            if now.saturating_sub(spent) < little {
                return Ok(());
            }
            if begin.elapsed() > REST_PATIENCE {
                return Err(format!("the nodes are not at rest after {} s", REST_PATIENCE.as_secs()));
            }
            spent = now;
        }
    }

    /// The last entry that a member has applied, as the leader says.
    pub(super) fn applied(&mut self, leader: &str) -> u64 {
        self.fleet.wait_until("the leader says how far it is", |fleet| {
            fleet.status(leader)?.member(leader).map(|member| member.applied)
        })
    }

    /// Bytes on disk of the node with the most, the Raft log among them.
    pub(super) fn disk(&self) -> u64 {
        self.fleet.names().iter().map(|name| disk_bytes(&self.fleet.data_dir(name))).max().unwrap_or(0)
    }

    /// Bytes on disk of a node's state, and of its Raft log, which has bounds of its own.
    pub(super) fn state_and_log(&self, name: &str) -> (u64, u64) {
        let dir = self.fleet.data_dir(name);
        let log = disk_bytes(&dir.join("log"));
        (disk_bytes(&dir).saturating_sub(log), log)
    }

    /// Starts it, and tells how long it took until it was ready.
    pub(super) fn restart(&mut self, name: &str) -> Result<Duration, String> {
        let begin = Instant::now();
        self.fleet.start(name);
        self.wait_until_ready(name)?;
        Ok(begin.elapsed())
    }

    fn wait_until_ready(&mut self, name: &str) -> Result<(), String> {
        let what = format!("{name} is ready");
        self.wait(&what, READY_PATIENCE, ASK_AGAIN, |fleet| (fleet.readiness(name) == Some(200)).then_some(()))
    }

    /// Looks until there is something, unless a node ends or the time is over.
    pub(super) fn wait<T>(
        &mut self,
        what: &str,
        time: Duration,
        pause: Duration,
        mut look: impl FnMut(&mut Fleet) -> Option<T>,
    ) -> Result<T, String> {
        let found = looks_for(time, pause, || match self.all_live() {
            Ok(()) => look(&mut self.fleet).map(Ok),
            Err(why) => Some(Err(why)),
        });
        found.unwrap_or_else(|| Err(format!("did not happen within {} s: {what}", time.as_secs())))
    }

    /// An error names a node that was started and has ended, with its last words, and puts it away.
    pub(super) fn all_live(&mut self) -> Result<(), String> {
        for name in self.fleet.running() {
            if self.fleet.process(&name).has_ended() {
                let status = self.fleet.ends(&name);
                let words = self.fleet.words(&name);
                let lines: Vec<_> = words.lines().collect();
                let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n  ");
                return Err(format!("{name} ended ({status})\n  {last}").trim_end().to_owned());
            }
        }
        Ok(())
    }
}
