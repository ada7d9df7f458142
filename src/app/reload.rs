//! Another configuration, certificate, key or secret while requests flow: everything is checked first, then swapped.

mod lasting;
mod refused;
mod unbound;

use std::fmt;
use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Place, Problem, Problems, StoreKey, place_of_listen};
use crate::store::KeyId;
use crate::words::{Clock, Timestamp};

use super::checked::Checked;
use super::control::Sidecar;
use super::doors::{Plan, Unbound};
use super::operator::Move;
use super::running::Phase;
use super::watch::Watch;
use super::{App, Inherited, Observer, ReadAgain};
use lasting::Lasting;
use refused::{Refused, time_to_try_again};
use unbound::not_bound;

/// How often the clock is looked at while a moment is waited for: it may be set.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(1);

/// Why there is a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Asked,
    Files,
    Date,
}

/// What the reloads of a sidecar work with.
pub(super) struct Reloader {
    /// What runs.
    current: Checked,
    /// What the program was started with: some of it lasts until it ends.
    started: Lasting,
    read: Option<ReadAgain>,
    watch: Watch,
    clock: Clock,
    observer: Observer,
    asked: Arc<Notify>,
    drain: CancellationToken,
    /// The moment of an identity that could not be taken then.
    missed: Option<Timestamp>,
    refused: Option<Refused>,
}

/// All that must work before anything is changed.
struct Next {
    checked: Checked,
    doors: Plan,
    operator: Move,
}

impl Reloader {
    pub(super) fn new(app: App, keys: Vec<KeyId>, drain: CancellationToken, asked: Arc<Notify>) -> Self {
        let App { checked, seen, clock, read_again: read, observer, .. } = app;
        let (files, seen) = if read.is_some() { (checked.config.files.clone(), seen) } else { Default::default() };
        let mut watch = Watch::new(files, seen);
        if let StoreKey::Make(file) = &checked.config.store.key {
            watch.made(file);
        }
        let started = Lasting { config: Arc::clone(&checked.config), keys: keys.into() };
        Self { current: checked, started, read, watch, clock, observer, asked, drain, missed: None, refused: None }
    }

    /// Reloads whenever there is reason to.
    pub(super) async fn until_drain(&mut self, sidecar: &mut Sidecar) {
        while let Some(cause) = self.cause().await {
            (self.observer)(Phase::Reloading, "reading the configuration");
            let status = match self.reload(cause, sidecar).await {
                Ok(()) => sidecar.status(),
                Err(_) => format!("{}; the last reload failed", sidecar.status()),
            };
            (self.observer)(Phase::Ready, &status);
        }
    }

    async fn cause(&mut self) -> Option<Cause> {
        let switch = self.current.next_switch().filter(|at| Some(*at) != self.missed);
        tokio::select! {
            biased;
            () = self.drain.cancelled() => None,
            () = self.asked.notified() => Some(Cause::Asked),
            () = until(switch, &self.clock) => Some(Cause::Date),
            () = self.watch.changed() => Some(Cause::Files),
            cause = time_to_try_again(self.refused.as_ref()) => self.again(cause).await,
        }
    }

    /// Tries once more, unless somebody is writing: that is waited for as any change, and then is the cause.
    async fn again(&mut self, cause: Cause) -> Option<Cause> {
        if self.watch.is_as_seen().await {
            return Some(cause);
        }
        tokio::select! {
            biased;
            () = self.drain.cancelled() => None,
            () = self.watch.changed() => Some(Cause::Files),
        }
    }

    /// Reloads, and tells how it went.
    async fn reload(&mut self, cause: Cause, sidecar: &mut Sidecar) -> Result<(), Problems> {
        let started = Instant::now();
        let outcome = match self.next(cause, sidecar).await {
            Ok(next) => {
                self.swap(next, sidecar).await;
                Ok(())
            }
            Err(problems) => Err(problems),
        };
        let is_known = self.refuse(cause, outcome.as_ref().err());
        if is_known {
            return outcome;
        }
        sidecar.operator.show_reload(&outcome);
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &outcome {
            Ok(()) => tracing::info!(%cause, outcome = "ok", duration_ms, "reload"),
            Err(problems) => {
                for problem in &problems.0 {
                    tracing::error!(%cause, %problem, "what runs goes on, since a reload found this");
                }
                tracing::error!(%cause, outcome = "failed", problems = problems.0.len(), duration_ms, "reload");
            }
        }
        outcome
    }

    /// The next generation as far as it can fail. Nothing is changed by it.
    async fn next(&mut self, cause: Cause, sidecar: &Sidecar) -> Result<Next, Problems> {
        let checked = match cause {
            Cause::Date => self.at_the_date().await,
            Cause::Asked | Cause::Files => self.read().await,
        }?;
        let worse = checked.worsens(&self.current, self.clock.now());
        if !worse.is_empty() {
            return Err(Problems(worse));
        }
        let none = &mut Inherited::default();
        let (config, held) = (&checked.config, sidecar.listeners());
        let doors = sidecar.doors.plan(config, none).map_err(|Unbound { bank, listen, error }| {
            let bank = config.banks.iter().find(|one| one.name == bank);
            not_bound(&place_of_listen(config, bank.map(Arc::as_ref)), &listen, &error, &held)
        })?;
        let operator = match &config.admin {
            None => Move::Leave,
            Some(listen) => sidecar
                .operator
                .plan(Some(listen), none)
                .map_err(|error| not_bound(&place_of_listen(config, None), listen, &error, &held))?,
        };
        Ok(Next { checked, doors, operator })
    }

    /// What the files say. Whatever comes of it, those that count are watched from here on.
    async fn read(&mut self) -> Result<Checked, Problems> {
        let Some(read) = self.read.clone() else {
            return Err(problem(&whole(&self.started.config), "there is no file to read it from".to_owned()));
        };
        self.watch.look().await;
        let (now, file) = (self.clock.now(), self.started.config.file.clone());
        let started = self.started.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let reading = read();
            let files = reading.files.clone();
            let checked = Checked::of(reading, now, &file);
            (checked.and_then(|checked| started.keeps_key(&checked.config.store).map(|()| checked)), files)
        });
        let Ok((outcome, mut files)) = reading.await else {
            return Err(problem(&whole(&self.started.config), "reading it broke off".to_owned()));
        };
        if outcome.is_err() {
            files.extend(self.current.config.files.iter().cloned());
        }
        self.watch.follow(in_order(files)).await;
        outcome
    }

    /// What runs, with the identities of now. It does not matter what the files say meanwhile.
    async fn at_the_date(&mut self) -> Result<Checked, Problems> {
        let (config, now) = (Config::clone(&self.current.config), self.clock.now());
        self.missed = self.current.next_switch();
        let checked = tokio::task::spawn_blocking(move || Checked::new(config, now));
        checked.await.unwrap_or_else(|_| {
            Err(problem(&whole(&self.started.config), "the next identity could not be read".to_owned()))
        })
    }

    /// Everything anew at once. Nothing of this can fail.
    async fn swap(&mut self, next: Next, sidecar: &mut Sidecar) {
        let Next { mut checked, doors, operator } = next;
        self.tell_news(&checked);
        checked.keep(&self.current);
        sidecar.schedule.cancel();
        sidecar.office = sidecar.office.succeeded_by(&checked);
        sidecar.fronts.serve(sidecar.office.banks()).await;
        // New addresses lead to banks that the workers know by now; removed ones close before their banks go.
        sidecar.doors.rearrange(doors);
        sidecar.fronts.forget_others();
        sidecar.operator.show(sidecar.office.banks(), &sidecar.doors.addresses());
        sidecar.operator.take(operator);
        sidecar.schedule = self.drain.child_token();
        sidecar.begin_schedule();
        sidecar.publish_addresses();
        self.current = checked;
        self.missed = None;
    }

    /// What is worth knowing that was not told before, and what waits for a restart.
    fn tell_news(&self, next: &Checked) {
        for finding in next.findings.iter().filter(|finding| !self.current.findings.contains(finding)) {
            tracing::warn!(warning = %finding, "configuration");
        }
        for what in self.started.needs_restart(&next.config) {
            tracing::warn!(what, "this change needs a restart; until then it stays as it was at the start");
        }
    }
}

/// Waits for a moment, however the clock is set.
async fn until(moment: Option<Timestamp>, clock: &Clock) {
    let Some(moment) = moment else { return pending().await };
    while clock.now() < moment {
        sleep(moment.since(clock.now()).min(LOOK_AT_CLOCK)).await;
    }
}

fn in_order(mut files: Vec<PathBuf>) -> Vec<PathBuf> {
    files.sort();
    files.dedup();
    files
}

fn problem(place: &Place, reason: String) -> Problems {
    Problems(vec![Problem::error(place, reason, "put it right, or restart the program with it")])
}

/// The configuration as a whole.
fn whole(config: &Config) -> Place {
    Place { file: Arc::new(config.file.clone()), line: 1, key: "".into() }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "asked for",
            Self::Files => "a file changed",
            Self::Date => "the next identity's time has come",
        })
    }
}
