//! The banks' listeners: bound together or not at all, kept while they are wanted, led to another bank without a gap.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Listen};
use crate::inbound::Inherited;
use crate::inbound::listen::{ListenError, Listener, bind};
use crate::inbound::spread::{Spread, accept};
use crate::words::BankName;

/// What a connection says of its listener.
pub(super) type Door = Arc<ArcSwap<LeadsTo>>;

/// Where the connections go that come in from here on.
pub(super) struct LeadsTo {
    pub(super) bank: BankName,
    /// Ends these connections, each after the answer that is under way.
    pub(super) drain: CancellationToken,
}

/// A bank's address as it is configured, with the listener on it.
pub(super) struct Bound {
    bank: BankName,
    listen: Listen,
    listener: Listener,
    /// Where it really listens.
    address: Listen,
}

/// A listener that is served.
struct Open {
    listen: Listen,
    address: Listen,
    door: Door,
    stop: CancellationToken,
}

/// All of them.
pub(super) struct Doors {
    open: Vec<Open>,
    spread: Spread<Door>,
    tasks: TaskTracker,
    drain: CancellationToken,
}

/// How the doors are to be: made without changing anything.
pub(super) struct Plan {
    /// Which of the open ones stay, and for whom.
    kept: Vec<(usize, BankName)>,
    bound: Vec<Bound>,
}

/// Why an address of this bank cannot be listened on.
pub(super) struct Unbound {
    pub(super) bank: BankName,
    pub(super) error: ListenError,
}

impl Doors {
    pub(super) fn new(spread: Spread<Door>, tasks: TaskTracker, drain: CancellationToken) -> Self {
        Self { open: Vec::new(), spread, tasks, drain }
    }

    /// Binds what the configuration names and is not open.
    pub(super) fn plan(&self, config: &Config, inherited: &mut Inherited) -> Result<Plan, Unbound> {
        let wanted = wanted(config);
        let mut kept: Vec<Option<usize>> = vec![None; wanted.len()];
        // A bank keeps its own address before another takes it over: two may have port 0.
        for only_own in [true, false] {
            for (place, (bank, listen)) in wanted.iter().enumerate() {
                if kept[place].is_none() {
                    kept[place] = (0..self.open.len()).find(|&index| {
                        let open = &self.open[index];
                        let is_own = open.door.load().bank == *bank;
                        open.listen == *listen && (is_own || !only_own) && !kept.contains(&Some(index))
                    });
                }
            }
        }
        let mut plan = Plan { kept: Vec::new(), bound: Vec::new() };
        for ((bank, listen), kept) in wanted.into_iter().zip(kept) {
            match kept {
                Some(index) => plan.kept.push((index, bank)),
                None => plan.bound.push(Bound::new(bank, listen, inherited)?),
            }
        }
        Ok(plan)
    }

    /// Opens, leads and closes as planned. The banks are there by now.
    pub(super) fn rearrange(&mut self, plan: Plan) {
        let mut former: Vec<Option<Open>> = std::mem::take(&mut self.open).into_iter().map(Some).collect();
        for (index, bank) in plan.kept {
            if let Some(open) = former.get_mut(index).and_then(Option::take) {
                self.lead(&open, bank);
                self.open.push(open);
            }
        }
        for open in former.into_iter().flatten() {
            tracing::info!(name = %open.door.load().bank, address = %open.address, "no longer listening");
            open.stop.cancel();
            open.door.load().drain.cancel();
        }
        for bound in plan.bound {
            self.serve(bound);
        }
    }

    /// The banks' names with where they listen.
    pub(super) fn addresses(&self) -> Vec<(String, Listen)> {
        self.open.iter().map(|open| (open.door.load().bank.to_string(), open.address.clone())).collect()
    }

    fn lead(&self, open: &Open, bank: BankName) {
        if open.door.load().bank == bank {
            return;
        }
        tracing::info!(name = %bank, address = %open.address, "listening in another bank's place");
        let former = open.door.swap(Arc::new(LeadsTo { bank, drain: self.drain.child_token() }));
        former.drain.cancel();
    }

    fn serve(&mut self, bound: Bound) {
        let Bound { bank, listen, listener, address } = bound;
        tracing::info!(name = %bank, %address, "listening");
        let (drain, stop) = (self.drain.child_token(), self.drain.child_token());
        let door = Arc::new(ArcSwap::from_pointee(LeadsTo { bank, drain }));
        self.open.push(Open { listen, address, door: Arc::clone(&door), stop: stop.clone() });
        let spread = self.spread.clone();
        self.tasks.spawn(async move {
            if let Err(error) = accept(listener, door, spread, stop).await {
                tracing::error!(%error, "a listener failed");
            }
        });
    }
}

impl Bound {
    fn new(bank: BankName, listen: Listen, inherited: &mut Inherited) -> Result<Self, Unbound> {
        let bound = bind_or_take(&listen, inherited);
        match bound {
            Ok((listener, address)) => Ok(Self { bank, listen, listener, address }),
            Err(error) => Err(Unbound { bank, error }),
        }
    }
}

/// The socket that a service manager has opened for this address, else one of our own; and where it really listens.
pub(super) fn bind_or_take(listen: &Listen, inherited: &mut Inherited) -> Result<(Listener, Listen), ListenError> {
    let listener = inherited.take(listen).map_or_else(|| bind(listen), Ok)?;
    let unknown = |source: io::Error| ListenError::Bind { address: listen.to_string(), source };
    let address = listener.address().map_err(unknown)?;
    Ok((listener, address))
}

/// Every address of every bank.
fn wanted(config: &Config) -> Vec<(BankName, Listen)> {
    let banks = config.banks.iter();
    banks.flat_map(|bank| bank.listen.iter().map(|listen| (bank.name.clone(), listen.clone()))).collect()
}
