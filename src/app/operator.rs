//! The operator's side of the program: its listener, and what it tells of banks and reloads.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, AdminBank, AdminState, ReloadReport, View};
use crate::config::{Listen, Problems};
use crate::inbound::Inherited;
use crate::inbound::listen::{ListenError, Listener};
use crate::telemetry::Metrics;
use crate::words::Clock;

use super::doors::{bind_or_take, tell_if_open};
use super::office::BankDesk;

/// The operator's side.
pub(super) struct Operator {
    pub(super) metrics: Metrics,
    clock: Clock,
    view: Arc<ArcSwap<View>>,
    drain: CancellationToken,
    /// It goes last: it tells of the drain.
    stop: CancellationToken,
    tasks: TaskTracker,
    open: Option<Open>,
}

struct Open {
    /// As it is configured.
    listen: Listen,
    address: Listen,
    stop: CancellationToken,
}

/// Where the operator's side is to listen: made without changing anything.
pub(super) enum Move {
    Stay,
    Leave,
    To(Listen, Listener, Listen),
}

impl Operator {
    pub(super) fn new(metrics: Metrics, clock: Clock, drain: CancellationToken) -> Self {
        let (view, stop, tasks) = (Arc::default(), CancellationToken::new(), TaskTracker::new());
        Self { metrics, clock, view, drain, stop, tasks, open: None }
    }

    /// Binds the address, unless it is the one that is open.
    pub(super) fn plan(&self, listen: Option<&Listen>, inherited: &mut Inherited) -> Result<Move, ListenError> {
        match (listen, &self.open) {
            (None, _) => Ok(Move::Leave),
            (Some(listen), Some(open)) if open.listen == *listen => Ok(Move::Stay),
            (Some(listen), _) => {
                let (listener, address) = bind_or_take(listen, inherited)?;
                tell_if_open(&listener, &address);
                Ok(Move::To(listen.clone(), listener, address))
            }
        }
    }

    /// Listens as planned.
    pub(super) fn take(&mut self, plan: Move) {
        let (listen, listener, address) = match plan {
            Move::Stay => return,
            Move::Leave => return self.close(),
            Move::To(listen, listener, address) => (listen, listener, address),
        };
        self.close();
        tracing::info!(name = "admin", %address, "listening");
        let stop = self.stop.child_token();
        let state = AdminState {
            view: Arc::clone(&self.view),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            drain: self.drain.clone(),
            listen: address.clone(),
        };
        self.open = Some(Open { listen, address, stop: stop.clone() });
        self.tasks.spawn(async move {
            if let Err(error) = admin::serve(listener, state, stop).await {
                tracing::error!(%error, "the operator's listener failed");
            }
        });
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            tracing::info!(name = "admin", address = %open.address, "no longer listening");
            open.stop.cancel();
        }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> Option<(String, Listen)> {
        self.open.as_ref().map(|open| ("admin".to_owned(), open.address.clone()))
    }

    /// Shows these banks from here on, which listen at these addresses.
    pub(super) fn show(&self, banks: &[BankDesk], addresses: &[(String, Listen)]) {
        let listens = |desk: &BankDesk| {
            let own = addresses.iter().filter(|(name, _)| *name == desk.bank.name.as_str());
            own.map(|(_, address)| address.to_string()).collect()
        };
        let bank = |desk: &BankDesk| AdminBank {
            bank: Arc::clone(&desk.bank),
            listens: listens(desk),
            tls: Arc::clone(&desk.tls),
            tokens: Arc::clone(&desk.tokens),
        };
        let banks = banks.iter().map(bank).collect();
        self.view.store(Arc::new(View { banks, reload: self.view.load().reload.clone() }));
    }

    /// Shows how a reload went.
    pub(super) fn show_reload(&self, outcome: &Result<(), Problems>) {
        self.metrics.reloaded(outcome.is_ok());
        let problems = outcome.as_ref().err().map(|problems| problems.0.iter().map(ToString::to_string).collect());
        let report = ReloadReport {
            outcome: if outcome.is_ok() { "ok" } else { "failed" },
            at: self.clock.now().to_string(),
            problems: problems.unwrap_or_default(),
        };
        let banks = self.view.load().banks.clone();
        self.view.store(Arc::new(View { banks, reload: Some(report) }));
    }

    /// Ends it.
    pub(super) async fn end(self) {
        self.stop.cancel();
        // Somebody who asks slowly must not hold the end up.
        super::fronts::wait_a_moment(&self.tasks).await;
    }
}
