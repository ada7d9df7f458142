//! The banks' listeners: bound together or not at all, kept while they are wanted, led to another bank without a gap.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Listen};
use crate::inbound::Inherited;
use crate::inbound::listen::{ListenError, Listener, Origin, bind};
use crate::inbound::socket_file::BoundFile;
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
    users: Users,
}

/// A listener that is served.
struct Open {
    listen: Listen,
    address: Listen,
    users: Users,
    door: Door,
    stop: CancellationToken,
}

/// Who may connect, as far as the mode of a unix socket says.
enum Users {
    /// It is not ours to say: TCP, or a service manager's socket, where the access rules look at strangers.
    Any,
    /// The one that the sidecar runs as, and whom a `chmod` of this file lets in.
    Own(BoundFile),
    /// All: the bank's `access.uids` tells them apart.
    All,
}

/// An address that a bank is to have.
struct Wanted {
    bank: BankName,
    listen: Listen,
    /// Whether the bank looks at each caller's user.
    has_uids: bool,
    /// Whether it tells its callers apart at all.
    has_rule: bool,
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
    kept: Vec<(usize, Wanted)>,
    bound: Vec<Bound>,
}

/// Why an address of this bank cannot be listened on.
pub(super) struct Unbound {
    pub(super) bank: BankName,
    pub(super) listen: Listen,
    pub(super) error: ListenError,
}

impl Doors {
    pub(super) fn new(spread: Spread<Door>, tasks: TaskTracker, drain: CancellationToken) -> Self {
        Self { open: Vec::new(), spread, tasks, drain }
    }

    /// Binds each configured address that is not open yet.
    pub(super) fn plan(&self, config: &Config, inherited: &mut Inherited) -> Result<Plan, Unbound> {
        self.open.iter().try_for_each(|open| open.keep_rule(config))?;
        let wanted = wanted(config);
        let mut kept: Vec<Option<usize>> = vec![None; wanted.len()];
        // A bank keeps its own address before another takes it over: two may have port 0.
        for only_own in [true, false] {
            for (place, wanted) in wanted.iter().enumerate() {
                if kept[place].is_none() {
                    kept[place] = (0..self.open.len()).find(|&index| {
                        let open = &self.open[index];
                        let is_own = open.door.load().bank == wanted.bank;
                        open.listen == wanted.listen && (is_own || !only_own) && !kept.contains(&Some(index))
                    });
                }
            }
        }
        let mut plan = Plan { kept: Vec::new(), bound: Vec::new() };
        for (wanted, kept) in wanted.into_iter().zip(kept) {
            match kept {
                Some(index) => plan.kept.push((index, self.open[index].remain_for(wanted)?)),
                None => plan.bound.push(Bound::new(wanted, inherited)?),
            }
        }
        Ok(plan)
    }

    /// Opens, leads and closes as planned. The banks are there by now.
    pub(super) fn rearrange(&mut self, plan: Plan) {
        let mut former: Vec<Option<Open>> = std::mem::take(&mut self.open).into_iter().map(Some).collect();
        for (index, wanted) in plan.kept {
            if let Some(mut open) = former.get_mut(index).and_then(Option::take) {
                open.widen(wanted.has_uids);
                self.lead(&open, wanted.bank);
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
        let Bound { bank, listen, listener, address, users } = bound;
        tracing::info!(name = %bank, %address, "listening");
        let (drain, stop) = (self.drain.child_token(), self.drain.child_token());
        let door = Arc::new(ArcSwap::from_pointee(LeadsTo { bank, drain }));
        self.open.push(Open { listen, address, users, door: Arc::clone(&door), stop: stop.clone() });
        let spread = self.spread.clone();
        self.tasks.spawn(async move {
            if let Err(error) = accept(listener, door, spread, stop).await {
                tracing::error!(%error, "a listener failed");
            }
        });
    }
}

impl Bound {
    fn new(wanted: Wanted, inherited: &mut Inherited) -> Result<Self, Unbound> {
        let Wanted { bank, listen, has_uids, has_rule } = wanted;
        let bound = bind_or_take(&listen, inherited).and_then(|(listener, address)| {
            let users = match &listener {
                Listener::Unix(_, Origin::Own(file)) if has_uids => {
                    let unopened = |source| ListenError::Bind { address: listen.to_string(), source };
                    file.bound().open_to_all().map_err(unopened)?;
                    Users::All
                }
                Listener::Unix(_, Origin::Own(file)) => Users::Own(file.bound().clone()),
                _ => Users::Any,
            };
            if !has_rule {
                tell_if_open(&listener, &address);
            }
            Ok((listener, address, users))
        });
        match bound {
            Ok((listener, address, users)) => Ok(Self { bank, listen, listener, address, users }),
            Err(error) => Err(Unbound { bank, listen, error }),
        }
    }
}

impl Open {
    /// Refuses to take the rule about users from a bank whose socket is open to all: those who are connected would become
    /// callers whom nobody checks.
    fn keep_rule(&self, config: &Config) -> Result<(), Unbound> {
        let leads_to = self.door.load();
        let bank = config.banks.iter().find(|bank| bank.name == leads_to.bank);
        bank.map_or(Ok(()), |bank| self.check_users(&bank.name, bank.access.uids.is_some()))
    }

    /// Whether it can be as it is wanted.
    fn remain_for(&self, wanted: Wanted) -> Result<Wanted, Unbound> {
        self.check_users(&wanted.bank, wanted.has_uids)?;
        match (&self.users, &self.listen) {
            (Users::Own(file), Listen::Unix(path)) if wanted.has_uids && !file.is_in_place() => Err(Unbound {
                bank: wanted.bank,
                listen: self.listen.clone(),
                error: ListenError::Replaced(path.clone()),
            }),
            _ => Ok(wanted),
        }
    }

    fn check_users(&self, bank: &BankName, has_uids: bool) -> Result<(), Unbound> {
        match (&self.users, &self.listen) {
            (Users::All, Listen::Unix(path)) if !has_uids => {
                let error = ListenError::OpenToAll(path.clone());
                Err(Unbound { bank: bank.clone(), listen: self.listen.clone(), error })
            }
            _ => Ok(()),
        }
    }

    /// Lets all users connect, if the bank, which is there by now, tells them apart.
    fn widen(&mut self, has_uids: bool) {
        let Users::Own(file) = &self.users else { return };
        if !has_uids {
            return;
        }
        match file.open_to_all() {
            Ok(()) => self.users = Users::All,
            Err(error) => tracing::error!(%error, address = %self.listen, "the socket's mode cannot be changed"),
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

/// Nothing but the process's user can tell callers of such a socket apart.
pub(super) fn tell_if_open(listener: &Listener, address: &Listen) {
    if listener.is_inherited_by_all() {
        tracing::warn!(%address, "every user may connect to a socket of the service manager: only the sidecar's is let in");
    }
}

/// Every address of every bank.
fn wanted(config: &Config) -> Vec<Wanted> {
    let addresses = config.banks.iter().flat_map(|bank| bank.listen.iter().map(move |listen| (bank, listen)));
    let wanted = addresses.map(|(bank, listen)| Wanted {
        bank: bank.name.clone(),
        listen: listen.clone(),
        has_uids: bank.access.uids.is_some(),
        has_rule: bank.access.uids.is_some() || bank.access.key.is_some(),
    });
    wanted.collect()
}
